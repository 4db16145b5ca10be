//! `Reset`: wipes what it is told to, then restarts or switches off.

use talos_proto::machine::{Reset, ResetRequest, ResetResponse, reset_request};
use tonic::Status;

use super::Call;
use crate::node::sequence::plan::{Conditions, Sequence, WipeTarget};
use crate::node::sequence::{Intent, Job, ResetIntent};
use crate::node::{MachineRole, volumes};

pub(in crate::machined) async fn reset(call: Call, request: ResetRequest) -> Result<ResetResponse, Status> {
    use reset_request::WipeMode;
    call.not_in_agent()?;
    let mode = WipeMode::try_from(request.mode).unwrap_or_default();
    let volumes: Vec<String> = request
        .system_partitions_to_wipe
        .into_iter()
        .filter(|partition| partition.wipe)
        .map(|partition| partition.label)
        .collect();
    check(&call, mode, &volumes, &request.user_disks_to_wipe).map_err(Status::unknown)?;
    let wipe = match mode {
        WipeMode::UserDisks => WipeTarget::Nothing,
        WipeMode::All | WipeMode::SystemDisk if volumes.is_empty() => WipeTarget::WholeDisk,
        WipeMode::All | WipeMode::SystemDisk => WipeTarget::Volumes,
    };
    let control_plane = call.node.machine_role() == Some(MachineRole::ControlPlane);
    let conditions = Conditions {
        drain: request.graceful,
        leave_etcd: request.graceful && control_plane,
        kexec: wipe == WipeTarget::Volumes && !volumes.iter().any(|label| label == "BOOT"),
        comes_back: request.reboot,
        wipe,
        wipe_user_disks: !request.user_disks_to_wipe.is_empty(),
        ..call.node.conditions()
    };
    let mut job = Job::new(Sequence::Reset, conditions);
    job.intent = Intent::Reset(ResetIntent {
        volumes,
        user_disks: request.user_disks_to_wipe,
    });
    let actor_id = call.act(job);
    Ok(ResetResponse {
        messages: vec![Reset {
            metadata: None,
            actor_id,
        }],
    })
}

/// All of these are plain errors to Talos, without a code of their own.
fn check(
    call: &Call,
    mode: reset_request::WipeMode,
    wiped: &[String],
    user_disks: &[String],
) -> Result<(), String> {
    use reset_request::WipeMode;
    let clash = |mode: &str, parameter: &str| {
        Err(format!(
            "reset failed: invalid input, wipe mode {mode} doesn't support {parameter} parameter"
        ))
    };
    if mode == WipeMode::SystemDisk && !user_disks.is_empty() {
        return clash("SYSTEM_DISK", "UserDisksToWipe");
    }
    if mode == WipeMode::UserDisks && !wiped.is_empty() {
        return clash("USER_DISKS", "SystemPartitionsToWipe");
    }
    for path in user_disks {
        let reason = match call.node.disk(path) {
            None => "wasn't found",
            Some(disk) if disk.read_only => "is readonly",
            Some(disk) if disk.system => "is the system disk",
            Some(_) => continue,
        };
        return Err(format!("reset user disk failed: device {path} {reason}"));
    }
    for label in wiped {
        let known = call.node.volumes.lock().get(label).cloned();
        let Some(parent) = known else {
            return Err(format!(
                "failed to get volume status with label \"{label}\": {}",
                volumes::not_found(label)
            ));
        };
        if let Some(parent) = parent.filter(|parent| !wiped.contains(parent)) {
            return Err(format!(
                "failed to reset: volume \"{label}\" resides on volume \"{parent}\", and therefore \"{label}\" \
                 cannot be wiped without wiping \"{parent}\""
            ));
        }
    }
    Ok(())
}
