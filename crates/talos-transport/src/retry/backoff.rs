//! Waits between attempts, by tower's exponential backoff.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tower::retry::backoff::{ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff as _};
use tower::util::rng::Rng;

use super::RetryConfig;

pub(super) type Backoff = ExponentialBackoff<SharedRng>;

/// Random numbers that differ from call to call.
///
/// tower clones the generator for each call. One with a state of its own would then give every call the same numbers, and
/// calls that failed together would be made again together.
#[derive(Debug, Clone)]
pub(super) struct SharedRng(Arc<AtomicU64>);

impl SharedRng {
    pub(super) fn new() -> Self {
        // The standard library seeds its hash maps randomly, which is randomness enough here.
        Self(Arc::new(AtomicU64::new(RandomState::new().hash_one(0_u8))))
    }
}

impl Rng for SharedRng {
    /// SplitMix64 (Steele, Lea and Flood, 2014).
    fn next_u64(&mut self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The waits of one call.
pub(super) fn backoff(config: &RetryConfig, rng: &SharedRng) -> Backoff {
    // A wait of nothing is not possible there.
    let first = config.first_delay.max(Duration::from_nanos(1));
    let jitter = if config.jitter.is_nan() {
        0.0
    } else {
        config.jitter.clamp(0.0, 1.0)
    };
    ExponentialBackoffMaker::new(first, config.max_delay.max(first), jitter, rng.clone())
        .expect("the waits are in order and positive, and the jitter is a share")
        .make_backoff()
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;
    use tower::retry::backoff::Backoff as _;

    use super::*;

    async fn waits(config: RetryConfig, rng: &SharedRng) -> Vec<Duration> {
        let mut backoff = backoff(&config, rng);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let begin = Instant::now();
            backoff.next_backoff().await;
            waits.push(begin.elapsed());
        }
        waits
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_up_to_the_limit() {
        let config = RetryConfig::new().jitter(0.0);
        let millis: Vec<_> = waits(config, &SharedRng::new())
            .await
            .iter()
            .map(Duration::as_millis)
            .collect();
        assert_eq!(millis, [75, 150, 300, 600, 1200, 2000]);
    }

    #[tokio::test(start_paused = true)]
    async fn jitter_is_a_share_on_top_and_differs_between_calls() {
        let config = RetryConfig::new();
        let rng = SharedRng::new();
        let (one, other) = (waits(config, &rng).await, waits(config, &rng).await);
        assert_ne!(one, other);
        for (base, wait) in [75, 150, 300, 600, 1200]
            .into_iter()
            .zip(one.into_iter().chain(other))
        {
            // The clock of the test has milliseconds, and rounds up.
            let allowed = base..=base * 3 / 2 + 1;
            assert!(allowed.contains(&wait.as_millis()), "{wait:?} for {base} ms");
        }
    }

    #[test]
    fn no_settings_panic() {
        let rng = SharedRng::new();
        for delay in [Duration::ZERO, Duration::from_secs(1), Duration::MAX] {
            for max in [Duration::ZERO, Duration::MAX] {
                for jitter in [-1.0, 0.0, 7.0, f64::NAN, f64::INFINITY] {
                    backoff(&RetryConfig::new().delays(delay, max).jitter(jitter), &rng);
                }
            }
        }
    }
}
