//! Containers of Talos's services and of pods.

use talos_proto::common::ContainerDriver;
use talos_proto::machine::{
    Container, ContainerInfo, ContainersRequest, ContainersResponse, Restart, RestartRequest,
    RestartResponse, Stat, Stats, StatsRequest, StatsResponse,
};
use tonic::Status;

use super::Call;
use crate::node::containers::{self, ContainerState, K8S};
use crate::rng::SimRng;

/// Whether the CRI driver is asked, which knows the namespace of Kubernetes only.
pub(super) fn asks_cri(driver: i32, namespace: &str) -> Result<bool, Status> {
    if namespace.is_empty() {
        return Err(Status::invalid_argument("namespace can't be empty"));
    }
    match ContainerDriver::try_from(driver) {
        Ok(ContainerDriver::Cri) if namespace != K8S => Err(Status::unknown(
            "CRI inspector is supported only for K8s namespace",
        )),
        Ok(ContainerDriver::Cri) => Ok(true),
        Ok(ContainerDriver::Containerd) => Ok(false),
        Err(_) => Err(Status::invalid_argument(format!(
            "unsupported driver \"{driver}\""
        ))),
    }
}

pub(super) fn not_found(id: &str) -> Status {
    Status::unknown(format!("container \"{id}\" not found"))
}

pub(in crate::machined) async fn containers(
    call: Call,
    request: ContainersRequest,
) -> Result<ContainersResponse, Status> {
    let cri = asks_cri(request.driver, &request.namespace)?;
    let containers = call.node.containers(&request.namespace).into_iter();
    let containers = containers.map(|container| ContainerInfo {
        namespace: container.namespace.to_owned(),
        status: container.status(cri).to_owned(),
        id: container.id,
        uid: container.uid,
        internal_id: container.internal_id,
        image: container.image,
        pid: container.pid,
        pod_id: container.pod_id,
        name: container.name,
        network_namespace: container.network_namespace,
    });
    Ok(ContainersResponse {
        messages: vec![Container {
            metadata: None,
            containers: containers.collect(),
        }],
    })
}

pub(in crate::machined) async fn stats(call: Call, request: StatsRequest) -> Result<StatsResponse, Status> {
    asks_cri(request.driver, &request.namespace)?;
    let nanos = call.node.uptime().as_nanos() / 1_000;
    let nanos = u64::try_from(nanos).unwrap_or(u64::MAX);
    let containers = call.node.containers(&request.namespace).into_iter();
    let stats = containers
        .filter(|container| container.state == ContainerState::Running)
        .map(|container| {
            let mut rng = SimRng::new(0).fork(&container.id);
            Stat {
                namespace: container.namespace.to_owned(),
                id: container.id,
                memory_usage: 4096 * (2_000 + rng.next_u64() % 50_000),
                cpu_usage: nanos.saturating_mul(1 + rng.next_u64() % 50),
                pod_id: container.pod_id,
                name: container.name,
            }
        });
    Ok(StatsResponse {
        messages: vec![Stats {
            metadata: None,
            stats: stats.collect(),
        }],
    })
}

pub(in crate::machined) async fn restart(
    call: Call,
    request: RestartRequest,
) -> Result<RestartResponse, Status> {
    asks_cri(request.driver, &request.namespace)?;
    let restarted = call.node.restart_container(&request.namespace, &request.id);
    restarted.ok_or_else(|| not_found(&request.id))?;
    call.node.register_container_logs();
    Ok(RestartResponse {
        messages: vec![Restart::default()],
    })
}

/// The id under which the log of a container is kept.
pub(super) fn log_id(call: &Call, namespace: &str, id: &str) -> Option<String> {
    let container = call
        .node
        .containers(namespace)
        .into_iter()
        .find(|container| container.id == id)?;
    (namespace == containers::K8S && !container.sandbox).then_some(container.id)
}
