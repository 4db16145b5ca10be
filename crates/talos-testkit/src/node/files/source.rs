//! Reading the contents of regular files, in pieces.

use bytes::Bytes;
use futures_core::Stream;

use super::entry::seeded_bytes;
use crate::node::etcd::DatabaseImage;

/// Contents that are ready to be read.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Bytes(Bytes),
    Seeded { seed: u64, size: u64 },
    Database(DatabaseImage),
}

impl Source {
    pub(crate) fn len(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Seeded { size, .. } => *size,
            Self::Database(image) => image.len(),
        }
    }

    /// At most `limit` bytes from `offset`; empty at the end.
    pub(crate) fn read_at(&self, offset: u64, limit: usize) -> Bytes {
        let rest = self.len().saturating_sub(offset);
        let length = usize::try_from(rest).unwrap_or(usize::MAX).min(limit);
        if length == 0 {
            return Bytes::new();
        }
        match self {
            Self::Bytes(bytes) => {
                let offset = usize::try_from(offset).unwrap_or(usize::MAX);
                bytes.slice(offset..offset + length)
            }
            Self::Seeded { seed, .. } => seeded_bytes(*seed, offset, length),
            Self::Database(image) => image.read_at(offset, length),
        }
    }

    /// All of it in pieces of `size` bytes.
    pub(crate) fn pieces(self, size: usize) -> impl Stream<Item = Bytes> + Send + use<> {
        futures_util::stream::unfold((self, 0), move |(source, offset)| async move {
            let piece = source.read_at(offset, size);
            let next = offset + piece.len() as u64;
            (!piece.is_empty()).then_some((piece, (source, next)))
        })
    }
}
