//! Limits on the time of a response body.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};
use tonic::Status;

use crate::error::{Delivery, Error, TimeLimit};

/// A point in time at which the call fails.
pub(crate) struct Limit {
    pub(crate) sleep: Pin<Box<Sleep>>,
    pub(crate) kind: TimeLimit,
    pub(crate) after: Duration,
}

/// The longest silence, counted from when the caller begins to wait: a caller who is slow to read is not the silence of the
/// server.
pub(crate) struct Idle {
    after: Duration,
    sleep: Option<Pin<Box<Sleep>>>,
    /// When the wait for the next piece began; `None` while nobody waits.
    waits_since: Option<Instant>,
}

impl Limit {
    /// The error, if the time is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        match self.sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Some(self.error(Delivery::Unknown, None)),
            Poll::Pending => None,
        }
    }

    pub(crate) fn error(&self, delivery: Delivery, previous: Option<Arc<Status>>) -> Error {
        Error::Timeout {
            limit: self.kind,
            after: self.after,
            delivery,
            previous,
        }
    }
}

impl Idle {
    pub(crate) fn new(after: Duration) -> Self {
        Self {
            after,
            sleep: None,
            waits_since: None,
        }
    }

    pub(super) fn received(&mut self) {
        self.waits_since = None;
    }

    /// The error, if nothing came for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        let after = self.after;
        let since = *self.waits_since.get_or_insert_with(Instant::now);
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(after)));
        while sleep.as_mut().poll(cx).is_ready() {
            // Setting the timer for each wait would cost more than the rest of this; so it is left where it is, and is set
            // again when it goes off for an earlier one.
            match since.checked_add(after) {
                Some(at) if at > Instant::now() => sleep.as_mut().reset(at),
                Some(_) => {
                    return Some(Error::Timeout {
                        limit: TimeLimit::Idle,
                        after,
                        delivery: Delivery::Unknown,
                        previous: None,
                    });
                }
                // What the clock cannot express is no limit, and `sleep` has its own way with it.
                None => sleep.set(tokio::time::sleep(after)),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Waker;

    use tokio::time::advance;

    use super::*;

    const AFTER: Duration = Duration::from_secs(10);

    fn waits(idle: &mut Idle) -> bool {
        idle.poll(&mut Context::from_waker(Waker::noop())).is_none()
    }

    async fn end(idle: &mut Idle) -> Error {
        poll_fn(|cx| idle.poll(cx).map_or(Poll::Pending, Poll::Ready)).await
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_the_whole_time() {
        let mut idle = Idle::new(AFTER);
        let begin = Instant::now();
        assert!(waits(&mut idle));
        for _ in 0..3 {
            advance(AFTER * 3 / 4).await;
            assert!(waits(&mut idle));
            idle.received();
            // The reader does something else for longer than that.
            advance(AFTER * 2).await;
            assert!(waits(&mut idle));
        }
        let last = Instant::now();
        let error = end(&mut idle).await;
        assert!(matches!(error, Error::Timeout { limit: TimeLimit::Idle, after, .. } if after == AFTER));
        assert_eq!(last.elapsed(), AFTER);
        assert!(begin.elapsed() > AFTER * 9);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_clock_cannot_express_is_no_limit() {
        let mut idle = Idle::new(Duration::MAX);
        assert!(waits(&mut idle));
        advance(Duration::from_secs(86_400 * 365)).await;
        assert!(waits(&mut idle));
    }
}
