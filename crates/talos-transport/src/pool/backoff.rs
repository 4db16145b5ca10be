//! How long an endpoint stays out after failures.

use std::time::Duration;

use super::order::Random;

/// Doubles with every failure in a row, between a first and a longest duration, and spreads by up to a fifth to either
/// side, so that many clients do not come back at the same moment.
#[derive(Debug, Clone)]
pub(crate) struct Backoff {
    first: Duration,
    longest: Duration,
    random: Random,
}

impl Backoff {
    /// Equal seeds give equal durations.
    pub(crate) fn new(first: Duration, longest: Duration, seed: u64) -> Self {
        let first = first.max(SHORTEST);
        Self {
            first,
            longest: longest.max(first),
            random: Random::new(Some(seed)),
        }
    }

    /// The time out after this many failures in a row.
    pub(crate) fn after(&mut self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let middle = self.first.saturating_mul(1 << doublings).min(self.longest);
        // 800 to 1200 thousandths.
        let thousandths = 800 + self.random.below(401) as u32;
        middle.saturating_mul(thousandths) / 1000
    }
}

/// The default for [`eject_for`](crate::ChannelBuilder::eject_for): how long an endpoint that failed once stays out.
pub const DEFAULT_EJECTION: Duration = Duration::from_secs(1);
/// The default for [`eject_for`](crate::ChannelBuilder::eject_for): how long an endpoint that keeps failing stays out.
pub const DEFAULT_LONGEST_EJECTION: Duration = Duration::from_secs(30);
/// Less than this would be a busy loop.
const SHORTEST: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_the_longest_and_spreads_by_a_fifth() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(30));
        let mut backoff = Backoff::new(first, longest, 1);
        for (failures, seconds) in [(0, 1), (1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (u32::MAX, 30)] {
            let middle = Duration::from_secs(seconds);
            let seen: Vec<_> = (0..200).map(|_| backoff.after(failures)).collect();
            assert!(seen.iter().all(|d| (middle * 4 / 5..=middle * 6 / 5).contains(d)));
            assert!(
                seen.iter().any(|d| *d < middle * 9 / 10) && seen.iter().any(|d| *d > middle * 11 / 10),
                "no spread after {failures}"
            );
        }
    }

    #[test]
    fn nonsense_is_made_usable() {
        let mut backoff = Backoff::new(Duration::ZERO, Duration::ZERO, 1);
        assert!(backoff.after(9) >= SHORTEST * 4 / 5);
        let mut backoff = Backoff::new(Duration::MAX, Duration::from_secs(1), 1);
        assert!(backoff.after(u32::MAX) > Duration::from_secs(1));
    }
}
