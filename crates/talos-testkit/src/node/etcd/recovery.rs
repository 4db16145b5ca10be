//! The snapshot that a cluster is recovered from.

use std::fmt;

use bytes::{Bytes, BytesMut};
use ring::digest::{Context, SHA256};

use super::data::write_files;
use super::member::State;
use super::{EtcdCluster, Node};
use crate::node::files::entry::Kind;
use crate::node::files::source::Source;

/// Where an uploaded snapshot waits for the bootstrap.
pub(crate) const SNAPSHOT_PATH: &str = "/var/lib/etcd.snapshot";

/// Bytes of the checksum at the end of a snapshot.
const CHECKSUM: usize = 32;

/// Why the uploaded snapshot cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RecoverError {
    Missing,
    NoChecksum,
    Checksum { expected: String, found: String },
}

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "open {SNAPSHOT_PATH}: no such file or directory"),
            Self::NoChecksum => f.write_str("snapshot missing hash but --skip-hash-check=false"),
            Self::Checksum { expected, found } => write!(f, "expected sha256 {expected}, got {found}"),
        }
    }
}

/// How to bootstrap from an uploaded snapshot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recover {
    /// Take a file that has no checksum at its end, such as a database copied from a member.
    pub(crate) skip_hash_check: bool,
}

impl EtcdCluster {
    /// Makes `node` the first and only member of a new cluster, from the uploaded snapshot if `recover` is
    /// set. The service is the caller's business, and so is the check for data.
    pub(crate) fn bootstrap(&self, node: &Node, recover: Option<Recover>) -> Result<(), RecoverError> {
        let contents = recover.map(|recover| recover.read(node)).transpose()?;
        *self.state.lock() = State::default();
        self.enroll(&node.identity, &node.next_rng());
        self.change(node, |member| {
            if let Some(contents) = contents {
                let size = contents.len() as u64;
                member.database = (size, size);
                member.contents = Some(contents);
            }
        });
        write_files(node);
        Ok(())
    }
}

impl Recover {
    /// The database in the snapshot on `node`.
    fn read(self, node: &Node) -> Result<Bytes, RecoverError> {
        let Some((_, entry)) = node.files.resolve(SNAPSHOT_PATH) else {
            return Err(RecoverError::Missing);
        };
        let Kind::Regular(contents) = entry.kind else {
            return Err(RecoverError::Missing);
        };
        let source = node.open(&contents);
        let has_checksum = source.len() % 512 == CHECKSUM as u64;
        if self.skip_hash_check {
            let end = source.len() - if has_checksum { CHECKSUM as u64 } else { 0 };
            return Ok(read(&source, 0, end));
        }
        if !has_checksum {
            return Err(RecoverError::NoChecksum);
        }
        let end = source.len() - CHECKSUM as u64;
        let database = read(&source, 0, end);
        let expected = read(&source, end, source.len());
        let mut hash = Context::new(&SHA256);
        hash.update(&database);
        let found = hash.finish();
        if expected == found.as_ref() {
            return Ok(database);
        }
        Err(RecoverError::Checksum {
            expected: go_bytes(&expected),
            found: go_bytes(found.as_ref()),
        })
    }
}

/// A part of `source`. Uploads are bounded, so that it fits into memory.
fn read(source: &Source, start: u64, end: u64) -> Bytes {
    let mut bytes = BytesMut::new();
    let mut offset = start;
    while offset < end {
        let limit = usize::try_from(end - offset).unwrap_or(usize::MAX).min(64 << 10);
        let piece = source.read_at(offset, limit);
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        bytes.extend_from_slice(&piece);
    }
    bytes.freeze()
}

/// Go prints slices of bytes as decimal numbers.
fn go_bytes(bytes: &[u8]) -> String {
    let numbers: Vec<_> = bytes.iter().map(ToString::to_string).collect();
    format!("[{}]", numbers.join(" "))
}
