//! What a channel knows about its endpoints, for people and dashboards.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::watch;

use super::endpoint_state::{EndpointState as Life, Phase};
use crate::Endpoint;

/// What a channel knows about one of its endpoints, see [`Channel::endpoints_state`](crate::Channel::endpoints_state).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EndpointSnapshot {
    /// The endpoint.
    pub endpoint: Endpoint,
    /// Where it is in its life.
    pub state: EndpointState,
    /// When that began.
    pub since: Instant,
    /// Failed attempts and broken connections since the endpoint last answered a call.
    pub consecutive_failures: u32,
    /// Why it last failed: an error and its causes in one line, without credentials. It stays until the endpoint answers a
    /// call.
    pub last_error: Option<Arc<str>>,
    /// Calls under way, streams included.
    pub in_flight: u32,
    /// When the endpoint will be tried again by itself. Only for ejected endpoints of a channel that is in use.
    pub next_probe: Option<Instant>,
}

/// Where an endpoint is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EndpointState {
    /// Not connected, and not known to be broken.
    Idle,
    /// Being connected.
    Connecting,
    /// Connected.
    Ready,
    /// Failed, and left alone for a while.
    Ejected,
    /// Failed before, and being connected again.
    Probing,
}

/// Tells when the state of an endpoint changes, see [`Channel::watch_endpoints`](crate::Channel::watch_endpoints).
#[derive(Debug, Clone)]
pub struct EndpointsWatch(pub(super) watch::Receiver<()>);

impl EndpointsWatch {
    /// Waits until something has changed since the last time: a state, a failure, the set of endpoints. Numbers of calls
    /// are not reported. Returns `false` when the channel is gone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }
}

impl EndpointSnapshot {
    pub(super) fn new(
        endpoint: Endpoint,
        life: &Life,
        last_error: Option<Arc<str>>,
        in_use: impl FnOnce(Instant) -> bool,
    ) -> Self {
        let (state, until) = match life.phase() {
            Phase::Idle => (EndpointState::Idle, None),
            Phase::Connecting { .. } => (EndpointState::Connecting, None),
            Phase::Ready { .. } => (EndpointState::Ready, None),
            Phase::Ejected { until } => (EndpointState::Ejected, Some(until)),
            Phase::Probing { .. } => (EndpointState::Probing, None),
        };
        Self {
            endpoint,
            state,
            since: life.since(),
            consecutive_failures: life.failures(),
            last_error,
            in_flight: life.in_flight(),
            next_probe: until.filter(|until| in_use(*until)),
        }
    }
}
