//! Names of events.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, SystemTime},
};

/// The id of an event: 20 characters that sort by time.
///
/// ```
/// use talos_client::api::events::EventId;
///
/// let id: EventId = "9m4e2mr0ui3e8a215n4g".parse()?;
/// assert_eq!(id.to_string(), "9m4e2mr0ui3e8a215n4g");
/// # Ok::<_, talos_client::api::events::EventIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId([u8; LENGTH]);

/// A text is not an [`EventId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{input:?} is not the id of an event, which has 20 characters from 0-9 and a-v")]
pub struct EventIdError {
    /// The rejected text, or the beginning of a long one.
    pub input: String,
}

impl EventId {
    /// The id as Talos writes it.
    pub fn as_str(&self) -> &str {
        // Made of ASCII only.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// When the event happened, to the second, by the node's clock.
    pub fn time(&self) -> SystemTime {
        // The first 32 of its bits; each character has five.
        let bits = self.0[..7]
            .iter()
            .fold(0_u64, |bits, character| bits << 5 | u64::from(digit(*character)));
        SystemTime::UNIX_EPOCH + Duration::from_secs(bits >> 3)
    }
}

/// The value of a character that was checked.
fn digit(character: u8) -> u8 {
    match character {
        b'0'..=b'9' => character - b'0',
        _ => character.saturating_sub(b'a') + 10,
    }
}

impl FromStr for EventId {
    type Err = EventIdError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let error = || EventIdError {
            input: input.chars().take(40).collect(),
        };
        let id: [u8; LENGTH] = input.as_bytes().try_into().map_err(|_| error())?;
        let characters = id.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'v'));
        // 96 bits in characters of five: of the last one, only the first bit counts.
        if !characters || !matches!(id[LENGTH - 1], b'0' | b'g') {
            return Err(error());
        }
        Ok(Self(id))
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

const LENGTH: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_the_time_and_sort_by_it() {
        // From the documentation of xid: 4d88e15b 60f486 e428 412dc9.
        let id: EventId = "9m4e2mr0ui3e8a215n4g".parse().expect("an id");
        assert_eq!(
            id.time(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(0x4d88_e15b)
        );
        let later: EventId = "9m4e2nr0ui3e8a215n4g".parse().expect("an id");
        assert!(later > id && later.time() > id.time());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for input in [
            "",
            "9m4e2mr0ui3e8a215n4",
            "9m4e2mr0ui3e8a215n4g0",
            "9m4e2mr0ui3e8a215n4w",
            "9M4E2MR0UI3E8A215N4G",
            "9m4e2mr0ui3e8a215n41",
            "9m4e2mr0ui3e8a215nä",
        ] {
            assert!(input.parse::<EventId>().is_err(), "{input:?}");
        }
    }
}
