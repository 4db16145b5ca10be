//! Which connection a call gets.
//!
//! | Module | Knows |
//! |---|---|
//! | `endpoint_state` | the life of one endpoint |
//! | `state`, `membership`, `pick`, `round` | all endpoints: whom to use, whom to dial, when; no clock, no tasks |
//! | `inner`, `shared`, `driver`, `flight` | connections, tasks and the clock |
//!
//! The pool knows neither sockets nor HTTP; it is generic over [`Dial`], so that its rules can be tested without a
//! network and with a clock of the test's own.

mod backoff;
#[cfg(test)]
mod core_tests;
mod driver;
mod endpoint_state;
mod flight;
mod inner;
mod membership;
mod order;
mod pick;
#[cfg(feature = "metrics")]
mod recorded;
mod round;
mod shared;
mod snapshot;
mod state;
#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

pub(crate) use self::backoff::Backoff;
pub use self::backoff::{DEFAULT_EJECTION, DEFAULT_LONGEST_EJECTION};
pub(crate) use self::flight::Flight;
pub(crate) use self::order::Random;
use self::pick::Pick;
pub use self::pick::PickPolicy;
use self::shared::Shared;
pub use self::snapshot::{EndpointSnapshot, EndpointState, EndpointsWatch};
use self::state::{Core, Id};
use crate::Endpoint;
use crate::connect::{ConnectError, ConnectFailure, ConnectReason};
use crate::tls::Outdate;

/// Makes one connection.
pub(crate) trait Dial: Send + Sync + 'static {
    type Connection: Pooled;

    fn dial(
        &self,
        endpoint: &Endpoint,
    ) -> impl Future<Output = Result<Self::Connection, ConnectReason>> + Send;

    /// Whether the connection is to take no new calls, because what connections are made with has been replaced since.
    /// Calls under way on it are finished.
    fn is_outdated(&self, _connection: &Self::Connection) -> bool {
        false
    }
}

/// A connection as the pool sees it: cheap to clone, and closed at some time.
pub(crate) trait Pooled: Clone + Send + Sync + 'static {
    fn is_closed(&self) -> bool;

    /// Ends when the connection does, and does not keep it open.
    fn closed(&self) -> impl Future<Output = ()> + Send + 'static;
}

/// See the module.
pub(crate) struct Pool<D: Dial> {
    shared: Arc<Shared<D>>,
    random: Mutex<Random>,
}

/// A connection for one call.
pub(crate) struct Picked<D: Dial> {
    pub(crate) connection: D::Connection,
    /// Whether there is another endpoint than that of the connection.
    pub(crate) alternatives: bool,
    pub(crate) flight: Flight<D>,
}

/// What a pool is made with, apart from its endpoints.
#[derive(Debug, Clone)]
pub(crate) struct PoolOptions {
    pub(crate) policy: PickPolicy,
    pub(crate) ejection: Duration,
    pub(crate) longest_ejection: Duration,
    /// Fixes the order of endpoints and the length of ejections.
    pub(crate) seed: Option<u64>,
}

impl<D: Dial> Pool<D> {
    /// `endpoints` must not be empty or contain repetitions; they are tried in an order that the seed decides.
    pub(crate) fn new(dial: D, options: &PoolOptions, endpoints: Vec<Endpoint>) -> Self {
        let mut random = Random::new(options.seed);
        let backoff = Backoff::new(options.ejection, options.longest_ejection, random.next());
        let pool = Self {
            shared: Arc::new(Shared::new(dial, Core::new(options.policy, backoff))),
            random: Mutex::new(random),
        };
        pool.set_endpoints(endpoints);
        pool
    }

    pub(crate) fn policy(&self) -> PickPolicy {
        self.shared.lock().core.policy
    }

    pub(crate) fn dial(&self) -> &Arc<D> {
        &self.shared.dial
    }

    /// Replaces the endpoints. Those that stay keep their connections; connections to others are let go, and end when
    /// the calls on them do.
    pub(crate) fn set_endpoints(&self, endpoints: Vec<Endpoint>) {
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared
            .with(|inner, now| inner.set_endpoints(endpoints, &mut random, now));
    }

    /// The endpoints in the order they were given.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        self.shared.lock().endpoints()
    }

    /// Lets go of connections that [`Dial::is_outdated`] applies to, and begins attempts under way anew.
    pub(crate) fn renew(&self) {
        self.shared.renew();
    }

    pub(crate) fn snapshot(&self) -> Vec<EndpointSnapshot> {
        self.shared.lock().snapshot()
    }

    pub(crate) fn watch(&self) -> EndpointsWatch {
        EndpointsWatch(self.shared.watch())
    }

    /// A connection for a call: one that exists, or one that is made. Callers that come while it is being made wait for
    /// the same one. Endpoints to `avoid` are used only if there is no other, or none that connects soon.
    ///
    /// # Errors
    ///
    /// The reason of every endpoint that was tried.
    ///
    /// # Cancel safety
    ///
    /// A caller that goes away does not disturb the others; the connection is made in any case, unless the pool
    /// itself is dropped.
    pub(crate) async fn pick(&self, avoid: &[Endpoint]) -> Result<Picked<D>, ConnectError> {
        let mut waiting = Waiting {
            patience: None,
            patient: true,
            round: None,
        };
        if let Some(result) = self.try_pick(avoid, &mut waiting) {
            return result;
        }
        if !avoid.is_empty() {
            waiting.patience = Some(Instant::now() + AVOID_PATIENCE);
        }
        loop {
            let mut news = pin!(self.shared.news.notified());
            news.as_mut().enable();
            if let Some(result) = self.try_pick(avoid, &mut waiting) {
                return result;
            }
            match waiting.patience.filter(|_| waiting.patient) {
                Some(patience) => waiting.patient = timeout_at(patience, news).await.is_ok(),
                None => news.await,
            }
        }
    }

    fn try_pick(&self, avoid: &[Endpoint], waiting: &mut Waiting) -> Option<Result<Picked<D>, ConnectError>> {
        self.shared.with(|inner, now| {
            let avoid = inner.ids(avoid);
            let now = now.into_std();
            loop {
                match inner.core.pick(&avoid, waiting.round, waiting.patient, now) {
                    Pick::Wait { round } => {
                        waiting.round = Some(round);
                        return None;
                    }
                    Pick::Failed => return Some(Err(inner.failure())),
                    Pick::Use(id, attempt) => {
                        if let Some(connection) = inner.connection(id)
                            && !connection.is_closed()
                            && !self.shared.dial.is_outdated(connection)
                        {
                            return Some(Ok(Picked {
                                connection: connection.clone(),
                                alternatives: inner.has_alternatives(),
                                flight: Flight::new(Arc::downgrade(&self.shared), id, attempt),
                            }));
                        }
                        // Each time one connection fewer is left.
                        inner.core.call_ended(id, now);
                        inner.core.retired(id, attempt, now);
                    }
                }
            }
        })
    }

    /// Connects to every endpoint that is not connected, and says of each whether that worked, or why it did not.
    ///
    /// # Cancel safety
    ///
    /// Attempts that were begun go on.
    pub(crate) async fn warm_up(&self) -> Vec<(Endpoint, Result<(), ConnectFailure>)> {
        let mut changed = self.shared.watch();
        let (mut open, begin) = self.shared.with(|inner, now| {
            inner.core.warm_up(now.into_std());
            (inner.given(), now.into_std())
        });
        let mut results = Vec::with_capacity(open.len());
        while let Some(id) = open.last().copied() {
            changed.mark_unchanged();
            let settled = {
                let inner = self.shared.lock();
                inner
                    .core
                    .endpoint(id)
                    .zip(inner.endpoint(id))
                    .map(|(state, endpoint)| {
                        let result = if state.connection().is_some() {
                            Some(Ok(()))
                        } else if state.dialling().is_none() && state.tried_since(begin) {
                            // A connection that was made and has ended again is none of the failures there are.
                            let lost = || ConnectFailure::new(endpoint.clone(), ConnectReason::ClosedEarly);
                            Some(Err(inner.last_failure(id).cloned().unwrap_or_else(lost)))
                        } else {
                            None
                        };
                        result.map(|result| (endpoint.clone(), result))
                    })
            };
            match settled {
                // Removed while it was waited for.
                None => drop(open.pop()),
                Some(Some(result)) => {
                    open.pop();
                    results.push(result);
                }
                Some(None) => {
                    let _ = changed.changed().await;
                }
            }
        }
        results.reverse();
        results
    }
}

/// A caller that waits for a connection.
struct Waiting {
    /// When it stops to be choosy.
    patience: Option<Instant>,
    patient: bool,
    /// The round it waits for.
    round: Option<u64>,
}

impl<D: Dial> Outdate for Pool<D> {
    fn outdate(&self) {
        self.renew();
    }
}

impl<D: Dial> Drop for Pool<D> {
    fn drop(&mut self) {
        // Ends attempts at once, even if a task looks at the pool at this moment.
        self.shared.close();
    }
}

impl<D: Dial> fmt::Debug for Pool<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("endpoints", &self.snapshot())
            .finish_non_exhaustive()
    }
}

/// How long a call waits for another endpoint when there is a connection, but to one it is to avoid.
const AVOID_PATIENCE: Duration = Duration::from_secs(1);
