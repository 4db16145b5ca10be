//! `and_wait` in place of `send`.

use super::{Action, Goal, TrackError, TrackOptions, TrackProgress, Tracked, follow};
use crate::{
    Node,
    api::machine::{Accepted, LegacyUpgradeRequest, RebootRequest, ResetRequest, ShutdownRequest},
    error::Result,
    workflow::Run,
};

fn run<Fut>(
    node: Option<Node>,
    action: Action,
    goal: Goal,
    options: TrackOptions,
    act: Fut,
) -> Run<TrackProgress, Tracked, TrackError>
where
    Fut: Future<Output = Result<Accepted>> + Send + 'static,
{
    let node = node.expect("actions are asked of one node");
    Run::new(move |reporter| follow(node, action, goal, options, act, reporter))
}

impl RebootRequest {
    /// Reboots the node and waits until it is back: another boot, running, and ready. `options` may be the time that it
    /// may take, see [`TrackOptions`].
    ///
    /// With a role that may not read the boot id (`os:operator` on nodes before Talos 1.14) the events of the new boot are
    /// the proof, and they can be missed.
    ///
    /// # Errors
    ///
    /// [`TrackError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the run does not stop the node: once the reboot is sent, it goes on. Before, nothing has happened.
    pub fn and_wait(self, options: impl Into<TrackOptions>) -> Run<TrackProgress, Tracked, TrackError> {
        run(
            self.asked(),
            Action::Reboot,
            Goal::Back,
            options.into(),
            self.send(),
        )
    }
}

impl ShutdownRequest {
    /// Shuts the node down and waits until it is off: it was seen to go down, and cannot be reached any more.
    ///
    /// # Errors
    ///
    /// [`TrackError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the run does not stop the node: once the shutdown is sent, it goes on. Before, nothing has happened.
    pub fn and_wait(self, options: impl Into<TrackOptions>) -> Run<TrackProgress, Tracked, TrackError> {
        run(
            self.asked(),
            Action::Shutdown,
            Goal::Off,
            options.into(),
            self.send(),
        )
    }
}

impl ResetRequest {
    /// Resets the node and waits for the end: that it is off or, if it is to reboot, that it is back. **What is wiped is
    /// lost.**
    ///
    /// A node that has lost its configuration is back when it answers in maintenance mode at its own address, see
    /// [`TrackOptions::maintenance_endpoint`]; who answers there is not checked.
    ///
    /// # Errors
    ///
    /// [`TrackError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the run does not stop the node: once the reset is sent, it goes on. Before, nothing has happened.
    pub fn and_wait(self, options: impl Into<TrackOptions>) -> Run<TrackProgress, Tracked, TrackError> {
        let goal = if self.reboots() {
            Goal::BackOrMaintenance
        } else {
            Goal::Off
        };
        run(self.asked(), Action::Reset, goal, options.into(), self.send())
    }
}

impl LegacyUpgradeRequest {
    /// Upgrades the node by the old call, and waits until it is back: another boot, running, and ready. Which release it
    /// runs then is not looked at.
    ///
    /// # Errors
    ///
    /// [`TrackError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the run does not stop the node: once the upgrade is accepted, it goes on. Before, nothing has happened.
    pub fn and_wait(self, options: impl Into<TrackOptions>) -> Run<TrackProgress, Tracked, TrackError> {
        let action = Action::LegacyUpgrade;
        run(self.asked(), action, Goal::Back, options.into(), self.send())
    }
}

impl Node {
    /// [`Node::rollback`], and waits until the node is back: another boot, running, and ready.
    ///
    /// # Errors
    ///
    /// [`TrackError`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the run does not stop the node: once the rollback is sent, it goes on. Before, nothing has happened.
    pub fn rollback_and_wait(
        &self,
        options: impl Into<TrackOptions>,
    ) -> Run<TrackProgress, Tracked, TrackError> {
        let node = self.clone();
        let act = async move {
            node.rollback().await?;
            Ok(Accepted { actor_id: None })
        };
        run(
            Some(self.clone()),
            Action::Rollback,
            Goal::Back,
            options.into(),
            act,
        )
    }
}
