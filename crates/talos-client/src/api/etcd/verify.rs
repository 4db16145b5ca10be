//! Whether a snapshot is complete, without I/O.

use talos_transport::tls::{Sha256, TlsError};

/// Follows a snapshot and checks what is at its end: SHA-256 over everything before it.
#[derive(Debug)]
pub(crate) struct Verifier {
    hash: Sha256,
    /// The last bytes, which may be the checksum. Not hashed yet.
    tail: [u8; CHECKSUM],
    /// How much of the tail is there.
    held: usize,
    length: u64,
}

/// What is wrong with a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SnapshotError {
    #[error("the snapshot is cut off: {length} bytes are not a database and a checksum")]
    Length { length: u64 },
    #[error("the snapshot is damaged: its checksum is another one")]
    Checksum,
}

impl Verifier {
    pub(crate) fn new() -> Result<Self, TlsError> {
        Ok(Self {
            hash: Sha256::new()?,
            tail: [0; CHECKSUM],
            held: 0,
            length: 0,
        })
    }

    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Adds a piece.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        self.length += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        // Of what is held and what comes, all but the last bytes can be hashed.
        let surplus = (self.held + piece.len()).saturating_sub(CHECKSUM);
        let from_tail = surplus.min(self.held);
        self.hash.update(&self.tail[..from_tail]);
        self.tail.copy_within(from_tail..self.held, 0);
        self.held -= from_tail;
        let (hashed, kept) = piece.split_at(surplus - from_tail);
        self.hash.update(hashed);
        self.tail[self.held..self.held + kept.len()].copy_from_slice(kept);
        self.held += kept.len();
    }

    /// The checksum, if it is right.
    pub(crate) fn finish(self) -> Result<[u8; CHECKSUM], SnapshotError> {
        // A database is made of pages, whose size is a multiple of the sector's.
        let database = self.length.checked_sub(CHECKSUM as u64);
        if !database.is_some_and(|database| database > 0 && database % SECTOR == 0) {
            return Err(SnapshotError::Length { length: self.length });
        }
        if self.hash.finish() != self.tail {
            return Err(SnapshotError::Checksum);
        }
        Ok(self.tail)
    }
}

const CHECKSUM: usize = 32;
const SECTOR: u64 = 512;

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn snapshot(sectors: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..sectors * 512).map(|byte| (byte * 7) as u8).collect();
        let mut hash = Sha256::new().expect("a provider");
        hash.update(&bytes);
        bytes.extend(hash.finish());
        bytes
    }

    fn verify<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<[u8; 32], SnapshotError> {
        let mut verifier = Verifier::new().expect("a provider");
        for piece in pieces {
            verifier.update(piece);
        }
        verifier.finish()
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(
            sectors in 1_usize..5,
            cuts in proptest::collection::vec(0_usize..3000, 0..40),
        ) {
            let bytes = snapshot(sectors);
            let mut borders: Vec<_> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            borders.extend([0, bytes.len()]);
            borders.sort_unstable();
            let checksum = verify(borders.windows(2).map(|pair| &bytes[pair[0]..pair[1]]));
            prop_assert_eq!(checksum.as_ref().map(|sum| &sum[..]), Ok(&bytes[sectors * 512..]));
        }
    }

    #[test]
    fn what_is_missing_or_changed_is_found() {
        let bytes = snapshot(2);
        assert!(verify([&bytes[..]]).is_ok());
        for length in [0, 1, 31, 32, 33, 512, 1024, 1055] {
            assert_eq!(
                verify([&bytes[..length]]),
                Err(SnapshotError::Length {
                    length: length as u64
                })
            );
        }
        // Cut off where the length is possible.
        assert_eq!(verify([&bytes[..544]]), Err(SnapshotError::Checksum));
        for position in [0, 511, 1023, 1024, 1055] {
            let mut changed = bytes.clone();
            changed[position] ^= 1;
            assert_eq!(verify([&changed[..]]), Err(SnapshotError::Checksum), "{position}");
        }
    }
}
