//! `Bootstrap`: makes a node the first member of etcd.

use std::time::Duration;

use talos_proto::machine::{Bootstrap, BootstrapRequest, BootstrapResponse};
use talos_proto::methods::Release;
use tonic::Status;

use super::Call;
use crate::node::MachineRole;
use crate::node::services::ServiceState;

/// How long a call waits for the container runtime, and for the clock.
const CRI_WAIT: Duration = Duration::from_secs(1);
const TIME_WAIT: Duration = Duration::from_secs(5);

pub(in crate::machined) async fn bootstrap(
    call: Call,
    request: BootstrapRequest,
) -> Result<BootstrapResponse, Status> {
    let node = &call.node;
    let cri_runs = || {
        let healthy = node.services.health("cri").is_some_and(|health| health.healthy);
        healthy && node.services.state("cri") == Some(ServiceState::Running)
    };
    if !node.within(CRI_WAIT, cri_runs).await {
        return Err(Status::failed_precondition("bootstrap is not available yet"));
    }
    if node.release() < Release::new(1, 13) && node.machine_role() == Some(MachineRole::Worker) {
        return Err(Status::failed_precondition(
            "bootstrap can only be performed on a control plane node",
        ));
    }
    call.control_plane_only("bootstrap")?;
    if !node.config().is_some_and(|config| config.has_cluster()) {
        return Err(Status::invalid_argument(
            "etcd is not configured, bootstrap is not possible",
        ));
    }
    if !node.within(TIME_WAIT, || node.time_is_synced()).await {
        return Err(Status::failed_precondition("time is not in sync yet"));
    }
    if node.has_etcd_data() {
        return Err(Status::already_exists("etcd data directory is not empty"));
    }
    let _ = request;
    node.bootstrap_etcd().await;
    Ok(BootstrapResponse {
        messages: vec![Bootstrap { metadata: None }],
    })
}
