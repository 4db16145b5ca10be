//! What the tasks of sequences do to the machine. Most take their time and leave no trace.

use std::fmt;
use std::sync::Arc;

use super::{Intent, Job, services};
use crate::node::Node;
use crate::node::events::payload::Payload;
use crate::node::installer::preflight;

/// Arguments of the system call that ends the machine's life, as events carry them.
const RESTART: i64 = 0x0123_4567;
const KEXEC: i64 = 0x4558_4543;
const POWER_OFF: i64 = 0x4321_fedc;

/// Why a task did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TaskError {
    /// Another sequence takes over.
    Canceled,
    /// The machine restarts, which looks like a failure to the sequence.
    Restart(i64),
    /// The machine goes off.
    PowerOff,
    Failed(String),
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Canceled => f.write_str("context canceled"),
            Self::Restart(cmd) => write!(f, "unix.Reboot({cmd:x})"),
            Self::PowerOff => write!(f, "unix.Reboot({POWER_OFF:x})"),
            Self::Failed(text) => f.write_str(text),
        }
    }
}

pub(super) async fn run(node: &Arc<Node>, task: &str, job: &Job) -> Result<(), TaskError> {
    node.tick().await;
    node.sequencer.until_released(task).await;
    if let Some(error) = node.sequencer.planned_failure(task) {
        return Err(TaskError::Failed(error));
    }
    match task {
        "startMachined" => services::start(node, "machined").await,
        "waitForUdevd" => services::start(node, "udevd").await,
        "startApid" => services::start(node, "apid").await,
        "startAuditd" => services::start(node, "auditd").await,
        "startSyslogd" => services::start(node, "syslogd").await,
        "startContainerd" => services::start(node, "containerd").await,
        "startDashboard" => services::start(node, "dashboard").await,
        "loadConfig" => node.load_config().await,
        "startAllServices" => services::start_all(node).await,
        "stopServicesForUpgrade" => services::stop_workload(node).await,
        "stopAllServices" => {
            services::stop_all(node).await;
            // `apid` was the last of them.
            node.disconnect();
        }
        "install" => {
            let tag = node.version.lock().tag.clone();
            node.install(None, &tag);
        }
        "upgrade" => {
            if let Intent::Upgrade { tag, .. } = &job.intent {
                let host = node.version.lock().tag.clone();
                preflight(&host, tag).map_err(TaskError::Failed)?;
                node.installation.lock().upgrade(tag);
            }
        }
        #[cfg(feature = "kubernetes")]
        "cordonAndDrainNode" => {
            if let Some(kubernetes) = node.cluster.kubernetes() {
                *node.cordoned.lock() = true;
                Arc::clone(kubernetes).drain(node).await;
            }
        }
        "leaveEtcd" => node.leave_etcd().await,
        "resetSystemDisk" => node.wipe_system_disk(),
        "resetSystemDiskSpec" => {
            if let Intent::Reset(reset) = &job.intent {
                node.wipe_volumes(&reset.volumes);
            }
        }
        "resetUserDisks" => {
            if let Intent::Reset(reset) = &job.intent {
                node.wipe_user_disks(&reset.user_disks);
            }
        }
        "reboot" => {
            let cmd = if uses_kexec(job) { KEXEC } else { RESTART };
            node.events.publish(&job.actor, Payload::restart(cmd));
            return Err(TaskError::Restart(cmd));
        }
        "shutdown" => {
            node.events.publish(&job.actor, Payload::restart(POWER_OFF));
            return Err(TaskError::PowerOff);
        }
        _ => {}
    }
    Ok(())
}

/// Whether the sequence has loaded the next kernel before it restarts.
fn uses_kexec(job: &Job) -> bool {
    let power_cycle = match &job.intent {
        Intent::PowerCycle => true,
        Intent::Upgrade { powercycle, .. } => *powercycle,
        Intent::Nothing | Intent::Reset(_) => false,
    };
    job.conditions.kexec && !power_cycle && !job.conditions.only_reboot
}
