//! When to try again.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::Instant;

/// Delays between attempts: exponential, with jitter and a cap.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    first: Duration,
    longest: Duration,
    limit: Option<Duration>,
    /// Attempts since the watch was whole.
    failures: u32,
    lost_at: Option<Instant>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(60),
            limit: None,
            failures: 0,
            lost_at: None,
        }
    }
}

impl Pace {
    pub(super) fn between(mut self, first: Duration, longest: Duration) -> Self {
        self.first = first;
        self.longest = longest.max(first);
        self
    }

    pub(super) fn limited(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// The watch is whole.
    pub(super) fn settled(&mut self) {
        self.failures = 0;
        self.lost_at = None;
    }

    /// How long to wait before the next attempt; `None` to give up.
    pub(super) fn next(&mut self, now: Instant) -> Option<Duration> {
        let lost_at = *self.lost_at.get_or_insert(now);
        if self.limit.is_some_and(|limit| now - lost_at >= limit) {
            return None;
        }
        let exponent = i32::try_from(self.failures.min(64)).unwrap_or(64);
        self.failures = self.failures.saturating_add(1);
        let plain = self.first.as_secs_f64() * 1.5_f64.powi(exponent);
        let plain = plain.min(self.longest.as_secs_f64());
        Some(Duration::from_secs_f64(plain * (0.5 + share())))
    }
}

/// A random number from 0 to 1. Each hasher has keys of its own.
fn share() -> f64 {
    let bits = RandomState::new().hash_one(0_u8) >> 11;
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    let share = bits as f64 / (1_u64 << 53) as f64;
    share
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn delays_grow_to_their_cap_and_begin_anew_after_success() {
        let second = Duration::from_secs(1);
        let mut pace = Pace::default().between(second, 4 * second);
        let mut plain = 1.0_f64;
        for _ in 0..20 {
            let delay = pace.next(Instant::now()).expect("no limit").as_secs_f64();
            assert!(
                (plain * 0.5..=plain * 1.5).contains(&delay),
                "{delay} for {plain}"
            );
            plain = (plain * 1.5).min(4.0);
        }
        pace.settled();
        assert!(pace.next(Instant::now()).expect("no limit") <= second.mul_f64(1.5));
    }

    #[tokio::test(start_paused = true)]
    async fn the_limit_counts_from_the_loss() {
        let mut pace = Pace::default().limited(Duration::from_secs(10));
        let lost = Instant::now();
        assert!(pace.next(lost).is_some());
        assert!(pace.next(lost + Duration::from_secs(9)).is_some());
        assert!(pace.next(lost + Duration::from_secs(10)).is_none());
        pace.settled();
        assert!(pace.next(lost + Duration::from_secs(10)).is_some());
    }
}
