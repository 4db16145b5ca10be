//! A set of generated files: compared with or written to the work tree as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::workspace::files_below;

/// Generated files by path relative to the repository root, and the folders that hold nothing else.
#[derive(Debug, Default)]
pub struct Outputs {
    files: BTreeMap<PathBuf, String>,
    owned_folders: BTreeSet<PathBuf>,
}

/// One file of the work tree that differs from what the generator makes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Difference {
    /// The generator makes a file that is not there.
    Missing(PathBuf),
    /// The file has other contents.
    Changed(PathBuf),
    /// The file lies in a generated folder, but the generator no longer makes it.
    Stale(PathBuf),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "missing: {}", path.display()),
            Self::Changed(path) => write!(f, "changed: {}", path.display()),
            Self::Stale(path) => write!(f, "stale: {}", path.display()),
        }
    }
}

impl Outputs {
    /// Adds a file.
    pub fn insert(&mut self, path: impl Into<PathBuf>, contents: String) {
        self.files.insert(path.into(), contents);
    }

    /// Declares that `folder` holds generated files only: others found there are stale.
    pub fn own_folder(&mut self, folder: impl Into<PathBuf>) {
        self.owned_folders.insert(folder.into());
    }

    /// The files, by path.
    pub fn files(&self) -> &BTreeMap<PathBuf, String> {
        &self.files
    }

    /// Compares with the work tree below `root`, byte for byte.
    pub fn differences(&self, root: &Path) -> Result<Vec<Difference>> {
        let mut found = BTreeSet::new();
        for (path, contents) in &self.files {
            match read_if_present(&root.join(path))? {
                None => found.insert(Difference::Missing(path.clone())),
                Some(present) if present != contents.as_bytes() => {
                    found.insert(Difference::Changed(path.clone()))
                }
                Some(_) => false,
            };
        }
        for folder in &self.owned_folders {
            for path in files_below(root, folder)? {
                if !self.files.contains_key(&path) {
                    found.insert(Difference::Stale(path));
                }
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Brings the work tree below `root` in line and answers what was changed.
    ///
    /// Each file is written beside its place and renamed over it, so that none is ever half-written; files
    /// that are right already keep their time stamp.
    pub fn write(&self, root: &Path) -> Result<Vec<Difference>> {
        let differences = self.differences(root)?;
        for difference in &differences {
            match difference {
                Difference::Missing(path) | Difference::Changed(path) => {
                    replace(&root.join(path), &self.files[path])?
                }
                Difference::Stale(path) => remove(root, path, &self.owned_folders)?,
            }
        }
        Ok(differences)
    }
}

fn read_if_present(path: &Path) -> Result<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("reading {}", path.display())),
    }
}

fn replace(path: &Path, contents: &str) -> Result<()> {
    let folder = path.parent().context("a generated file needs a folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let mut file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("creating a temporary file in {}", folder.display()))?;
    file.write_all(contents.as_bytes())
        .with_context(|| format!("writing {}", path.display()))?;
    file.persist(path)
        .with_context(|| format!("replacing {}", path.display()))?;
    Ok(())
}

fn remove(root: &Path, path: &Path, owned: &BTreeSet<PathBuf>) -> Result<()> {
    let full = root.join(path);
    std::fs::remove_file(&full).with_context(|| format!("removing {}", full.display()))?;
    let mut folder = path.parent();
    while let Some(candidate) = folder.filter(|candidate| !owned.contains(*candidate)) {
        if std::fs::remove_dir(root.join(candidate)).is_err() {
            break;
        }
        folder = candidate.parent();
    }
    Ok(())
}
