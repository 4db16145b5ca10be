//! Limits on time, whatever they are set to.

use std::time::Duration;

use tokio::time::Instant;

/// When a time is over that begins now; later than anybody waits if that cannot be said.
pub(crate) fn deadline(timeout: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(86_400 * 365);
    let now = Instant::now();
    now.checked_add(timeout).unwrap_or(now + FAR)
}

/// Whether there is time to wait so long.
pub(crate) fn leaves_time(interval: Duration, deadline: Instant) -> bool {
    deadline.saturating_duration_since(Instant::now()) > interval
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_is_never_missed_by_the_clock() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        assert_eq!(deadline(second), now + second);
        assert!(deadline(Duration::MAX) > now + second);
        assert!(leaves_time(second, now + 2 * second));
        assert!(!leaves_time(second, now + second));
        assert!(!leaves_time(Duration::MAX, deadline(Duration::MAX)));
    }
}
