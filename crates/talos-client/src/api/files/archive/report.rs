//! What became of an extraction.

use std::fmt;

use super::header::EntryKind;
use crate::error::Error;

/// What was extracted, and what was not.
#[derive(Debug, Default)]
pub struct ExtractReport {
    pub(super) files: u64,
    pub(super) folders: u64,
    pub(super) links: u64,
    pub(super) bytes: u64,
    pub(super) skipped: Vec<Skipped>,
    pub(super) skipped_count: u64,
    pub(super) node_error: Option<Error>,
}

/// Something in the archive that was not extracted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    pub(super) path: String,
    pub(super) reason: SkipReason,
}

/// Why something was not extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its path is absolute, or has `..` in it.
    UnsafePath,
    /// It is a link that leads out of the folder, or could.
    LinkEscapes,
    /// A part of its path is a link or a file.
    NotAFolder,
    /// There is something of that name.
    Exists,
    /// It is a hard link, a device, a pipe, or something else without contents.
    Unsupported(EntryKind),
    /// The node stopped in the middle of it; see [`ExtractReport::node_error`].
    CutOff,
}

impl ExtractReport {
    /// How many files were written.
    pub fn files(&self) -> u64 {
        self.files
    }

    /// How many folders of the archive are there now.
    pub fn folders(&self) -> u64 {
        self.folders
    }

    /// How many symbolic links were made.
    pub fn links(&self) -> u64 {
        self.links
    }

    /// How many bytes were written to files.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What was not extracted although it is in the archive: the first [`ExtractReport::MAX_SKIPPED`] of it.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// How much was not extracted in all.
    pub fn skipped_count(&self) -> u64 {
        self.skipped_count
    }

    /// What the node said after the archive: usually which files it could not read, which are then missing here.
    pub fn node_error(&self) -> Option<&Error> {
        self.node_error.as_ref()
    }

    /// Whether everything that was to be copied is there.
    pub fn is_complete(&self) -> bool {
        self.skipped_count == 0 && self.node_error.is_none()
    }

    /// Most of what is named in [`ExtractReport::skipped`].
    pub const MAX_SKIPPED: usize = 1000;

    pub(super) fn skip(&mut self, path: &[u8], reason: SkipReason) {
        self.skipped_count += 1;
        if self.skipped.len() < Self::MAX_SKIPPED {
            self.skipped.push(Skipped {
                path: String::from_utf8_lossy(path).chars().take(MAX_SHOWN).collect(),
                reason,
            });
        }
    }
}

impl Skipped {
    /// Its path in the archive; of a long one, the first 1,000 characters.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Why.
    pub fn reason(&self) -> SkipReason {
        self.reason
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnsafePath => "its path leads out of the folder",
            Self::LinkEscapes => "it is a link that leads out of the folder",
            Self::NotAFolder => "a part of its path is no folder",
            Self::Exists => "there is something of that name",
            Self::Unsupported(_) => "it is neither a file nor a folder nor a symbolic link",
            Self::CutOff => "the node stopped in the middle of it",
        })
    }
}

const MAX_SHOWN: usize = 1000;
