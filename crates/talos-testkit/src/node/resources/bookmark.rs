//! Places in the history of a collection, as watches name them on the wire.

use bytes::Bytes;

use super::collection::Position;

/// The last event that a watcher has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bookmark(pub(super) u64);

impl Bookmark {
    /// The bookmark of a watcher that has seen everything in front of `position`.
    pub(crate) const fn before(position: Position) -> Self {
        Self(position.wrapping_sub(1))
    }

    /// The bookmark of the event at `position`.
    pub(crate) const fn at(position: Position) -> Self {
        Self(position)
    }

    /// The bookmark on the wire: eight bytes that change with every boot, then the position.
    pub(crate) fn encode(self, cookie: u64) -> Bytes {
        [cookie.to_be_bytes(), self.0.to_be_bytes()].concat().into()
    }

    /// Undoes [`Self::encode`]; `None` for a bookmark of another boot or of another kind altogether.
    pub(crate) fn decode(bytes: &[u8], cookie: u64) -> Option<Self> {
        let (&theirs, rest) = bytes.split_first_chunk::<8>()?;
        let position = u64::from_be_bytes(rest.try_into().ok()?);
        (u64::from_be_bytes(theirs) == cookie).then_some(Self(position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bookmarks_are_tied_to_a_boot() {
        let encoded = Bookmark::at(3).encode(7);
        assert_eq!(encoded.len(), 16);
        assert_eq!(Bookmark::decode(&encoded, 7), Some(Bookmark::at(3)));
        assert_eq!(Bookmark::decode(&encoded, 8), None);
        assert_eq!(Bookmark::decode(&encoded[..15], 7), None);
        assert_eq!(Bookmark::decode(b"", 7), None);
    }
}
