//! A call on a connection of the pool, and what it tells about the endpoint.

use std::fmt;
use std::sync::Weak;

use super::shared::Shared;
use super::{Dial, Id};
use crate::error::{CloseReason, Error, ResetCode};
use crate::pool::endpoint_state::Attempt;

/// Counts a call as under way while it lives, and takes note of how it goes.
pub(crate) struct Flight<D: Dial> {
    pool: Weak<Shared<D>>,
    id: Id,
    attempt: Attempt,
}

impl<D: Dial> Flight<D> {
    pub(super) fn new(pool: Weak<Shared<D>>, id: Id, attempt: Attempt) -> Self {
        Self { pool, id, attempt }
    }

    /// The endpoint answered, with whatever gRPC status.
    pub(crate) fn answered(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.answered(self.id, self.attempt);
        }
    }

    /// The call failed without an answer.
    ///
    /// | Failure | What it means for the endpoint |
    /// |---|---|
    /// | connection lost, ended with an error code, protocol violated | the connection is gone; a connection on which no call was ever answered counts as a failed attempt to connect |
    /// | connection silent, and no new one to be had | ejected |
    /// | connection ended as announced, or by us | the connection is replaced |
    /// | HTTP 502, 503 or 504 instead of gRPC | a load balancer without a backend: ejected |
    /// | one call reset or refused, other answers that are not gRPC, timeouts | nothing |
    pub(crate) fn failed(&self, error: &Error) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        match error {
            Error::Closed { reason, .. } => match reason {
                CloseReason::GoAway { code } if *code == ResetCode::NO_ERROR => {
                    pool.retired(self.id, self.attempt);
                }
                CloseReason::Local => pool.retired(self.id, self.attempt),
                CloseReason::Silent(_) => pool.ill(self.id, self.attempt, error),
                _ => pool.broke(self.id, self.attempt, error),
            },
            Error::NotGrpc {
                status: 502..=504, ..
            } => pool.ill(self.id, self.attempt, error),
            _ => {}
        }
    }

    /// The call was given up after it had waited long, and nothing at all came from the other side in that time.
    pub(crate) fn silent(&self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.retired(self.id, self.attempt);
        }
    }
}

impl<D: Dial> Drop for Flight<D> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.call_ended(self.id);
        }
    }
}

impl<D: Dial> fmt::Debug for Flight<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
