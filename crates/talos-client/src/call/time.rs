//! Timestamps.

use std::time::SystemTime;

use prost_types::Timestamp;

/// Go's zero time, 1 January of the year 1, which Talos sends for "never".
const ZERO_TIME_SECONDS: i64 = -62_135_596_800;

/// The point in time, or `None` for an absent, zero or impossible one.
pub(crate) fn system_time(timestamp: Option<Timestamp>) -> Option<SystemTime> {
    let timestamp = timestamp.filter(|timestamp| timestamp.seconds != ZERO_TIME_SECONDS)?;
    SystemTime::try_from(timestamp).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn zero_time_means_never() {
        let at = |seconds, nanos| system_time(Some(Timestamp { seconds, nanos }));
        assert_eq!(system_time(None), None);
        assert_eq!(at(ZERO_TIME_SECONDS, 0), None);
        assert_eq!(at(1, 500), Some(SystemTime::UNIX_EPOCH + Duration::new(1, 500)));
    }

    #[test]
    fn the_ends_of_the_range_do_not_panic() {
        // What they come to depends on the platform's clock.
        for seconds in [i64::MIN, i64::MAX] {
            for nanos in [i32::MIN, i32::MAX] {
                let _ = system_time(Some(Timestamp { seconds, nanos }));
            }
        }
    }
}
