//! The pool's core together with its connections and tasks.
//!
//! The lock is held for moments only, and never while connections are dropped, tasks started or errors printed: a
//! runtime that is shutting down drops what it is given at once, and that comes back here.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::driver::{Driver, spawn_dial};
use super::endpoint_state::Attempt;
use super::order::Random;
use super::snapshot::EndpointSnapshot;
use super::state::{Command, Core, Effects, Id};
use super::{Dial, Pooled};
use crate::Endpoint;
use crate::connect::{ConnectError, ConnectFailure, ConnectReason};
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
}

pub(super) struct Inner<C> {
    pub(super) core: Core,
    ids: HashMap<Endpoint, Id>,
    entries: HashMap<Id, Entry<C>>,
    /// The endpoints in the order they were given.
    given: Vec<Id>,
    last_id: u64,
    /// The failures of a round, as they come.
    failures: (u64, Vec<ConnectFailure>),
    /// How the last round that failed did so.
    failed: Option<ConnectError>,
    driver: Driver,
}

struct Entry<C> {
    endpoint: Endpoint,
    connection: Option<C>,
    task: Option<(Attempt, AbortHandle)>,
    last_error: Option<Arc<str>>,
    /// How the last attempt that failed did so.
    last_failure: Option<ConnectFailure>,
}

/// What is left to do when the lock is released.
struct Rest<C> {
    dials: Vec<(Id, Attempt, Endpoint)>,
    tasks: Vec<AbortHandle>,
    connections: Vec<C>,
    wake: bool,
    changed: bool,
    drive: bool,
}

impl<D: Dial> Shared<D> {
    pub(super) fn new(dial: D, core: Core) -> Self {
        Self {
            dial: Arc::new(dial),
            inner: Mutex::new(Inner {
                core,
                ids: HashMap::new(),
                entries: HashMap::new(),
                given: Vec::new(),
                last_id: 0,
                failures: (0, Vec::new()),
                failed: None,
                driver: Driver::default(),
            }),
            news: Notify::new(),
            earlier: Arc::default(),
            changed: watch::Sender::new(()),
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
            if inner.core.connected(id, attempt, now.into_std())
                && let Some(entry) = inner.entries.get_mut(&id)
            {
                entry.connection = connection.take();
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
        let entries = std::mem::take(&mut inner.entries);
        drop(inner);
        for (_, task) in entries.values().filter_map(|entry| entry.task.as_ref()) {
            task.abort();
        }
    }

    /// Lets go of connections and attempts that [`Dial::is_outdated`] applies to.
    pub(super) fn renew(self: &Arc<Self>) {
        self.with(|inner, now| {
            let outdated: Vec<(Id, Attempt)> = inner
                .entries
                .iter()
                .filter(|(_, entry)| {
                    entry
                        .connection
                        .as_ref()
                        .is_some_and(|c| self.dial.is_outdated(c))
                })
                .filter_map(|(id, _)| Some((*id, inner.core.endpoint(*id)?.connection()?)))
                .collect();
            for (id, attempt) in outdated {
                inner.core.retired(id, attempt, now.into_std());
            }
            inner.core.renewed(now.into_std());
        });
    }
}

impl<C: Pooled> Inner<C> {
    /// Makes these the endpoints, to be tried in a random order.
    pub(super) fn set_endpoints(&mut self, endpoints: Vec<Endpoint>, random: &mut Random, now: Instant) {
        let mut ids = Vec::with_capacity(endpoints.len());
        for endpoint in endpoints {
            let id = *self.ids.entry(endpoint).or_insert_with_key(|endpoint| {
                self.last_id += 1;
                let id = Id(self.last_id);
                let entry = Entry {
                    endpoint: endpoint.clone(),
                    connection: None,
                    task: None,
                    last_error: None,
                    last_failure: None,
                };
                self.entries.insert(id, entry);
                id
            });
            ids.push(id);
        }
        self.given.clone_from(&ids);
        random.shuffle(&mut ids);
        self.core.replace(&ids, now.into_std());
    }

    pub(super) fn ids(&self, endpoints: &[Endpoint]) -> Vec<Id> {
        endpoints
            .iter()
            .filter_map(|endpoint| self.ids.get(endpoint).copied())
            .collect()
    }

    pub(super) fn given(&self) -> Vec<Id> {
        self.given.clone()
    }

    pub(super) fn endpoint(&self, id: Id) -> Option<&Endpoint> {
        self.entries.get(&id).map(|entry| &entry.endpoint)
    }

    pub(super) fn connection(&self, id: Id) -> Option<&C> {
        self.entries.get(&id)?.connection.as_ref()
    }

    pub(super) fn failure(&self) -> ConnectError {
        self.failed.clone().unwrap_or_else(|| self.abandoned())
    }

    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.given
            .iter()
            .filter_map(|id| self.endpoint(*id))
            .cloned()
            .collect()
    }

    /// The state of every endpoint, in the order they were given.
    pub(super) fn snapshot(&self) -> Vec<EndpointSnapshot> {
        let one = |id: &Id| {
            let entry = self.entries.get(id)?;
            let (endpoint, error) = (entry.endpoint.clone(), entry.last_error.clone());
            let life = self.core.endpoint(*id)?;
            Some(EndpointSnapshot::new(endpoint, life, error, |at| {
                self.core.in_use(at)
            }))
        };
        self.given.iter().filter_map(one).collect()
    }

    pub(super) fn last_failure(&self, id: Id) -> Option<&ConnectFailure> {
        self.entries.get(&id)?.last_failure.as_ref()
    }

    pub(super) fn driver(&mut self) -> &mut Driver {
        &mut self.driver
    }

    fn set_error(&mut self, id: Id, error: Option<Arc<str>>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.last_error = error;
        }
    }

    fn note(&mut self, id: Id, round: Option<u64>, reason: ConnectReason, text: Arc<str>) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        entry.last_error = Some(text);
        let failure = ConnectFailure::new(entry.endpoint.clone(), reason);
        entry.last_failure = Some(failure.clone());
        if let Some(round) = round {
            if self.failures.0 != round {
                self.failures = (round, Vec::new());
            }
            self.failures.1.push(failure);
        }
    }

    fn own(&mut self, id: Id, attempt: Attempt, task: AbortHandle) {
        match self.entries.get_mut(&id) {
            Some(entry) if entry.task.as_ref().is_none_or(|(own, _)| *own < attempt) => {
                entry.task = Some((attempt, task));
            }
            Some(_) => {}
            // Removed in the meantime.
            None => task.abort(),
        }
    }

    /// Carries out what only concerns what is kept here, and says what is left.
    fn settle(&mut self, now: Instant) -> Rest<C> {
        let Effects {
            commands,
            wake,
            changed,
        } = self.core.take_effects();
        let mut rest = Rest {
            dials: Vec::new(),
            tasks: Vec::new(),
            connections: Vec::new(),
            wake,
            changed,
            drive: false,
        };
        for command in commands {
            match command {
                Command::Dial(id, attempt) => {
                    let endpoint = self.entries.get(&id).map(|entry| entry.endpoint.clone());
                    rest.dials
                        .extend(endpoint.map(|endpoint| (id, attempt, endpoint)));
                }
                Command::Cancel(id, attempt) => {
                    rest.dials.retain(|(_, other, _)| *other != attempt);
                    let entry = self.entries.get_mut(&id);
                    let task = entry.and_then(|entry| entry.task.take_if(|(own, _)| *own == attempt));
                    rest.tasks.extend(task.map(|(_, task)| task));
                }
                Command::Drop(id, _) => {
                    let entry = self.entries.get_mut(&id);
                    rest.connections
                        .extend(entry.and_then(|entry| entry.connection.take()));
                }
                Command::Forget(id) => {
                    if let Some(entry) = self.entries.remove(&id) {
                        self.ids.remove(&entry.endpoint);
                        rest.connections.extend(entry.connection);
                        rest.tasks.extend(entry.task.map(|(_, task)| task));
                    }
                }
                Command::RoundFailed(round) => {
                    let (of, failures) = std::mem::take(&mut self.failures);
                    self.failed = Some(if of == round && !failures.is_empty() {
                        ConnectError::new(failures)
                    } else {
                        self.abandoned()
                    });
                }
            }
        }
        rest.drive = self.driver.is_late(self.core.next_wakeup(now.into_std()));
        rest
    }

    fn abandoned(&self) -> ConnectError {
        let failure = |endpoint| ConnectFailure::new(endpoint, abandoned());
        ConnectError::new(self.endpoints().into_iter().map(failure).collect())
    }
}

fn abandoned() -> ConnectReason {
    ConnectReason::Io(io::Error::new(
        io::ErrorKind::Interrupted,
        "the attempt was abandoned",
    ))
}
