//! Logs of services and of the kernel.

use std::sync::Arc;

use talos_proto::common::Data;
use talos_proto::machine::{DmesgRequest, LogsContainer, LogsContainersResponse, LogsRequest};
use tonic::Status;

use super::{Call, Items, containers, data};
use crate::node::logs::LogQuery;

pub(in crate::machined) async fn logs(call: Call, request: LogsRequest) -> Result<Items<Data>, Status> {
    let service = request.namespace == "system" || request.id == "kubelet";
    let buffer = if service {
        call.node.logs.get(&request.id)
    } else {
        containers::asks_cri(request.driver, &request.namespace)?;
        let Some(id) = containers::log_id(&call, &request.namespace, &request.id) else {
            return Err(containers::not_found(&request.id));
        };
        call.node.register_container_logs();
        call.node.container_logs.get(&id)
    };
    let Some(buffer) = buffer else {
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
