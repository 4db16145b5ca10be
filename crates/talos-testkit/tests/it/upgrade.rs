//! Upgrades and resets.
#![expect(deprecated, reason = "older clients still use the upgrade of MachineService")]

use talos_proto::machine::{
    ResetPartitionSpec, ResetRequest, RollbackRequest, UpgradeRequest, reset_request,
};
use talos_testkit::{Code, PlatformMode, ServiceState, SimCluster, SimNode};

use crate::power::ready_after;
use crate::single;
use crate::wire::{Wire, with};

fn image(tag: &str) -> UpgradeRequest {
    UpgradeRequest {
        image: format!("factory.talos.dev/metal-installer/376567988:{tag}"),
        ..UpgradeRequest::default()
    }
}

async fn tag(wire: &Wire) -> String {
    let reply = wire.machine().version(()).await.unwrap().into_inner();
    reply.messages[0].version.as_ref().unwrap().tag.clone()
}

/// The phases of the sequence called `name` that `actor` started.
fn phases(node: &SimNode, actor: &str) -> Vec<String> {
    let events = node.events();
    let events = events.iter().filter(|event| event.actor_id == actor);
    let phases = events
        .filter(|event| event.name == "machine.PhaseEvent")
        .map(|event| {
            <talos_proto::machine::PhaseEvent as prost::Message>::decode(event.value.clone()).unwrap()
        })
        .filter(|event| event.action() == talos_proto::machine::phase_event::Action::Start);
    phases.map(|event| event.phase).collect()
}

// covers: machine.MachineService/Upgrade
// covers: machine.MachineService/Rollback
#[tokio::test]
async fn an_upgrade_brings_another_release_and_a_rollback_the_old_one() {
    let cluster = single().await;
    let node = cluster.node(0);
    let first = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    let reply = wire
        .machine()
        .upgrade(image("v1.14.3"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.messages[0].ack, "Upgrade request received");
    assert_eq!(reply.messages[0].actor_id.len(), 36);
    let wire = ready_after(&cluster, &node, &first).await;
    assert_eq!(tag(&wire).await, "v1.14.3");
    let second = node.boot_id();
    let reply = wire
        .machine()
        .rollback(RollbackRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.messages.len(), 1);
    let wire = ready_after(&cluster, &node, &second).await;
    assert_eq!(tag(&wire).await, "v1.14.0");
}

// covers: machine.MachineService/Upgrade
#[tokio::test]
async fn a_staged_upgrade_waits_for_the_next_boot() {
    let cluster = single().await;
    let node = cluster.node(0);
    let before = node.boot_id();
    let wire = Wire::admin(&cluster, &node).await;
    node.hold_task("stopDBus");
    let request = UpgradeRequest {
        stage: true,
        ..image("v1.14.4")
    };
    let reply = wire.machine().upgrade(request).await.unwrap().into_inner();
    let actor = &reply.messages[0].actor_id;
    node.wait_for_event(|event| event.name == "machine.PhaseEvent" && &event.actor_id == actor)
        .await;
    assert_eq!(node.running_sequence(), Some("stageUpgrade"));
    node.release_task("stopDBus");
    let wire = ready_after(&cluster, &node, &before).await;
    assert_eq!(tag(&wire).await, "v1.14.4");
}

// covers: machine.MachineService/Upgrade
#[tokio::test]
async fn bad_images_are_found_before_anything_happens() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.fail_next_image_pull("manifest unknown");
    let status = wire.machine().upgrade(image("v9")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(
        status.message(),
        "error validating installer image \"factory.talos.dev/metal-installer/376567988:v9\": manifest unknown"
    );
    assert_eq!(node.running_sequence(), None);
}

// covers: machine.MachineService/Upgrade
#[tokio::test]
async fn etcd_has_to_survive_the_upgrade_of_a_control_plane_node() {
    let cluster = SimCluster::builder()
        .control_planes(2)
        .workers(1)
        .start()
        .await
        .unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let status = wire.machine().upgrade(image("v1.14.3")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::Unknown,
            "error validating etcd for upgrade: etcd member count(2) is insufficient to maintain quorum if upgrade \
             commences"
        )
    );
    let to_worker = with(image("v1.14.3"), &[("node", "10.5.0.4")]);
    wire.machine().upgrade(to_worker).await.unwrap();
    let before = node.boot_id();
    let preserving = UpgradeRequest {
        preserve: true,
        ..image("v1.14.3")
    };
    wire.machine().upgrade(preserving).await.unwrap();
    ready_after(&cluster, &node, &before).await;
}

// covers: machine.MachineService/Upgrade
#[tokio::test]
async fn control_plane_nodes_are_upgraded_one_after_the_other() {
    let cluster = SimCluster::builder().control_planes(3).start().await.unwrap();
    let nodes = [cluster.node(0), cluster.node(1), cluster.node(2)];
    nodes[0].hold_task("stopDBus");
    let wires = [
        Wire::admin(&cluster, &nodes[0]).await,
        Wire::admin(&cluster, &nodes[1]).await,
    ];
    let before = nodes[0].boot_id();
    wires[0].machine().upgrade(image("v1.14.3")).await.unwrap();
    let status = wires[1].machine().upgrade(image("v1.14.3")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::Unknown,
            "failed to acquire upgrade mutex: mutex: Locked by another session"
        )
    );
    nodes[0].release_task("stopDBus");
    ready_after(&cluster, &nodes[0], &before).await;
    nodes[2].set_service_state("etcd", ServiceState::Failed, "exit status 1");
    let status = wires[1].machine().upgrade(image("v1.14.3")).await.unwrap_err();
    let message = status.message();
    assert!(
        message.starts_with("error validating etcd for upgrade: etcd member "),
        "{message}"
    );
    let forced = UpgradeRequest {
        force: true,
        ..image("v1.14.3")
    };
    let before = nodes[1].boot_id();
    wires[1].machine().upgrade(forced).await.unwrap();
    ready_after(&cluster, &nodes[1], &before).await;
}

// covers: machine.MachineService/Upgrade
// covers: machine.MachineService/Reset
#[tokio::test]
async fn agents_neither_upgrade_nor_reset() {
    let cluster = SimCluster::builder()
        .platform(PlatformMode::MetalAgent)
        .start()
        .await
        .unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let statuses = [
        wire.machine().upgrade(image("v1.15.0")).await.unwrap_err(),
        wire.machine().reset(ResetRequest::default()).await.unwrap_err(),
    ];
    for status in statuses {
        assert_eq!(status.code(), Code::Unimplemented);
        assert_eq!(status.message(), "API is not implemented in agent mode");
    }
}

// covers: machine.MachineService/Reset
#[tokio::test]
async fn a_reset_goes_through_its_phases() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let request = ResetRequest {
        graceful: true,
        ..ResetRequest::default()
    };
    let reply = wire.machine().reset(request).await.unwrap().into_inner();
    node.wait_until_off().await;
    let expected = [
        "drain",
        "cleanup",
        "dbus",
        "leave",
        "preReset",
        "denyNewServices",
        "stopServices",
        "umount",
        "unmountBind",
        "unmountPromotable",
        "unmountSystem",
        "volumeFinalize",
        "stopEverything",
        "forceCleanup",
        "reset",
        "shutdown",
    ];
    assert_eq!(phases(&node, &reply.messages[0].actor_id), expected);
}

fn volumes(labels: &[&str]) -> Vec<ResetPartitionSpec> {
    let volumes = labels.iter().map(|label| ResetPartitionSpec {
        label: (*label).to_owned(),
        wipe: true,
    });
    volumes.collect()
}

// covers: machine.MachineService/Reset
#[tokio::test]
async fn a_reset_is_checked_first() {
    use reset_request::WipeMode;

    let cluster = single().await;
    let node = cluster.node(0);
    node.add_volume("u-data", Some("EPHEMERAL"));
    let wire = Wire::admin(&cluster, &node).await;
    let disks = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    let cases = [
        (
            WipeMode::SystemDisk,
            disks(&["/dev/sdb"]),
            volumes(&[]),
            "reset failed: invalid input, wipe mode SYSTEM_DISK doesn't support UserDisksToWipe parameter",
        ),
        (
            WipeMode::UserDisks,
            disks(&[]),
            volumes(&["STATE"]),
            "reset failed: invalid input, wipe mode USER_DISKS doesn't support SystemPartitionsToWipe parameter",
        ),
        (
            WipeMode::UserDisks,
            disks(&["/dev/nothing"]),
            volumes(&[]),
            "reset user disk failed: device /dev/nothing wasn't found",
        ),
        (
            WipeMode::All,
            disks(&["/dev/vda"]),
            volumes(&[]),
            "reset user disk failed: device /dev/vda is the system disk",
        ),
        (
            WipeMode::All,
            disks(&[]),
            volumes(&["NONE"]),
            "failed to get volume status with label \"NONE\": resource \
             VolumeStatuses.block.talos.dev(runtime/NONE@undefined) doesn't exist",
        ),
        (
            WipeMode::All,
            disks(&[]),
            volumes(&["u-data"]),
            "failed to reset: volume \"u-data\" resides on volume \"EPHEMERAL\", and therefore \"u-data\" cannot be \
             wiped without wiping \"EPHEMERAL\"",
        ),
    ];
    for (mode, user_disks_to_wipe, system_partitions_to_wipe, text) in cases {
        let request = ResetRequest {
            mode: mode.into(),
            user_disks_to_wipe,
            system_partitions_to_wipe,
            ..ResetRequest::default()
        };
        let status = wire.machine().reset(request).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::Unknown, text));
    }
    assert_eq!(node.running_sequence(), None);
}
