//! Making a call again that is to go on for as long as it is wanted.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use tokio::time::Instant;

use crate::error::{Error, ErrorKind};

/// How long to wait between attempts to attach again, and when to give up.
#[derive(Clone, Debug)]
pub(crate) struct Reattach {
    /// Since when there is no connection.
    lost_at: Option<Instant>,
    attempts: u32,
    give_up_after: Option<Duration>,
}

impl Reattach {
    pub(crate) fn new() -> Self {
        Self {
            lost_at: None,
            attempts: 0,
            give_up_after: None,
        }
    }

    pub(crate) fn set_give_up_after(&mut self, time: Duration) {
        self.give_up_after = Some(time);
    }

    /// A call has begun again.
    pub(crate) fn attached(&mut self) {
        self.lost_at = None;
        self.attempts = 0;
    }

    /// How long to wait before the next attempt; none for a failure that will not pass, or if it has been long
    /// enough.
    pub(crate) fn next_wait(&mut self, failure: Option<&Error>) -> Option<Duration> {
        if failure.is_some_and(|failure| !passes(failure)) {
            return None;
        }
        let now = Instant::now();
        let lost_at = *self.lost_at.get_or_insert(now);
        if self
            .give_up_after
            .is_some_and(|limit| now.saturating_duration_since(lost_at) >= limit)
        {
            return None;
        }
        let wait = FIRST_WAIT
            .saturating_mul(1_u32.checked_shl(self.attempts).unwrap_or(u32::MAX))
            .min(LONGEST_WAIT);
        self.attempts += 1;
        if let Some(failure) = failure {
            tracing::debug!(attempt = self.attempts, cause = %failure, "attaching again");
        }
        // Up to half of it on top, so that many clients do not come back at the same time.
        let random = RandomState::new().hash_one(0_u8) % 1000;
        let share = u32::try_from(random).unwrap_or_default();
        Some(wait + wait / 2 * share / 1000)
    }
}

/// Whether a node that reboots, or a connection that breaks, looks like this.
fn passes(failure: &Error) -> bool {
    failure.is_retriable() || failure.kind() == ErrorKind::Cancelled
}

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    #[tokio::test(start_paused = true)]
    async fn waits_grow_up_to_a_limit_and_begin_anew() {
        let mut reattach = Reattach::new();
        let lost = Error::new(ErrorKind::Unavailable, Origin::Local);
        for expected in [500, 1000, 2000, 4000, 8000, 15_000, 15_000] {
            let wait = reattach.next_wait(Some(&lost)).expect("goes on").as_millis();
            assert!(
                (expected..=expected * 3 / 2).contains(&wait),
                "{wait} ms, not {expected} ms and up to half of it"
            );
        }
        for _ in 0..100 {
            assert!(reattach.next_wait(None).expect("goes on") <= LONGEST_WAIT * 2);
        }
        reattach.attached();
        assert!(reattach.next_wait(None).expect("goes on") < FIRST_WAIT * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn some_failures_end_it_and_so_does_time() {
        let mut reattach = Reattach::new();
        let denied = Error::new(ErrorKind::PermissionDenied, Origin::Node);
        assert_eq!(reattach.next_wait(Some(&denied)), None);
        reattach.set_give_up_after(Duration::from_secs(60));
        assert!(reattach.next_wait(None).is_some());
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(reattach.next_wait(None).is_some());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(reattach.next_wait(None), None);
    }
}
