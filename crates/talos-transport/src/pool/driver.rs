//! The tasks of a pool: one per connection, from the attempt to the end, and one that wakes up when something is due.

use std::sync::{Arc, Weak};

use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use super::endpoint_state::Attempt;
use super::shared::Shared;
use super::state::Id;
use super::{Dial, Pooled as _};
use crate::Endpoint;

/// The task that does what is due at a time. It runs only while there is something to come: a channel that is not used
/// has none.
#[derive(Debug, Default)]
pub(super) struct Driver {
    /// The number of its run, so that the end of an old one is not taken for the end of the present one.
    run: u64,
    running: bool,
    /// When it will wake up.
    until: Option<std::time::Instant>,
    task: Option<(u64, AbortHandle)>,
}

impl Driver {
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// Whether it sleeps past this time.
    pub(super) fn is_late(&self, due: Option<std::time::Instant>) -> bool {
        due.is_some_and(|due| !self.running || self.until.is_some_and(|until| due < until))
    }

    pub(super) fn begin(&mut self) -> u64 {
        self.run += 1;
        self.running = true;
        self.until = None;
        self.run
    }

    pub(super) fn own(&mut self, run: u64, task: AbortHandle) {
        if self.task.as_ref().is_none_or(|(own, _)| *own < run) {
            self.task = Some((run, task));
        }
    }

    pub(super) fn abort(&self) {
        if let Some((_, task)) = &self.task {
            task.abort();
        }
    }

    pub(super) fn spawn<D: Dial>(pool: &Arc<Shared<D>>, run: u64) -> AbortHandle {
        let running = Running {
            pool: Arc::downgrade(pool),
            run,
        };
        let earlier = Arc::clone(&pool.earlier);
        tokio::spawn(drive(running, earlier)).abort_handle()
    }
}

/// Takes note of the end of a run, also if that is the end of its runtime.
struct Running<D: Dial> {
    pool: Weak<Shared<D>>,
    run: u64,
}

async fn drive<D: Dial>(running: Running<D>, earlier: Arc<Notify>) {
    while let Some(until) = running.work() {
        // Either way there is something to do.
        let _ = timeout_at(until, earlier.notified()).await;
    }
}

impl<D: Dial> Running<D> {
    /// Does what is due and says when to come back.
    fn work(&self) -> Option<Instant> {
        let pool = self.pool.upgrade()?;
        pool.with(|inner, now| {
            inner.driver.until = None;
            inner.core.advance(now.into_std());
        });
        let mut inner = pool.lock();
        let until = inner.core.next_wakeup(Instant::now().into_std());
        let driver = &mut inner.driver;
        driver.until = until;
        driver.running = until.is_some();
        until.map(Instant::from_std)
    }
}

impl<D: Dial> Drop for Running<D> {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        let mut inner = pool.lock();
        let driver = &mut inner.driver;
        if driver.run == self.run && driver.running {
            driver.running = false;
            drop(inner);
            // Calls that wait, on another runtime, have it started again.
            pool.news.notify_waiters();
        }
    }
}

/// Makes an attempt, and then stays until the connection ends.
pub(super) fn spawn_dial<D: Dial>(
    pool: &Arc<Shared<D>>,
    id: Id,
    attempt: Attempt,
    endpoint: Endpoint,
) -> AbortHandle {
    let dial = Arc::clone(&pool.dial);
    let dialling = Dialling {
        pool: Arc::downgrade(pool),
        id,
        attempt,
    };
    let task = tokio::spawn(async move {
        let result = dial.dial(&endpoint).await;
        // The pool may have been dropped; nothing of it is kept alive from here.
        drop(dial);
        let Some(pool) = dialling.pool.upgrade() else {
            return;
        };
        match result {
            Ok(connection) => {
                let closed = connection.closed();
                pool.connected(id, attempt, connection);
                drop(pool);
                closed.await;
                if let Some(pool) = dialling.pool.upgrade() {
                    pool.closed(id, attempt);
                }
            }
            Err(reason) => pool.dial_failed(id, attempt, reason),
        }
    });
    task.abort_handle()
}

/// Takes note of an attempt that is dropped before its end. After the end this has no effect.
struct Dialling<D: Dial> {
    pool: Weak<Shared<D>>,
    id: Id,
    attempt: Attempt,
}

impl<D: Dial> Drop for Dialling<D> {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.upgrade() {
            pool.dial_lost(self.id, self.attempt);
        }
    }
}
