//! A machine without a configuration to boot with: it waits for one, and serves an API for that.

use std::sync::Arc;

use crate::node::Node;
use crate::node::events::payload::{Edge, Payload};
use crate::node::power::ApiMode;
use crate::node::resources::specs::MachineStage;
use crate::node::sequence::plan::Sequence;
use crate::node::sequence::{Job, Outcome};

/// The task inside the one that finds the configuration. It belongs to no phase.
const TASK: &str = "runningMaintenance";

impl Node {
    /// The task that finds the configuration; the API of a configured machine is up when it ends.
    pub(in crate::node) async fn load_config(self: &Arc<Self>) {
        // A machine that was made to wait has told so already.
        if self.stage() != MachineStage::Maintenance {
            self.network_is_up();
            if self.in_maintenance() {
                let hostname = self.current_identity().hostname;
                self.cluster.members.remove(&hostname);
                self.connect(ApiMode::Maintenance);
                self.events.publish("", Payload::task(TASK, Edge::Start));
                self.enter(MachineStage::Maintenance);
            }
        }
        if self.stage() == MachineStage::Maintenance {
            self.configuration.until_complete().await;
            self.events.publish("", Payload::task(TASK, Edge::Stop));
            self.enter(MachineStage::Booting);
            self.tick().await;
            self.drain().await;
            self.publish_version();
        }
        self.connect(ApiMode::Secure);
    }

    /// Lets a controller install the machine, if its configuration wants that; the machine restarts then.
    pub(in crate::node) async fn install_unattended(self: &Arc<Self>) -> Option<Outcome> {
        let active = self.configuration.active()?;
        if self.keeps_state() || !active.installs_unattended() {
            return None;
        }
        self.enter(MachineStage::Installing);
        self.tick().await;
        let tag = self.version.lock().tag.clone();
        self.install(None, &tag);
        let mut job = Job::new(Sequence::Reboot, self.conditions());
        job.conditions.kexec = true;
        Some(self.run_own(job).await)
    }
}
