//! Moving pods away from a node.

mod error;
mod pods;
mod progress;
mod run;

use std::time::Duration;

pub use self::{
    error::{DrainError, PodLeft, PodProblem},
    pods::{PodName, PodSkipReason},
    progress::{DrainProgress, DrainReport, PodSkip},
};
use super::Kubernetes;
use crate::{Node, workflow::Run};

/// How pods are moved away. The defaults are those of talosctl, which moves everything that can be moved.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing by themselves"]
pub struct DrainOptions {
    pub(super) timeout: Duration,
    pub(in crate::workflow) ready_timeout: Duration,
    pub(in crate::workflow) interval: Duration,
    pub(super) unmanaged: bool,
    pub(super) empty_dir_data: bool,
    pub(super) grace_period: Option<Duration>,
}

impl Default for DrainOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl DrainOptions {
    /// How long talosctl drains a node: 5 minutes.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

    /// The defaults.
    pub fn new() -> Self {
        Self {
            timeout: Self::DEFAULT_TIMEOUT,
            ready_timeout: Self::DEFAULT_TIMEOUT,
            interval: Duration::from_secs(1),
            unmanaged: true,
            empty_dir_data: true,
            grace_period: None,
        }
    }

    /// Limits the time until all pods have to be gone. Default: [`DrainOptions::DEFAULT_TIMEOUT`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the time between two looks at the pods. A pod that a budget keeps is asked for again after five times as long,
    /// or as long as the API says. Default: 1 second.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Limits the time until the node is ready again in Kubernetes after the machine has rebooted, where the drain is part of
    /// an upgrade. Default: 5 minutes.
    pub fn ready_timeout(mut self, timeout: Duration) -> Self {
        self.ready_timeout = timeout;
        self
    }

    /// Whether to evict pods that nobody will make again elsewhere; if not, a node that has any is not drained.
    /// Default: true.
    pub fn unmanaged(mut self, evict: bool) -> Self {
        self.unmanaged = evict;
        self
    }

    /// Whether to evict pods with data in volumes of the kind `emptyDir`, **which are lost**; if not, a node that has any
    /// is not drained. Default: true.
    pub fn empty_dir_data(mut self, evict: bool) -> Self {
        self.empty_dir_data = evict;
        self
    }

    /// Gives every pod so much time to end, in whole seconds. Default: as long as each of them wants by itself.
    pub fn grace_period(mut self, time: Duration) -> Self {
        self.grace_period = Some(time);
        self
    }
}

impl Kubernetes {
    /// Cordons a node and evicts its pods, and is over when they are gone.
    ///
    /// Pods of DaemonSets and those that the machine runs by itself (mirror pods) stay, as everything else would bring them
    /// back at once. Evictions respect budgets: what a PodDisruptionBudget refuses is asked for again until the time is
    /// over. So is everything while the API is away.
    ///
    /// The node stays cordoned, also after a failure: [`Kubernetes::uncordon`] ends that. Whether it was cordoned before is in
    /// the report.
    ///
    /// # Errors
    ///
    /// [`DrainError`], which names the pods that are left, and why.
    ///
    /// # Cancel safety
    ///
    /// Dropping the run leaves the node cordoned, and pods go on ending that have begun to. It may be run again.
    pub fn drain(&self, node: &Node, options: DrainOptions) -> Run<DrainProgress, DrainReport, DrainError> {
        self.drain_marked(node, options, false)
    }

    /// With `mark`, a cordon of ours can be told from one that was there.
    pub(in crate::workflow) fn drain_marked(
        &self,
        node: &Node,
        options: DrainOptions,
        mark: bool,
    ) -> Run<DrainProgress, DrainReport, DrainError> {
        let (kubernetes, node) = (self.clone(), node.clone());
        Run::new(move |reporter| run::drain(kubernetes, node, options, mark, reporter))
    }
}
