//! The first member of etcd.

use std::time::Duration;

use talos_proto::machine::{
    BootstrapRequest, EventsRequest, RebootRequest, ServiceStateEvent, service_state_event,
};
use talos_testkit::{Code, MachineStage, ReadyCondition, ServiceState, SimCluster, SimNode};

use crate::events::{decode, subscribe, until};
use crate::power::ready_after;
use crate::single;
use crate::wire::Wire;

async fn state(wire: &Wire, service: &str) -> String {
    let reply = wire.machine().service_list(()).await.unwrap().into_inner();
    let services = &reply.messages[0].services;
    let found = services.iter().find(|info| info.id == service);
    found.map_or_else(String::new, |info| info.state.clone())
}

async fn waits_for_bootstrap(node: &SimNode) {
    node.wait_for_event(|event| {
        event.name == "machine.ServiceStateEvent"
            && <ServiceStateEvent as prost::Message>::decode(event.value.clone()).is_ok_and(|event| {
                event.service == "etcd" && event.action() == service_state_event::Action::Preparing
            })
    })
    .await;
}

// covers: machine.MachineService/Bootstrap
#[tokio::test]
async fn a_cluster_boots_to_the_end_once_it_is_bootstrapped() {
    let cluster = SimCluster::builder()
        .control_planes(3)
        .workers(1)
        .bootstrapped(false)
        .start()
        .await
        .unwrap();
    let node = cluster.node(0);
    waits_for_bootstrap(&node).await;
    let wire = Wire::admin(&cluster, &node).await;
    assert_eq!(state(&wire, "etcd").await, "Preparing");
    assert_eq!(state(&wire, "kubelet").await, "Running");
    assert_eq!(node.running_sequence(), Some("boot"));
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    let reply = wire
        .machine()
        .bootstrap(BootstrapRequest::default())
        .await
        .unwrap();
    assert_eq!(reply.into_inner().messages.len(), 1);
    let event = until(&mut stream, |event| {
        decode::<ServiceStateEvent>(event, "machine.ServiceStateEvent").is_some()
    })
    .await;
    let event: ServiceStateEvent = decode(&event, "machine.ServiceStateEvent").unwrap();
    assert_eq!(
        (event.service.as_str(), event.action(), event.message.as_str()),
        (
            "etcd",
            service_state_event::Action::Finished,
            "Bootstrap requested"
        )
    );
    assert_eq!(state(&wire, "etcd").await, "Running");
    for index in 0..4 {
        cluster.node(index).wait_until_ready().await;
    }
    let status = wire
        .machine()
        .bootstrap(BootstrapRequest::default())
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::AlreadyExists, "etcd data directory is not empty")
    );
}

// covers: machine.MachineService/Bootstrap
// covers: machine.MachineService/Reboot
#[tokio::test]
async fn a_machine_that_waits_for_bootstrap_can_be_rebooted() {
    let cluster = SimCluster::builder().bootstrapped(false).start().await.unwrap();
    let node = cluster.node(0);
    waits_for_bootstrap(&node).await;
    let boot = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    wire.machine().reboot(RebootRequest::default()).await.unwrap();
    node.wait_for_event(|_| node.boot_id() != boot).await;
    waits_for_bootstrap(&node).await;
    let wire = Wire::admin(&cluster, &node).await;
    wire.machine()
        .bootstrap(BootstrapRequest::default())
        .await
        .unwrap();
    ready_after(&cluster, &node, &boot).await;
}

// covers: machine.MachineService/Bootstrap
#[tokio::test(start_paused = true)]
async fn bootstrap_waits_a_little_for_what_it_needs() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.set_service_state("cri", ServiceState::Waiting, "Waiting for network");
    let refused = async || {
        let before = tokio::time::Instant::now();
        let status = wire
            .machine()
            .bootstrap(BootstrapRequest::default())
            .await
            .unwrap_err();
        assert_eq!(status.code(), Code::FailedPrecondition);
        (before.elapsed().as_secs(), status.message().to_owned())
    };
    assert_eq!(refused().await, (1, "bootstrap is not available yet".to_owned()));
    node.set_service_state("cri", ServiceState::Running, "Started");
    node.set_service_health("cri", true, "");
    node.set_condition(ReadyCondition::Time, Some("time is not synced"));
    assert_eq!(refused().await, (5, "time is not in sync yet".to_owned()));
    node.set_condition(ReadyCondition::Time, None);
    let status = wire
        .machine()
        .bootstrap(BootstrapRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
    assert!(
        tokio::time::timeout(Duration::from_secs(1), node.wait_until_ready())
            .await
            .is_ok()
    );
    node.set_stage(MachineStage::Running);
}

// covers: machine.MachineService/Bootstrap
#[tokio::test]
async fn workers_are_not_bootstrapped() {
    for (tag, code, text) in [
        (
            "v1.14.0",
            Code::Unimplemented,
            "bootstrap is only available on control plane nodes",
        ),
        (
            "v1.12.4",
            Code::FailedPrecondition,
            "bootstrap can only be performed on a control plane node",
        ),
    ] {
        let cluster = SimCluster::builder()
            .workers(1)
            .talos_version(tag)
            .start()
            .await
            .unwrap();
        let wire = Wire::admin(&cluster, &cluster.node(1)).await;
        let status = wire
            .machine()
            .bootstrap(BootstrapRequest::default())
            .await
            .unwrap_err();
        assert_eq!((status.code(), status.message()), (code, text));
    }
}
