//! Logs of services and of the kernel.

use std::sync::Arc;

use talos_proto::common::{ContainerDriver, Data};
use talos_proto::machine::{DmesgRequest, LogsContainer, LogsContainersResponse, LogsRequest};
use tonic::Status;

use super::{Call, Items, data};
use crate::node::logs::LogQuery;

pub(in crate::machined) async fn logs(call: Call, request: LogsRequest) -> Result<Items<Data>, Status> {
    if request.namespace != "system" && request.id != "kubelet" {
        return Err(container_log_error(&request));
    }
    let Some(buffer) = call.node.logs.get(&request.id) else {
        return Err(Status::unknown(format!(
            "log \"{}\" was not registered",
            request.id
        )));
    };
    let query = LogQuery {
        tail_lines: request.tail_lines,
        follow: request.follow,
    };
    Ok(data(buffer.read(query, call.node.next_rng())))
}

/// The simulator runs no containers, so that every request for the log of one fails as on a node where
/// there is none of that name.
fn container_log_error(request: &LogsRequest) -> Status {
    if request.namespace.is_empty() {
        return Status::invalid_argument("namespace can't be empty");
    }
    match ContainerDriver::try_from(request.driver) {
        Ok(ContainerDriver::Cri) if request.namespace != "k8s.io" => {
            Status::unknown("CRI inspector is supported only for K8s namespace")
        }
        Ok(ContainerDriver::Cri | ContainerDriver::Containerd) => {
            Status::unknown(format!("container \"{}\" not found", request.id))
        }
        _ => Status::invalid_argument(format!("unsupported driver \"{}\"", request.driver)),
    }
}

pub(in crate::machined) async fn dmesg(call: Call, request: DmesgRequest) -> Result<Items<Data>, Status> {
    Ok(data(
        Arc::clone(&call.node.kernel).read(request.follow, request.tail),
    ))
}

pub(in crate::machined) async fn logs_containers(
    call: Call,
    _: (),
) -> Result<LogsContainersResponse, Status> {
    Ok(LogsContainersResponse {
        messages: vec![LogsContainer {
            metadata: None,
            ids: call.node.logs.ids(),
        }],
    })
}
