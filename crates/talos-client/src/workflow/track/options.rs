//! What is followed, and how.

use std::{fmt, time::Duration};

/// Something that a node does, from beginning to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Action {
    /// A reboot.
    Reboot,
    /// A shutdown.
    Shutdown,
    /// A reset, with or without a reboot.
    Reset,
    /// An upgrade by the call that Talos had before 1.13.
    LegacyUpgrade,
    /// A rollback to the release before.
    Rollback,
}

impl Action {
    /// Whether a sequence of this name is what the action starts.
    pub(super) fn starts(self, sequence: &str) -> bool {
        match self {
            Self::Reboot | Self::Rollback => sequence == "reboot",
            Self::Shutdown => sequence == "shutdown",
            Self::Reset => sequence == "reset",
            Self::LegacyUpgrade => matches!(sequence, "upgrade" | "stageUpgrade" | "maintenanceUpgrade"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Reboot => "reboot",
            Self::Shutdown => "shutdown",
            Self::Reset => "reset",
            Self::LegacyUpgrade => "upgrade",
            Self::Rollback => "rollback",
        })
    }
}

/// When an action is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The node runs again.
    Back,
    /// The node runs again, or waits for a configuration.
    BackOrMaintenance,
    /// The node is off.
    Off,
}

/// How to follow a node. A [`Duration`] is one, too: the time that all of it may take.
#[derive(Clone, Debug)]
#[must_use]
pub struct TrackOptions {
    pub(crate) timeout: Duration,
    pub(crate) interval: Duration,
    pub(crate) call_timeout: Duration,
    pub(crate) maintenance: Option<String>,
}

impl TrackOptions {
    /// Time that talosctl gives: 30 minutes.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30 * 60);

    /// Limits the time that all of it may take, from the first call on. It ends with [`TrackError::Timeout`] then.
    ///
    /// [`TrackError::Timeout`]: super::TrackError::Timeout
    pub fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            interval: Duration::from_secs(2),
            call_timeout: Duration::from_secs(10),
            maintenance: None,
        }
    }

    /// Sets the time between two looks at the node; events of interest lead to one at once. Default: 2 s.
    ///
    /// An action whose answer was lost counts as not begun when five looks in a row reach the node and show no sign of it.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets the time that one look may take. Default: 10 s.
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// Sets where a node that has been reset, and has lost its configuration, is to be found. Default: its name, port 50000.
    ///
    /// It is only asked for its version, without a check of who it is.
    pub fn maintenance_endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.maintenance = Some(endpoint.into());
        self
    }
}

impl Default for TrackOptions {
    fn default() -> Self {
        Self::new(Self::DEFAULT_TIMEOUT)
    }
}

impl From<Duration> for TrackOptions {
    fn from(timeout: Duration) -> Self {
        Self::new(timeout)
    }
}
