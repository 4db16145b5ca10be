//! The snapshot that a cluster is recovered from.

use std::fmt;

use ring::digest::{Context, SHA256};

use crate::node::Node;
use crate::node::files::entry::Kind;

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

/// Looks at the snapshot on `node` as a bootstrap with recovery does.
pub(crate) fn verify_snapshot(node: &Node, skip_hash_check: bool) -> Result<(), RecoverError> {
    let Some((_, entry)) = node.files.resolve(SNAPSHOT_PATH) else {
        return Err(RecoverError::Missing);
    };
    let Kind::Regular(contents) = entry.kind else {
        return Err(RecoverError::Missing);
    };
    if skip_hash_check {
        return Ok(());
    }
    let source = node.open(&contents);
    if source.len() % 512 != CHECKSUM as u64 {
        return Err(RecoverError::NoChecksum);
    }
    let end = source.len() - CHECKSUM as u64;
    let mut hash = Context::new(&SHA256);
    let mut offset = 0;
    while offset < end {
        let limit = usize::try_from(end - offset).unwrap_or(usize::MAX).min(64 << 10);
        let piece = source.read_at(offset, limit);
        hash.update(&piece);
        offset += piece.len() as u64;
    }
    let found = hash.finish();
    let expected = source.read_at(end, CHECKSUM);
    if expected == found.as_ref() {
        return Ok(());
    }
    // Go prints slices of bytes as decimal numbers.
    let printed = |bytes: &[u8]| {
        let numbers: Vec<_> = bytes.iter().map(ToString::to_string).collect();
        format!("[{}]", numbers.join(" "))
    };
    Err(RecoverError::Checksum {
        expected: printed(&expected),
        found: printed(found.as_ref()),
    })
}
