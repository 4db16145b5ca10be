//! The upgrade of older clients: one call that pulls, writes and restarts.

use talos_proto::machine::{Upgrade, UpgradeRequest, UpgradeResponse, upgrade_request};
use talos_proto::methods::Release;
use tonic::Status;

use super::Call;
use super::etcd::status;
use crate::node::MachineRole;
use crate::node::etcd::UpgradeRefusal;
use crate::node::sequence::plan::{Conditions, Sequence};
use crate::node::sequence::{Intent, Job};

pub(in crate::machined) async fn upgrade(
    call: Call,
    request: UpgradeRequest,
) -> Result<UpgradeResponse, Status> {
    call.not_in_agent()?;
    call.not_in_container()?;
    let old = call.node.is_older_than(Release::new(1, 13));
    if old && call.node.in_maintenance() && (request.preserve || request.stage || request.force) {
        return Err(Status::unimplemented(
            "upgrade --preserve, --stage, and --force are not supported in maintenance mode",
        ));
    }
    if !call.node.installation.lock().is_installed() {
        return Err(Status::failed_precondition("Talos is not installed"));
    }
    let invalid = |error: String| {
        Status::unknown(format!(
            "error validating installer image \"{}\": {error}",
            request.image
        ))
    };
    if let Some(error) = call.node.installer.lock().pull_failure.take() {
        return Err(invalid(error));
    }
    if request.image.is_empty() {
        return Err(invalid(
            "failed to parse image reference \"\": repository name must have at least one component"
                .to_owned(),
        ));
    }
    let control_plane = call.node.machine_role() == Some(MachineRole::ControlPlane);
    if control_plane && !request.force && !request.preserve {
        let allowed = call.node.cluster.etcd.allow_upgrade(&call.node);
        allowed.map_err(refused)?;
    }
    let current = call.node.version.lock().tag.clone();
    let tag = call.node.release_of_installer(&request.image).unwrap_or(current);
    let powercycle = request.reboot_mode == i32::from(upgrade_request::RebootMode::Powercycle);
    let (sequence, conditions) = if call.node.machine_role().is_none() {
        // In maintenance there is only one way.
        (
            Sequence::MaintenanceUpgrade,
            Conditions {
                kexec: true,
                ..call.node.conditions()
            },
        )
    } else if request.stage {
        let staged = call.node.stage_upgrade(&request.image);
        staged.map_err(|_| Status::unknown("no room in META for the upgrade"))?;
        (
            Sequence::StageUpgrade,
            Conditions {
                kexec: !powercycle,
                ..call.node.conditions()
            },
        )
    } else {
        (
            Sequence::Upgrade,
            Conditions {
                kexec: true,
                drain: true,
                ..call.node.conditions()
            },
        )
    };
    let mut job = Job::new(sequence, conditions);
    job.intent = Intent::Upgrade { tag, powercycle };
    let actor_id = call.act(job);
    Ok(UpgradeResponse {
        messages: vec![Upgrade {
            metadata: None,
            ack: "Upgrade request received".to_owned(),
            actor_id,
        }],
    })
}

fn refused(refusal: UpgradeRefusal) -> Status {
    const MUTEX: &str = "failed to acquire upgrade mutex: ";
    match refusal {
        UpgradeRefusal::Etcd(error) => status(&error, MUTEX),
        UpgradeRefusal::Locked => Status::unknown(format!("{MUTEX}mutex: Locked by another session")),
        UpgradeRefusal::Unsafe(reason) => {
            Status::unknown(format!("error validating etcd for upgrade: {reason}"))
        }
    }
}
