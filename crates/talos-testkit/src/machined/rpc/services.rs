//! Talos services.

use talos_proto::machine::{
    ServiceEvent, ServiceEvents, ServiceHealth, ServiceInfo, ServiceList, ServiceListResponse,
};
use tonic::Status;

use super::Call;
use crate::node::services::Service;

pub(in crate::machined) async fn service_list(call: Call, _: ()) -> Result<ServiceListResponse, Status> {
    let services = call
        .node
        .services
        .all()
        .into_iter()
        .map(|(id, service)| info(id, service))
        .collect();
    Ok(ServiceListResponse {
        messages: vec![ServiceList {
            metadata: None,
            services,
        }],
    })
}

fn info(id: String, service: Service) -> ServiceInfo {
    let events = service.events.into_iter().map(|event| ServiceEvent {
        msg: event.message,
        state: event.state.as_str().to_owned(),
        ts: Some(event.at.to_proto()),
    });
    let health = ServiceHealth {
        unknown: service.health.unknown,
        healthy: service.health.healthy,
        last_message: service.health.last_message,
        last_change: Some(service.health.last_change.to_proto()),
    };
    ServiceInfo {
        id,
        state: service.state.as_str().to_owned(),
        events: Some(ServiceEvents {
            events: events.collect(),
        }),
        health: Some(health),
    }
}
