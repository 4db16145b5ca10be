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
    waiting: bool,
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
            waiting: false,
        }
    }

    pub(super) fn received(&mut self) {
        self.waiting = false;
    }

    /// The error, if nothing came for too long.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Error> {
        let after = self.after;
        let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep(after)));
        if !self.waiting {
            self.waiting = true;
            // What the clock cannot express is no limit, and `sleep` has its own way with it.
            match Instant::now().checked_add(after) {
                Some(at) => sleep.as_mut().reset(at),
                None => sleep.set(tokio::time::sleep(after)),
            }
        }
        match sleep.as_mut().poll(cx) {
            Poll::Ready(()) => Some(Error::Timeout {
                limit: TimeLimit::Idle,
                after,
                delivery: Delivery::Unknown,
                previous: None,
            }),
            Poll::Pending => None,
        }
    }
}
