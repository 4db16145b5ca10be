//! `Bootstrap`: the first start of etcd in a cluster, perhaps with what an older cluster had in it.

use std::time::Duration;

use talos_proto::definitions::enums::RuntimeUnattendedInstallPhase;
use talos_proto::definitions::runtime::UnattendedInstallStatusSpec;
use talos_proto::machine::{Bootstrap, BootstrapRequest, BootstrapResponse};
use talos_proto::methods::Release;
use tonic::Status;

use super::Call;
use crate::node::etcd::{self, Recover};
use crate::node::services::ServiceState;
use crate::node::{MachineRole, Node};

/// How long the call waits for the container runtime, and for the clock.
const RUNTIME_PATIENCE: Duration = Duration::from_secs(1);
const CLOCK_PATIENCE: Duration = Duration::from_secs(5);

pub(in crate::machined) async fn bootstrap(
    call: Call,
    request: BootstrapRequest,
) -> Result<BootstrapResponse, Status> {
    let node = &call.node;
    if !node.within(RUNTIME_PATIENCE, is_available).await {
        return Err(Status::failed_precondition("bootstrap is not available yet"));
    }
    if node.machine_role() == Some(MachineRole::Worker) && node.is_older_than(Release::new(1, 13)) {
        return Err(Status::failed_precondition(
            "bootstrap can only be performed on a control plane node",
        ));
    }
    call.control_plane_only("bootstrap")?;
    if !node.runs_etcd() && !node.is_older_than(Release::new(1, 14)) {
        return Err(Status::invalid_argument(
            "etcd is not configured, bootstrap is not possible",
        ));
    }
    if !node.within(CLOCK_PATIENCE, Node::is_time_in_sync).await {
        return Err(Status::failed_precondition("time is not in sync yet"));
    }
    if etcd::has_data(node) {
        return Err(Status::already_exists("etcd data directory is not empty"));
    }
    let recover = request.recover_etcd.then_some(Recover {
        skip_hash_check: request.recover_skip_hash_check,
    });
    node.bootstrap_etcd(recover)
        .map_err(|error| Status::unknown(error.to_string()))?;
    Ok(BootstrapResponse {
        messages: vec![Bootstrap { metadata: None }],
    })
}

/// Whether the machine is so far that etcd can be started, and stays up for it.
fn is_available(node: &Node) -> bool {
    let runtime = node.services.state("cri") == Some(ServiceState::Running)
        && node.services.health("cri").is_some_and(|health| health.healthy);
    let find = |kind, id| node.resources.collection("runtime", kind).get(id);
    let installing = find(
        "UnattendedInstallStatuses.runtime.talos.dev",
        "unattended-install",
    );
    let installed = installing.is_none_or(|status| {
        let spec = status.spec.as_ref().map(|spec| spec.proto_spec.clone());
        let status: UnattendedInstallStatusSpec =
            prost::Message::decode(spec.unwrap_or_default()).unwrap_or_default();
        status.phase() == RuntimeUnattendedInstallPhase::UnattendedInstallPhaseInstalled
    });
    let reboots = find("RebootRequests.runtime.talos.dev", "reboot-request").is_some();
    runtime && installed && !reboots
}
