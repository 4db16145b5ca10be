//! Machines that restart, go off, and come back.

use std::time::Duration;

use talos_proto::common;
use talos_proto::machine::{
    Event, EventsRequest, LogsRequest, MachineStatusEvent, PhaseEvent, ReadRequest, RebootRequest,
    RestartEvent, RollbackRequest, SequenceEvent, ShutdownRequest, TaskEvent, machine_status_event,
    phase_event, reboot_request, sequence_event, task_event,
};
use talos_testkit::{Code, PlatformMode, SimCluster, SimEvent, SimNode, Timings};

use crate::events::{decode, subscribe, until};
use crate::single;
use crate::wire::{Wire, concat};

/// Waits until the node is ready in a boot other than `boot_id`, and connects to it.
pub(crate) async fn ready_after(cluster: &SimCluster, node: &SimNode, boot_id: &str) -> Wire {
    node.wait_until_ready_after(boot_id).await;
    Wire::admin(cluster, node).await
}

fn phases(events: &[SimEvent]) -> Vec<String> {
    let started = events
        .iter()
        .filter(|event| event.name == "machine.PhaseEvent")
        .map(|event| <PhaseEvent as prost::Message>::decode(event.value.clone()).unwrap())
        .filter(|event| event.action() == phase_event::Action::Start);
    started.map(|event| event.phase).collect()
}

fn sequence_error(event: &Event) -> Option<(String, common::Code, String)> {
    let sequence: SequenceEvent = decode(event, "machine.SequenceEvent")?;
    assert!(sequence.error.is_none() || sequence.action() == sequence_event::Action::Noop);
    let error = sequence.error?;
    Some((sequence.sequence, error.code(), error.message))
}

fn task_starts(event: &Event, name: &str) -> bool {
    decode::<TaskEvent>(event, "machine.TaskEvent")
        .is_some_and(|task| task.task == name && task.action() == task_event::Action::Start)
}

async fn reboot(wire: &Wire, mode: reboot_request::Mode) -> String {
    let request = RebootRequest { mode: mode.into() };
    let reply = wire.machine().reboot(request).await.unwrap().into_inner();
    reply.messages[0].actor_id.clone()
}

// covers: machine.MachineService/Reboot
#[tokio::test]
async fn a_reboot_cuts_connections_and_comes_back_as_another_boot() {
    let cluster = single().await;
    let node = cluster.node(0);
    let before = node.boot_id();
    node.append_log("etcd", "of the last boot");
    let wire = Wire::with_roles(&cluster, &node, &["os:operator"]).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    let actor = reboot(&wire, reboot_request::Mode::Default).await;
    assert_eq!(actor.len(), 36);
    let first = until(&mut stream, |event| event.actor_id == actor).await;
    let sequence: SequenceEvent = decode(&first, "machine.SequenceEvent").unwrap();
    assert_eq!(
        (sequence.sequence.as_str(), sequence.action()),
        ("reboot", sequence_event::Action::Start)
    );
    let mut seen = Vec::new();
    let end = loop {
        match stream.message().await {
            Ok(Some(event)) => seen.push(event),
            Ok(None) => panic!("a reboot ends streams the hard way"),
            Err(status) => break status,
        }
    };
    assert_ne!(end.code(), Code::Ok);
    assert!(seen.iter().any(|event| task_starts(event, "stopAllServices")));
    assert!(
        !seen.iter().any(|event| task_starts(event, "reboot")),
        "it is cut off by then"
    );
    let status = seen
        .iter()
        .filter_map(|event| decode::<MachineStatusEvent>(event, "machine.MachineStatusEvent"));
    let stages: Vec<_> = status.map(|status| status.stage()).collect();
    assert_eq!(
        stages.first(),
        Some(&machine_status_event::MachineStage::Rebooting)
    );

    let wire = ready_after(&cluster, &node, &before).await;
    let request = ReadRequest {
        path: "/proc/sys/kernel/random/boot_id".to_owned(),
    };
    let read = concat(wire.machine().read(request).await.unwrap().into_inner())
        .await
        .unwrap();
    assert_eq!(read, format!("{}\n", node.boot_id()).as_bytes());
    let request = LogsRequest {
        namespace: "system".to_owned(),
        id: "etcd".to_owned(),
        tail_lines: -1,
        ..LogsRequest::default()
    };
    let log = String::from_utf8(wire.logs(request).await.unwrap()).unwrap();
    assert!(
        !log.contains("of the last boot") && log.contains("Running pre state"),
        "{log}"
    );
    let services = wire.machine().service_list(()).await.unwrap().into_inner();
    let services = &services.messages[0].services;
    assert_eq!(services.len(), 11);
    assert!(services.iter().all(|service| service.state == "Running"));
    let expected = [
        "systemRequirements",
        "earlyServices",
        "usb",
        "meta",
        "dashboard",
        "config",
        "memorySizeCheck",
        "diskSizeCheck",
        "env",
        "dbus",
        "ephemeral",
        "promotableVolumes",
        "userDisks",
        "userSetup",
        "startEverything",
    ];
    assert_eq!(phases(&node.events()), expected, "events are those of this boot");
}

// covers: machine.MachineService/Reboot
#[tokio::test]
async fn connections_are_refused_while_a_machine_restarts() {
    let cluster = SimCluster::builder()
        .control_planes(2)
        .timings(Timings::default().with_downtime(Duration::from_secs(3600)))
        .start()
        .await
        .unwrap();
    let node = cluster.node(1);
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let (_, mut stream) = subscribe(&Wire::admin(&cluster, &node).await, EventsRequest::default()).await;
    let metadata = [("node", "10.5.0.3")];
    let request = crate::wire::with(RebootRequest::default(), &metadata);
    wire.machine().reboot(request).await.unwrap();
    while stream.message().await.is_ok() {}
    let refused = tokio::net::TcpStream::connect(node.socket_addr())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let status = wire
        .machine()
        .version(crate::wire::with((), &metadata))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status.message().ends_with("connect: connection refused\""),
        "{status}"
    );
    // Who cuts the power now and switches it on again need not wait.
    let before = node.boot_id();
    node.kill();
    node.revive().unwrap();
    ready_after(&cluster, &node, &before).await;
}

// covers: machine.MachineService/Reboot
#[tokio::test]
async fn a_forced_reboot_is_seen_to_its_end() {
    let cluster = single().await;
    let node = cluster.node(0);
    let before = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    node.hold_task("reboot");
    let actor = reboot(&wire, reboot_request::Mode::Force).await;
    until(&mut stream, |event| task_starts(event, "reboot")).await;
    assert_eq!(node.running_sequence(), Some("reboot"));
    let events = node.events();
    let mine: Vec<_> = events
        .into_iter()
        .filter(|event| event.actor_id == actor)
        .collect();
    assert_eq!(phases(&mine), ["reboot"]);
    node.release_task("reboot");
    ready_after(&cluster, &node, &before).await;
}

// covers: machine.MachineService/Reboot
#[tokio::test]
async fn the_end_of_a_reboot_looks_like_a_failure_to_its_sequence() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    // The machine stays where it is for as long as the test wants to read.
    node.fail_next_task("reboot", "unix.Reboot(1234567)");
    reboot(&wire, reboot_request::Mode::Force).await;
    let event = until(&mut stream, |event| sequence_error(event).is_some()).await;
    let (sequence, code, message) = sequence_error(&event).unwrap();
    assert_eq!((sequence.as_str(), code), ("reboot", common::Code::Fatal));
    assert_eq!(
        message,
        "sequence failed: error running phase 1 in reboot sequence: task 1/1: failed, unix.Reboot(1234567)"
    );
}

// covers: machine.MachineService/Reboot
#[tokio::test]
async fn a_second_sequence_is_locked_out_and_a_reboot_takes_over() {
    let cluster = single().await;
    let node = cluster.node(0);
    let before = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    node.hold_task("cordonAndDrainNode");
    let first = wire.machine().shutdown(ShutdownRequest::default()).await.unwrap();
    let first = first.into_inner().messages.remove(0).actor_id;
    until(&mut stream, |event| task_starts(event, "cordonAndDrainNode")).await;
    let locked = reboot(&wire, reboot_request::Mode::Default).await;
    let event = until(&mut stream, |event| sequence_error(event).is_some()).await;
    assert_eq!(
        sequence_error(&event).unwrap(),
        (
            "reboot".to_owned(),
            common::Code::Locked,
            "sequence not started: locked".to_owned()
        )
    );
    assert_eq!(event.actor_id, "", "nobody is told");
    assert!(!node.events().iter().any(|event| event.actor_id == locked));
    // A shutdown takes over from anything, itself included.
    node.hold_task("stopAllPods");
    let request = ShutdownRequest { force: true };
    wire.machine().shutdown(request).await.unwrap();
    let event = until(&mut stream, |event| sequence_error(event).is_some()).await;
    assert_eq!(event.actor_id, first);
    let (sequence, code, message) = sequence_error(&event).unwrap();
    assert_eq!((sequence.as_str(), code), ("shutdown", common::Code::Canceled));
    assert!(
        message.ends_with("task 1/1: failed, context canceled"),
        "{message}"
    );
    node.release_task("stopAllPods");
    while stream.message().await.is_ok() {}
    node.wait_until_off().await;
    assert!(!node.is_running());
    node.revive().unwrap();
    ready_after(&cluster, &node, &before).await;
}

// covers: machine.MachineService/Reboot
#[tokio::test]
async fn a_reboot_takes_over_from_a_reboot() {
    let cluster = single().await;
    let node = cluster.node(0);
    let before = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    node.hold_task("stopDBus");
    let first = reboot(&wire, reboot_request::Mode::Default).await;
    until(&mut stream, |event| task_starts(event, "stopDBus")).await;
    let second = reboot(&wire, reboot_request::Mode::Powercycle).await;
    let event = until(&mut stream, |event| sequence_error(event).is_some()).await;
    assert_eq!(event.actor_id, first);
    assert_eq!(sequence_error(&event).unwrap().1, common::Code::Canceled);
    let event = until(&mut stream, |event| event.actor_id == second).await;
    let sequence: SequenceEvent = decode(&event, "machine.SequenceEvent").unwrap();
    assert_eq!(sequence.action(), sequence_event::Action::Start);
    node.release_task("stopDBus");
    ready_after(&cluster, &node, &before).await;
}

// covers: machine.MachineService/Shutdown
#[tokio::test]
async fn a_shutdown_ends_in_the_dark_until_somebody_switches_on() {
    let cluster = single().await;
    let node = cluster.node(0);
    let before = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    let request = ShutdownRequest { force: true };
    wire.machine().shutdown(request).await.unwrap();
    let status = until(&mut stream, |event| {
        decode::<MachineStatusEvent>(event, "machine.MachineStatusEvent").is_some()
    })
    .await;
    let status: MachineStatusEvent = decode(&status, "machine.MachineStatusEvent").unwrap();
    assert_eq!(status.stage(), machine_status_event::MachineStage::ShuttingDown);
    until(&mut stream, |event| task_starts(event, "stopAllServices")).await;
    let restart = node
        .wait_for_event(|event| event.name == "machine.RestartEvent")
        .await;
    let restart = <RestartEvent as prost::Message>::decode(restart.value).unwrap();
    assert_eq!(restart.cmd, 0x4321_fedc);
    assert!(
        !phases(&node.events()).contains(&"drain".to_owned()),
        "force skips it"
    );
    node.wait_until_off().await;
    assert!(!node.is_running());
    assert_eq!(node.boot_id(), before);
}

// covers: machine.MachineService/Rollback
#[tokio::test]
async fn nothing_to_roll_back_to_is_an_error() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let status = wire.machine().rollback(RollbackRequest {}).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
}

// covers: machine.MachineService/Reboot
// covers: machine.MachineService/Shutdown
// covers: machine.MachineService/Rollback
#[tokio::test]
async fn containers_have_no_power_switch() {
    let cluster = SimCluster::builder()
        .platform(PlatformMode::Container)
        .start()
        .await
        .unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let statuses = [
        wire.machine().reboot(RebootRequest::default()).await.unwrap_err(),
        wire.machine()
            .shutdown(ShutdownRequest::default())
            .await
            .unwrap_err(),
        wire.machine().rollback(RollbackRequest {}).await.unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::FailedPrecondition);
        assert_eq!(status.message(), "method is not supported in container mode");
    }
    let version = wire.machine().version(()).await.unwrap().into_inner();
    assert_eq!(version.messages[0].platform.as_ref().unwrap().mode, "container");
    let services = wire.machine().service_list(()).await.unwrap().into_inner();
    let ids: Vec<_> = services.messages[0]
        .services
        .iter()
        .map(|service| &service.id)
        .collect();
    assert_eq!(
        ids,
        [
            "apid",
            "containerd",
            "cri",
            "etcd",
            "kubelet",
            "machined",
            "trustd"
        ]
    );
}

// covers: machine.MachineService/Reboot
#[tokio::test(start_paused = true)]
async fn a_failed_sequence_takes_the_machine_down_too() {
    let cluster = SimCluster::builder()
        .timings(Timings::realistic())
        .start()
        .await
        .unwrap();
    let node = cluster.node(0);
    let before = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    let (_, mut stream) = subscribe(&wire, EventsRequest::default()).await;
    node.fail_next_task("stopAllPods", "pods are in the way");
    reboot(&wire, reboot_request::Mode::Default).await;
    let event = until(&mut stream, |event| sequence_error(event).is_some()).await;
    let (_, code, message) = sequence_error(&event).unwrap();
    assert_eq!(code, common::Code::Fatal);
    assert!(message.ends_with("phase 1 in reboot sequence: task 1/1: failed, pods are in the way"));
    let event = until(&mut stream, |event| {
        decode::<SequenceEvent>(event, "machine.SequenceEvent").is_some()
    })
    .await;
    let cleanup: SequenceEvent = decode(&event, "machine.SequenceEvent").unwrap();
    assert_eq!(cleanup.sequence, "emergencyVolumeCleanup");
    ready_after(&cluster, &node, &before).await;
}
