//! Event ids: twelve bytes that sort by time, in twenty characters.

use std::fmt;
use std::str::FromStr;

use crate::clock::Moment;
use crate::rng::SimRng;

/// Base 32 with the extended hex alphabet keeps the order of the bytes.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

/// An id of an event: seconds, machine, process, counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Xid([u8; 12]);

/// The text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("xid: invalid ID")]
pub(crate) struct InvalidXid;

impl fmt::Display for Xid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 96 bits and four zeros behind them make twenty digits of five bits.
        let bits = self
            .0
            .iter()
            .fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte))
            << 4;
        for digit in (0..20).rev() {
            let index = usize::try_from(bits >> (5 * digit) & 31).unwrap_or_default();
            write!(f, "{}", char::from(ALPHABET[index]))?;
        }
        Ok(())
    }
}

impl FromStr for Xid {
    type Err = InvalidXid;

    fn from_str(text: &str) -> Result<Self, InvalidXid> {
        if text.len() != 20 {
            return Err(InvalidXid);
        }
        let mut bits = 0_u128;
        for byte in text.bytes() {
            let digit = ALPHABET
                .iter()
                .position(|known| *known == byte)
                .ok_or(InvalidXid)?;
            bits = bits << 5 | u128::try_from(digit).unwrap_or_default();
        }
        if bits & 0xf != 0 {
            return Err(InvalidXid);
        }
        let bytes = (bits >> 4).to_be_bytes();
        bytes[4..].try_into().map(Self).map_err(|_| InvalidXid)
    }
}

/// Makes the ids of one machine.
#[derive(Debug)]
pub(crate) struct XidSource {
    machine: [u8; 5],
    counter: u32,
}

impl XidSource {
    pub(crate) fn new(mut rng: SimRng) -> Self {
        let drawn = rng.next_u64().to_be_bytes();
        // Process 1, as `machined` is. The counter begins in the lower half, far from its end.
        let machine = [drawn[0], drawn[1], drawn[2], 0, 1];
        let counter = u32::from_be_bytes([0, drawn[3] >> 1, drawn[4], drawn[5]]);
        Self { machine, counter }
    }

    pub(crate) fn next(&mut self, at: Moment) -> Xid {
        self.counter = (self.counter + 1) & 0x00ff_ffff;
        let seconds = u32::try_from(at.to_proto().seconds).unwrap_or_default();
        let mut bytes = [0; 12];
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        bytes[4..9].copy_from_slice(&self.machine);
        bytes[9..].copy_from_slice(&self.counter.to_be_bytes()[1..]);
        Xid(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_spelled_as_the_official_library_spells_them() {
        // The example of that library's documentation.
        let bytes = [
            0x4d, 0x88, 0xe1, 0x5b, 0x60, 0xf4, 0x86, 0xe4, 0x28, 0x41, 0x2d, 0xc9,
        ];
        let id = Xid(bytes);
        assert_eq!(id.to_string(), "9m4e2mr0ui3e8a215n4g");
        assert_eq!("9m4e2mr0ui3e8a215n4g".parse(), Ok(id));
    }

    #[test]
    fn other_texts_are_no_ids() {
        for text in [
            "",
            "9m4e2mr0ui3e8a215n4",
            "9m4e2mr0ui3e8a215n4gg",
            "9M4E2MR0UI3E8A215N4G",
            "9m4e2mr0ui3e8a215n4z",
            "9m4e2mr0ui3e8a215n4h",
        ] {
            assert_eq!(text.parse::<Xid>(), Err(InvalidXid), "{text}");
        }
    }

    #[test]
    fn ids_sort_by_time_and_then_by_order_of_birth() {
        let mut source = XidSource::new(SimRng::new(3));
        let early = source.next(Moment::from_unix(10, 0));
        let late: Vec<_> = (0..3).map(|_| source.next(Moment::from_unix(11, 0))).collect();
        assert!(early < late[0] && late.is_sorted());
        assert!(early.to_string() < late[0].to_string());
    }
}
