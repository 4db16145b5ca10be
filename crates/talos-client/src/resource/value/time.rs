//! Spans of time that may point backwards.

use std::{fmt, time::Duration};

/// A difference between two clocks, positive or negative, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOffset(i128);

impl TimeOffset {
    /// Nanoseconds, negative where the clock is behind.
    #[must_use]
    pub const fn as_nanos(self) -> i128 {
        self.0
    }

    /// How large it is, whichever the direction.
    #[must_use]
    pub fn magnitude(self) -> Duration {
        let nanos = self.0.unsigned_abs();
        let seconds = u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX);
        // The remainder is less than a billion.
        Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).unwrap_or_default())
    }

    /// Whether it points backwards.
    #[must_use]
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }
}

impl From<prost_types::Duration> for TimeOffset {
    fn from(raw: prost_types::Duration) -> Self {
        Self(i128::from(raw.seconds) * 1_000_000_000 + i128::from(raw.nanos))
    }
}

impl fmt::Display for TimeOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.is_negative() { "-" } else { "" };
        write!(f, "{sign}{:?}", self.magnitude())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_have_a_direction() {
        let of = |seconds, nanos| TimeOffset::from(prost_types::Duration { seconds, nanos });
        assert_eq!(of(-1, -500_000_000).to_string(), "-1.5s");
        assert_eq!(of(0, 250).magnitude(), Duration::from_nanos(250));
        let least = of(i64::MIN, i32::MIN);
        assert!(least.is_negative() && least.magnitude() > Duration::from_secs(1 << 62));
    }
}
