//! Starting, stopping and restarting services.

use talos_proto::cosi::resource::GetRequest;
use talos_proto::machine::{
    EventsRequest, ServiceRestartRequest, ServiceStartRequest, ServiceStateEvent, ServiceStopRequest,
    service_state_event,
};
use talos_testkit::{Code, ServiceState};

use crate::events::{decode, subscribe, until};
use crate::single;
use crate::wire::Wire;

// covers: machine.MachineService/ServiceRestart
#[tokio::test]
async fn a_restart_goes_through_all_states() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:operator"]).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    let request = ServiceRestartRequest {
        id: "kubelet".to_owned(),
    };
    let reply = wire
        .machine()
        .service_restart(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.messages[0].resp, "Service \"kubelet\" restarted");
    let mut states = Vec::new();
    let healthy = loop {
        let event = until(&mut stream, |event| {
            decode::<ServiceStateEvent>(event, "machine.ServiceStateEvent").is_some()
        })
        .await;
        let event: ServiceStateEvent = decode(&event, "machine.ServiceStateEvent").unwrap();
        assert_eq!(event.service, "kubelet");
        if states.last() != Some(&event.action()) {
            states.push(event.action());
        }
        if event.message == "Health check successful" {
            break event.health.unwrap();
        }
    };
    use service_state_event::Action;
    let expected = [
        Action::Stopping,
        Action::Finished,
        Action::Starting,
        Action::Waiting,
        Action::Preparing,
        Action::Running,
    ];
    assert_eq!(states, expected);
    assert!(healthy.healthy && !healthy.unknown);
}

// covers: machine.MachineService/ServiceStart
// covers: machine.MachineService/ServiceStop
#[tokio::test]
async fn extension_services_start_and_stop() {
    let cluster = single().await;
    let node = cluster.node(0);
    node.set_service_state("ext-hello", ServiceState::Running, "Started");
    let wire = Wire::admin(&cluster, &node).await;
    let resource = async || {
        let request = GetRequest {
            namespace: "runtime".to_owned(),
            r#type: "Services.v1alpha1.talos.dev".to_owned(),
            id: "ext-hello".to_owned(),
            options: None,
        };
        wire.state()
            .get(request)
            .await
            .map(drop)
            .map_err(|status| status.code())
    };
    assert_eq!(resource().await, Ok(()));
    let id = || "ext-hello".to_owned();
    for _ in 0..2 {
        let request = ServiceStopRequest { id: id() };
        let reply = wire.machine().service_stop(request).await.unwrap().into_inner();
        assert_eq!(reply.messages[0].resp, "Service \"ext-hello\" stopped");
        assert_eq!(resource().await, Err(Code::NotFound));
    }
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    let request = ServiceStartRequest { id: id() };
    let reply = wire.machine().service_start(request).await.unwrap().into_inner();
    assert_eq!(reply.messages[0].resp, "Service \"ext-hello\" started");
    until(&mut stream, |event| {
        decode::<ServiceStateEvent>(event, "machine.ServiceStateEvent")
            .is_some_and(|event| event.action() == service_state_event::Action::Running)
    })
    .await;
    assert_eq!(resource().await, Ok(()));
}

// covers: machine.MachineService/ServiceStart
// covers: machine.MachineService/ServiceStop
// covers: machine.MachineService/ServiceRestart
#[tokio::test]
async fn other_services_cannot_be_controlled() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let start = async |id: &str| {
        let request = ServiceStartRequest { id: id.to_owned() };
        wire.machine().service_start(request).await.unwrap_err()
    };
    let stop = async |id: &str| {
        let request = ServiceStopRequest { id: id.to_owned() };
        wire.machine().service_stop(request).await.unwrap_err()
    };
    let restart = async |id: &str| {
        let request = ServiceRestartRequest { id: id.to_owned() };
        wire.machine().service_restart(request).await.unwrap_err()
    };
    for (status, text) in [
        (
            start("etcd").await,
            "service \"etcd\" doesn't support start operation via API",
        ),
        (
            stop("kubelet").await,
            "service \"kubelet\" doesn't support stop operation via API",
        ),
        (
            restart("apid").await,
            "service \"apid\" doesn't support restart operation via API",
        ),
        (restart("nothing").await, "service \"nothing\" not defined"),
    ] {
        assert_eq!((status.code(), status.message()), (Code::Unknown, text));
    }
    let request = ServiceStartRequest {
        id: "kubelet".to_owned(),
    };
    wire.machine().service_start(request).await.unwrap();
}
