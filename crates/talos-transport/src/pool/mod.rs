//! Which connection a call gets: one for all, made when it is first needed, to the first endpoint that answers.
//!
//! The pool knows neither sockets nor HTTP; it is generic over [`Dial`], so that its rules can be tested without a
//! network and with a clock of the test's own.

mod order;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

pub(crate) use self::order::shuffle;
use crate::connect::{ConnectError, ConnectFailure, ConnectReason};
use crate::tls::Outdate;
use crate::{Endpoint, race};

/// Makes one connection.
pub(crate) trait Dial: Send + Sync + 'static {
    type Connection: Pooled;

    fn dial(
        &self,
        endpoint: &Endpoint,
    ) -> impl Future<Output = Result<Self::Connection, ConnectReason>> + Send;

    /// Grows when what connections are made with is replaced, so that an attempt begun before is of no use any more.
    fn generation(&self) -> u64 {
        0
    }

    /// Whether the connection was made with what has been replaced since, so that it takes no new calls.
    fn is_outdated(&self, _connection: &Self::Connection) -> bool {
        false
    }
}

/// A connection as the pool sees it: cheap to clone, and closed at some time.
pub(crate) trait Pooled: Clone + Send + Sync + 'static {
    fn is_closed(&self) -> bool;
}

/// See the module.
pub(crate) struct Pool<D: Dial> {
    dial: Arc<D>,
    state: Mutex<State<D::Connection>>,
}

struct State<C> {
    /// The order in which endpoints are tried; the one that won last time comes first.
    endpoints: Vec<Endpoint>,
    phase: Phase<C>,
}

enum Phase<C> {
    Idle,
    Connecting(Attempt<C>),
    Ready(C),
}

/// A race for a connection that is under way, or whose result nobody has picked up yet.
struct Attempt<C> {
    generation: u64,
    outcome: Pending<C>,
    task: AbortHandle,
}

/// Where the outcome of an attempt appears.
type Pending<C> = watch::Receiver<Option<Outcome<C>>>;

#[derive(Clone)]
enum Outcome<C> {
    Connected { connection: C, endpoint: Endpoint },
    Failed(ConnectError),
}

impl<D: Dial> Pool<D> {
    /// `endpoints` must not be empty; they are tried in this order.
    pub(crate) fn new(dial: D, endpoints: Vec<Endpoint>) -> Self {
        Self {
            dial: Arc::new(dial),
            state: Mutex::new(State {
                endpoints,
                phase: Phase::Idle,
            }),
        }
    }

    /// The connection, made if there is none. Callers that come while it is being made wait for the same one.
    ///
    /// # Cancel safety
    ///
    /// A caller that goes away does not disturb the others; the connection is made in any case, unless the pool
    /// itself is dropped.
    pub(crate) async fn connection(&self) -> Result<D::Connection, ConnectError> {
        for _ in 0..2 {
            let mut outcome = match self.ready_or_outcome() {
                Ok(connection) => return Ok(connection),
                Err(outcome) => outcome,
            };
            // The attempt ends without an outcome if it became outdated, or if the runtime it runs on is shut down; then
            // another one is started with the new credentials, or by a call on another runtime.
            if let Ok(outcome) = outcome.wait_for(Option::is_some).await {
                match outcome.as_ref() {
                    Some(Outcome::Connected { connection, .. }) => return Ok(connection.clone()),
                    Some(Outcome::Failed(error)) => return Err(error.clone()),
                    None => {}
                }
            }
            // The attempt ended without an outcome, most likely because the runtime it ran on was shut down. A call on
            // another runtime starts a new one.
        }
        let endpoints = self.lock().endpoints.clone();
        let abandoned = |endpoint| {
            let error = io::Error::new(io::ErrorKind::Interrupted, "the attempt was abandoned");
            ConnectFailure::new(endpoint, ConnectReason::Io(error))
        };
        Err(ConnectError::new(endpoints.into_iter().map(abandoned).collect()))
    }

    fn ready_or_outcome(&self) -> Result<D::Connection, Pending<D::Connection>> {
        let mut state = self.lock();
        state.settle(&*self.dial);
        match &state.phase {
            Phase::Ready(connection) => Ok(connection.clone()),
            Phase::Connecting(attempt) => Err(attempt.outcome.clone()),
            Phase::Idle => {
                let attempt = self.start(state.endpoints.clone());
                let outcome = attempt.outcome.clone();
                state.phase = Phase::Connecting(attempt);
                Err(outcome)
            }
        }
    }

    fn start(&self, endpoints: Vec<Endpoint>) -> Attempt<D::Connection> {
        let generation = self.dial.generation();
        let (sender, outcome) = watch::channel(None);
        let dial = Arc::clone(&self.dial);
        let task = tokio::spawn(async move {
            let attempts = race::staggered(endpoints, race::DELAY, |endpoint| {
                let dial = Arc::clone(&dial);
                async move {
                    dial.dial(&endpoint)
                        .await
                        .map(|connection| (connection, endpoint))
                }
            });
            let outcome = match attempts.await {
                Ok((connection, endpoint)) => Outcome::Connected { connection, endpoint },
                Err(failures) => {
                    let failures = failures
                        .into_iter()
                        .map(|(endpoint, reason)| ConnectFailure::new(endpoint, reason));
                    Outcome::Failed(ConnectError::new(failures.collect()))
                }
            };
            sender.send_replace(Some(outcome));
        });
        Attempt {
            generation,
            outcome,
            task: task.abort_handle(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<D::Connection>> {
        // Nothing panics while the lock is held, and the state is valid at every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Pooled> State<C> {
    /// Takes note of what happened since the last look: an attempt that ended, a connection that broke, either of them
    /// outdated by new credentials. Calls on an outdated connection keep it open until they are over.
    fn settle<D: Dial<Connection = C>>(&mut self, dial: &D) {
        if matches!(&self.phase, Phase::Connecting(attempt) if attempt.generation < dial.generation()) {
            self.phase = Phase::Idle;
        }
        if let Phase::Connecting(attempt) = &self.phase {
            let outcome = attempt.outcome.borrow().clone();
            match outcome {
                Some(Outcome::Connected { connection, endpoint }) => {
                    self.prefer(&endpoint);
                    self.phase = Phase::Ready(connection);
                }
                Some(Outcome::Failed(_)) => self.phase = Phase::Idle,
                None if attempt.outcome.has_changed().is_err() => self.phase = Phase::Idle,
                None => {}
            }
        }
        if matches!(&self.phase, Phase::Ready(connection) if connection.is_closed() || dial.is_outdated(connection))
        {
            self.phase = Phase::Idle;
        }
    }

    fn prefer(&mut self, winner: &Endpoint) {
        if let Some(at) = self.endpoints.iter().position(|endpoint| endpoint == winner) {
            self.endpoints[..=at].rotate_right(1);
        }
    }
}

impl<D: Dial> Outdate for Pool<D> {
    fn outdate(&self) {
        self.lock().settle(&*self.dial);
    }
}

impl<C> Drop for Attempt<C> {
    fn drop(&mut self) {
        // Ends a race nobody waits for any more; a finished one does not mind.
        self.task.abort();
    }
}

impl<D: Dial> fmt::Debug for Pool<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("endpoints", &self.lock().endpoints)
            .finish_non_exhaustive()
    }
}
