//! Control over what a node does: sequences, services, events.

use bytes::Bytes;

use super::SimNode;
use crate::node::power::{PowerState, Timings};
use crate::node::resources::specs::MachineStage;
use crate::node::status::ReadyCondition;

/// An event on the bus of a node, as `Events` sends it.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct SimEvent {
    /// Twenty characters that sort by time.
    pub id: String,
    /// The action that the event belongs to; empty for those of no action.
    pub actor_id: String,
    /// Full name of the message, such as `machine.TaskEvent`.
    pub name: String,
    /// The encoded message.
    pub value: Bytes,
}

/// What happens on the node.
impl SimNode {
    /// The events since the node booted, the oldest first, at most the last thousand.
    #[must_use]
    pub fn events(&self) -> Vec<SimEvent> {
        let events = self.node().events.kept();
        let events = events.iter().map(|event| SimEvent {
            id: event.id.to_string(),
            actor_id: event.actor.clone(),
            name: event.payload.name.to_owned(),
            value: event.payload.value.clone(),
        });
        events.collect()
    }

    /// Waits until an event of the current or a later boot satisfies `wanted`, and returns it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn wait_for_event(&self, mut wanted: impl FnMut(&SimEvent) -> bool) -> SimEvent {
        let mut found = None;
        self.until(|node| {
            found = node.events().into_iter().find(&mut wanted);
            found.is_some()
        })
        .await;
        // `until` ends when there is one.
        found.unwrap_or_default()
    }

    /// Waits until the node runs and has all it needs: stage `running`, no unmet conditions, API open.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn wait_until_ready(&self) {
        self.until(Self::is_ready).await;
    }

    /// As [`Self::wait_until_ready`], in a boot other than `boot_id`: until the reboot is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn wait_until_ready_after(&self, boot_id: &str) {
        self.until(|node| node.boot_id() != boot_id && node.is_ready())
            .await;
    }

    /// Waits until the node is off: shut down, not just restarting.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn wait_until_off(&self) {
        self.until(|node| *node.node().power_state.lock() == PowerState::Off)
            .await;
    }

    fn is_ready(&self) -> bool {
        let node = self.node();
        self.is_running() && node.stage() == MachineStage::Running && node.unmet_conditions().is_empty()
    }

    pub(super) async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        let mut changes = self.node().events.changes();
        while !condition(self) {
            // The node lives as long as `self`, and the sender as long as the node.
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Ends all `Events` streams without an error, as `machined` does when it stops in good order.
    pub fn end_event_streams(&self) {
        self.node().events.end_readers();
    }

    /// Sets how fast the node is, from the next step it takes.
    pub fn set_timings(&self, timings: Timings) {
        *self.node().timings.lock() = timings;
    }

    /// Lets the task called `name`, such as `cordonAndDrainNode`, wait in every sequence until
    /// [`Self::release_task`]. Its `START` event comes all the same.
    pub fn hold_task(&self, name: &str) {
        self.node().sequencer.hold(name);
    }

    /// Lets a task go on that [`Self::hold_task`] holds.
    pub fn release_task(&self, name: &str) {
        self.node().sequencer.release(name);
    }

    /// Lets the next task called `name` fail with `error`. As on a real machine, the sequence fails, the
    /// machine cleans up and restarts.
    pub fn fail_next_task(&self, name: &str, error: &str) {
        self.node().sequencer.fail_next(name, error);
    }

    /// The name of the sequence that the node runs right now, such as `boot`.
    #[must_use]
    pub fn running_sequence(&self) -> Option<&'static str> {
        self.node().sequencer.running().map(|sequence| sequence.as_str())
    }

    /// Lets the machine status say that `condition` is not met and why, or with `None` that it is met.
    ///
    /// What services say cannot be set here: see [`Self::set_service_state`].
    pub fn set_condition(&self, condition: ReadyCondition, reason: Option<&str>) {
        self.node().set_condition(condition, reason.map(str::to_owned));
    }

    /// Lets the next pull of an installer image by `Upgrade` fail with `error`.
    pub fn fail_next_image_pull(&self, error: &str) {
        self.node().installer.lock().pull_failure = Some(error.to_owned());
    }

    /// Lets the next installer that `LifecycleService` runs say `output`, which may be several lines, and end
    /// with `exit_code`. With any but 0 nothing is written to the disk.
    pub fn set_next_installer_exit(&self, exit_code: i32, output: &str) {
        self.node().installer.lock().next_exit = Some((output.to_owned(), exit_code));
    }

    /// Lets the container of the next installer that `LifecycleService` runs not start, with what is said
    /// about it.
    pub fn fail_next_installer(&self, error: &str) {
        self.node().installer.lock().container_failure = Some(error.to_owned());
    }

    /// Lets installers that `LifecycleService` runs stop after their first line, or go on. Default: they go
    /// on.
    pub fn hold_installer(&self, hold: bool) {
        self.node().installer.lock().held.send_replace(hold);
    }

    /// Whether Talos is on the system disk.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.node().installation.lock().is_installed()
    }

    /// Takes Talos off the system disk, as if the machine had been started from other media. It goes on with
    /// what it does.
    pub fn uninstall(&self) {
        self.node().wipe_installation();
    }

    /// The value with this tag in META.
    #[must_use]
    pub fn meta(&self, tag: u8) -> Option<Bytes> {
        self.node().meta.get(tag)
    }

    /// Sets how many bytes META has room for; each value takes eight more than it is long. What is there
    /// already stays. Default: 256 KiB.
    pub fn set_meta_capacity(&self, bytes: usize) {
        self.node().meta.set_capacity(bytes);
    }

    /// Adds a volume called `label`, which is a part of the volume `parent`, if that is given. `Reset` may
    /// be told to wipe it.
    pub fn add_volume(&self, label: &str, parent: Option<&str>) {
        let parent = parent.map(str::to_owned);
        self.node().volumes.lock().insert(label.to_owned(), parent);
    }
}
