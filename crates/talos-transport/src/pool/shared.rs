//! The pool's core together with its connections and tasks.
//!
//! The lock is held for moments only, and never while connections are dropped, tasks started or errors printed: a
//! runtime that is shutting down drops what it is given at once, and that comes back here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Dial;
use super::driver::{Driver, spawn_dial};
use super::endpoint_state::Attempt;
use super::inner::{Inner, Rest, abandoned};
use super::state::{Core, Id};
use crate::connect::ConnectReason;
use crate::error::{Error, chain};

/// See the module.
pub(crate) struct Shared<D: Dial> {
    pub(super) dial: Arc<D>,
    inner: Mutex<Inner<D::Connection>>,
    /// Wakes calls that wait for a connection.
    pub(super) news: Notify,
    /// Wakes the driver because something is due earlier than it thought.
    pub(super) earlier: Arc<Notify>,
    changed: watch::Sender<()>,
    #[cfg(feature = "metrics")]
    recorded: super::recorded::Recorded,
}

impl<D: Dial> Shared<D> {
    pub(super) fn new(dial: D, core: Core) -> Self {
        Self {
            dial: Arc::new(dial),
            inner: Mutex::new(Inner::new(core)),
            news: Notify::new(),
            earlier: Arc::default(),
            changed: watch::Sender::new(()),
            #[cfg(feature = "metrics")]
            recorded: Default::default(),
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Runs something on the core, then does what came of it.
    pub(super) fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut Inner<D::Connection>, Instant) -> T) -> T {
        let now = Instant::now();
        let mut inner = self.lock();
        let result = act(&mut inner, now);
        let rest = inner.settle(now);
        drop(inner);
        self.finish(rest);
        result
    }

    fn finish(self: &Arc<Self>, rest: Rest<D::Connection>) {
        drop(rest.connections);
        rest.tasks.iter().for_each(AbortHandle::abort);
        for (id, attempt, endpoint) in rest.dials {
            let task = spawn_dial(self, id, attempt, endpoint);
            self.lock().own(id, attempt, task);
        }
        if rest.changed {
            #[cfg(feature = "metrics")]
            self.recorded.update(|| self.lock().snapshot());
            self.changed.send_replace(());
        }
        if rest.wake {
            self.news.notify_waiters();
        }
        if rest.drive {
            self.drive();
        }
    }

    /// Sees to it that the driver wakes up in time. Without a runtime it is started by the next call.
    fn drive(self: &Arc<Self>) {
        let mut inner = self.lock();
        if inner.driver.is_running() {
            drop(inner);
            self.earlier.notify_one();
        } else if Handle::try_current().is_ok() {
            let run = inner.driver.begin();
            drop(inner);
            let task = Driver::spawn(self, run);
            self.lock().driver.own(run, task);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Inner<D::Connection>> {
        // Nothing panics while the lock is held, and the state is valid at every step.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn connected(self: &Arc<Self>, id: Id, attempt: Attempt, connection: D::Connection) {
        let outdated = self.dial.is_outdated(&connection);
        let mut connection = Some(connection);
        // What is not wanted is dropped after the lock is released.
        let connection = &mut connection;
        self.with(|inner, now| {
            if inner.core.connected(id, attempt, now.into_std()) {
                inner.set_connection(id, connection);
            }
            if outdated {
                inner.core.retired(id, attempt, now.into_std());
                inner.core.advance(now.into_std());
            }
        });
    }

    pub(super) fn dial_failed(self: &Arc<Self>, id: Id, attempt: Attempt, reason: ConnectReason) {
        let text: Arc<str> = chain(&reason).into();
        self.with(|inner, now| {
            let round = inner.core.failed(id, attempt, now.into_std());
            inner.note(id, round, reason, text);
        });
    }

    /// An attempt was dropped before it came to an end: by us, by a panic, or with its runtime.
    pub(super) fn dial_lost(self: &Arc<Self>, id: Id, attempt: Attempt) {
        let reason = abandoned();
        let text: Arc<str> = chain(&reason).into();
        self.with(|inner, now| {
            if inner.core.endpoint(id).and_then(|state| state.dialling()) == Some(attempt) {
                let round = inner.core.lost(id, attempt, now.into_std());
                inner.note(id, round, reason, text);
            }
        });
    }

    /// The connection ended while nobody looked, or takes no new calls.
    pub(super) fn closed(self: &Arc<Self>, id: Id, attempt: Attempt) {
        self.with(|inner, now| {
            inner.core.retired(id, attempt, now.into_std());
            inner.core.advance(now.into_std());
        });
    }

    pub(super) fn retired(self: &Arc<Self>, id: Id, attempt: Attempt) {
        self.with(|inner, now| inner.core.retired(id, attempt, now.into_std()));
    }

    pub(super) fn broke(self: &Arc<Self>, id: Id, attempt: Attempt, error: &Error) {
        let text: Arc<str> = chain(error).into();
        self.with(|inner, now| {
            if inner.core.broke(id, attempt, now.into_std()) {
                inner.set_error(id, Some(text));
            }
        });
    }

    pub(super) fn ill(self: &Arc<Self>, id: Id, attempt: Attempt, error: &Error) {
        let text: Arc<str> = chain(error).into();
        self.with(|inner, now| {
            inner.core.ill(id, attempt, now.into_std());
            inner.set_error(id, Some(text));
        });
    }

    pub(super) fn answered(self: &Arc<Self>, id: Id, attempt: Attempt) {
        self.with(|inner, _| {
            if inner.core.answered(id, attempt) {
                inner.set_error(id, None);
            }
        });
    }

    pub(super) fn call_ended(self: &Arc<Self>, id: Id) {
        self.with(|inner, now| inner.core.call_ended(id, now.into_std()));
    }

    /// Ends all tasks and lets go of all connections, because the channel is gone.
    pub(super) fn close(&self) {
        let mut inner = self.lock();
        inner.driver.abort();
        let (connections, tasks) = inner.end();
        drop(inner);
        drop(connections);
        tasks.iter().for_each(AbortHandle::abort);
        #[cfg(feature = "metrics")]
        self.recorded.update(Vec::new);
    }

    /// Lets go of connections and attempts that [`Dial::is_outdated`] applies to.
    pub(super) fn renew(self: &Arc<Self>) {
        self.with(|inner, now| {
            let outdated: Vec<(Id, Attempt)> = inner
                .connections()
                .filter(|(_, connection)| self.dial.is_outdated(connection))
                .filter_map(|(id, _)| Some((id, inner.core.endpoint(id)?.connection()?)))
                .collect();
            for (id, attempt) in outdated {
                inner.core.retired(id, attempt, now.into_std());
            }
            inner.core.renewed(now.into_std());
        });
    }
}
