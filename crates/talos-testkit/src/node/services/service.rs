//! One service: its state, its health and its history.

use std::collections::VecDeque;
use std::fmt;

use crate::clock::Moment;

/// Most events kept per service.
const MAX_EVENTS: usize = 64;

/// State of a Talos service, with the names `ServiceList` uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceState {
    /// Known, not started yet.
    Initialized,
    /// Start requested.
    Starting,
    /// Waiting for its conditions.
    Waiting,
    /// Running its preparations.
    Preparing,
    /// Running.
    Running,
    /// Being stopped.
    Stopping,
    /// Ended without error.
    Finished,
    /// Ended with an error.
    Failed,
    /// Not needed on this node.
    Skipped,
}

impl ServiceState {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Initialized,
        Self::Starting,
        Self::Waiting,
        Self::Preparing,
        Self::Running,
        Self::Stopping,
        Self::Finished,
        Self::Failed,
        Self::Skipped,
    ];

    /// The state's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initialized => "Initialized",
            Self::Starting => "Starting",
            Self::Waiting => "Waiting",
            Self::Preparing => "Preparing",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Finished => "Finished",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Health of a service as its check reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) unknown: bool,
    pub(crate) healthy: bool,
    pub(crate) last_message: String,
    pub(crate) last_change: Moment,
}

/// One line of a service's history.
#[derive(Debug, Clone)]
pub(crate) struct ServiceEvent {
    pub(crate) state: ServiceState,
    pub(crate) message: String,
    pub(crate) at: Moment,
}

/// One service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) state: ServiceState,
    pub(crate) health: Health,
    pub(crate) events: VecDeque<ServiceEvent>,
    /// Process id of the latest run, 0 before the first.
    pub(super) pid: usize,
    pub(super) has_check: bool,
}

impl Service {
    pub(super) fn new(has_check: bool) -> Self {
        let last_message = if has_check { "Unknown" } else { "" }.to_owned();
        let health = Health {
            unknown: true,
            healthy: false,
            last_message,
            last_change: Moment::GO_ZERO,
        };
        Self {
            state: ServiceState::Initialized,
            health,
            events: VecDeque::new(),
            pid: 0,
            has_check,
        }
    }

    pub(super) fn event(&mut self, at: Moment, state: ServiceState, message: impl Into<String>) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(ServiceEvent {
            state,
            message: message.into(),
            at,
        });
        let was_running = self.state == ServiceState::Running;
        self.state = state;
        if !self.has_check {
            return;
        }
        match (was_running, state == ServiceState::Running) {
            (true, false) => {
                self.health = Health {
                    unknown: false,
                    healthy: false,
                    last_message: "service not running".to_owned(),
                    last_change: at,
                };
            }
            (false, true) => {
                self.health = Health {
                    last_change: at,
                    ..Self::new(true).health
                }
            }
            _ => {}
        }
    }

    pub(super) fn checked(&mut self, at: Moment, healthy: bool, message: &str) -> String {
        self.health = Health {
            unknown: false,
            healthy,
            last_message: message.to_owned(),
            last_change: at,
        };
        let text = if healthy {
            "Health check successful".to_owned()
        } else {
            format!("Health check failed: {message}")
        };
        self.event(at, self.state, text.clone());
        text
    }
}
