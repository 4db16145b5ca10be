//! Starting, stopping and restarting services.

use std::sync::Arc;

use talos_proto::machine::{
    ServiceRestart, ServiceRestartRequest, ServiceRestartResponse, ServiceStart, ServiceStartRequest,
    ServiceStartResponse, ServiceStop, ServiceStopRequest, ServiceStopResponse,
};
use tonic::Status;

use super::Call;
use crate::node::sequence::services;

/// Only some services can be controlled, and those not in every way.
fn check(call: &Call, id: &str, operation: &str) -> Result<(), Status> {
    if call.node.services.state(id).is_none() {
        return Err(Status::unknown(format!("service \"{id}\" not defined")));
    }
    let allowed = id.starts_with("ext-") || id == "kubelet" && operation != "stop";
    if !allowed {
        return Err(Status::unknown(format!(
            "service \"{id}\" doesn't support {operation} operation via API"
        )));
    }
    Ok(())
}

/// Starting takes its time, which the call does not wait for.
fn start_in_background(call: &Call, id: &str) {
    let (node, id) = (Arc::clone(&call.node), id.to_owned());
    call.node.spawn(async move { services::start(&node, &id).await });
}

pub(in crate::machined) async fn start(
    call: Call,
    request: ServiceStartRequest,
) -> Result<ServiceStartResponse, Status> {
    let id = request.id;
    check(&call, &id, "start")?;
    start_in_background(&call, &id);
    Ok(ServiceStartResponse {
        messages: vec![ServiceStart {
            metadata: None,
            resp: format!("Service \"{id}\" started"),
        }],
    })
}

pub(in crate::machined) async fn stop(
    call: Call,
    request: ServiceStopRequest,
) -> Result<ServiceStopResponse, Status> {
    let id = request.id;
    check(&call, &id, "stop")?;
    services::stop(&call.node, &id).await;
    Ok(ServiceStopResponse {
        messages: vec![ServiceStop {
            metadata: None,
            resp: format!("Service \"{id}\" stopped"),
        }],
    })
}

pub(in crate::machined) async fn restart(
    call: Call,
    request: ServiceRestartRequest,
) -> Result<ServiceRestartResponse, Status> {
    let id = request.id;
    check(&call, &id, "restart")?;
    services::stop(&call.node, &id).await;
    start_in_background(&call, &id);
    Ok(ServiceRestartResponse {
        messages: vec![ServiceRestart {
            metadata: None,
            resp: format!("Service \"{id}\" restarted"),
        }],
    })
}
