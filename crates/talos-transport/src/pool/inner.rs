//! What the pool keeps under its lock: the core, and what belongs to each endpoint besides its state.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::Pooled;
use super::driver::Driver;
use super::endpoint_state::Attempt;
use super::order::Random;
use super::snapshot::EndpointSnapshot;
use super::state::{Command, Core, Effects, Id};
use crate::Endpoint;
use crate::connect::{ConnectError, ConnectFailure, ConnectReason};

/// See the module.
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
    pub(super) driver: Driver,
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
pub(super) struct Rest<C> {
    pub(super) dials: Vec<(Id, Attempt, Endpoint)>,
    pub(super) tasks: Vec<AbortHandle>,
    pub(super) connections: Vec<C>,
    pub(super) wake: bool,
    pub(super) changed: bool,
    pub(super) drive: bool,
}

impl<C: Pooled> Inner<C> {
    pub(super) fn new(core: Core) -> Self {
        Self {
            core,
            ids: HashMap::new(),
            entries: HashMap::new(),
            given: Vec::new(),
            last_id: 0,
            failures: (0, Vec::new()),
            failed: None,
            driver: Driver::default(),
        }
    }

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

    /// Whether there is more than one endpoint.
    pub(super) fn has_alternatives(&self) -> bool {
        self.given.len() > 1
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

    pub(super) fn connections(&self) -> impl Iterator<Item = (Id, &C)> {
        self.entries
            .iter()
            .filter_map(|(id, entry)| Some((*id, entry.connection.as_ref()?)))
    }

    pub(super) fn set_connection(&mut self, id: Id, connection: &mut Option<C>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.connection = connection.take();
        }
    }

    /// Takes out all connections and the tasks behind them.
    pub(super) fn end(&mut self) -> (Vec<C>, Vec<AbortHandle>) {
        let (mut connections, mut tasks) = (Vec::new(), Vec::new());
        for entry in std::mem::take(&mut self.entries).into_values() {
            connections.extend(entry.connection);
            tasks.extend(entry.task.map(|(_, task)| task));
        }
        (connections, tasks)
    }

    pub(super) fn set_error(&mut self, id: Id, error: Option<Arc<str>>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.last_error = error;
        }
    }

    pub(super) fn note(&mut self, id: Id, round: Option<u64>, reason: ConnectReason, text: Arc<str>) {
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
            // Asked for by a warm-up, an endpoint may be tried twice.
            self.failures
                .1
                .retain(|other| other.endpoint() != failure.endpoint());
            self.failures.1.push(failure);
        }
    }

    pub(super) fn own(&mut self, id: Id, attempt: Attempt, task: AbortHandle) {
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
    pub(super) fn settle(&mut self, now: Instant) -> Rest<C> {
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

pub(super) fn abandoned() -> ConnectReason {
    ConnectReason::Io(io::Error::new(
        io::ErrorKind::Interrupted,
        "the attempt was abandoned",
    ))
}
