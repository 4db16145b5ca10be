//! Actions on one machine: power, reset, the old upgrade, services.

use talos_client::{
    ErrorKind, Node, Origin, Role, Unimplemented,
    api::machine::{RebootMode, SystemWipe, Wipe},
    proto::machine as proto,
};
use talos_testkit::{PlatformMode, SimCluster};

use crate::support::Sim;

const REBOOT: &str = "/machine.MachineService/Reboot";
const SHUTDOWN: &str = "/machine.MachineService/Shutdown";
const ROLLBACK: &str = "/machine.MachineService/Rollback";
const RESET: &str = "/machine.MachineService/Reset";
const UPGRADE: &str = "/machine.MachineService/Upgrade";

// covers: machine.MachineService/Reboot
#[tokio::test]
async fn a_reboot_is_of_the_mode_asked_for_and_marks_its_events() {
    for (mode, number) in [
        (RebootMode::Default, 0),
        (RebootMode::PowerCycle, 1),
        (RebootMode::Force, 2),
    ] {
        let sim = Sim::start().await;
        let node = sim.cluster.node(1);
        // So that the events are still there to be looked at.
        node.hold_task(if mode == RebootMode::Force {
            "reboot"
        } else {
            "stopAllPods"
        });
        let accepted = sim.node(1).reboot().mode(mode).send().await.expect("accepted");
        let request: proto::RebootRequest = sim.received_by(1, REBOOT);
        assert_eq!(request.mode, number, "{mode:?}");
        let actor = accepted.actor_id.expect("has an id").to_string();
        node.wait_for_event(|event| event.actor_id == actor && event.name == "machine.SequenceEvent")
            .await;
    }
}

// covers: machine.MachineService/Shutdown
#[tokio::test]
async fn a_shutdown_drains_unless_it_is_forced() {
    for force in [false, true] {
        let sim = Sim::start().await;
        let accepted = sim
            .node(3)
            .shutdown()
            .force(force)
            .send()
            .await
            .expect("accepted");
        assert!(accepted.actor_id.is_some());
        let request: proto::ShutdownRequest = sim.received_by(3, SHUTDOWN);
        assert_eq!(request.force, force);
        sim.cluster.node(3).wait_until_off().await;
    }
}

// covers: machine.MachineService/Rollback
#[tokio::test]
async fn there_is_nothing_to_roll_back_to_before_an_upgrade() {
    let sim = Sim::start().await;
    let error = sim.node(0).rollback().await.expect_err("nothing to go back to");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Unknown, Origin::Node),
        "{error:#}"
    );
    let _: proto::RollbackRequest = sim.received_by(0, ROLLBACK);
}

// covers: machine.MachineService/Upgrade
// covers: machine.MachineService/Rollback
#[tokio::test]
#[expect(deprecated, reason = "the old call is under test")]
async fn the_old_upgrade_leads_to_the_release_of_the_image_and_rollback_back_again() {
    let sim = Sim::of(
        SimCluster::builder()
            .control_planes(3)
            .workers(1)
            .talos_version("v1.12.9"),
    )
    .await;
    let (node, simulated) = (sim.node(3), sim.cluster.node(3));
    let boot_id = simulated.boot_id();
    let accepted = node
        .legacy_upgrade("ghcr.io/siderolabs/installer:v1.13.2")
        .preserve(true)
        .force(true)
        .reboot_mode(RebootMode::PowerCycle)
        .send()
        .await
        .expect("accepted");
    assert!(accepted.actor_id.is_some());
    let request: proto::UpgradeRequest = sim.received_by(3, UPGRADE);
    let expected = proto::UpgradeRequest {
        image: "ghcr.io/siderolabs/installer:v1.13.2".to_owned(),
        preserve: true,
        stage: false,
        force: true,
        reboot_mode: 1,
    };
    assert_eq!(request, expected);

    simulated.wait_until_ready_after(&boot_id).await;
    assert_eq!(node.version().await.expect("answered").tag(), "v1.13.2");
    let boot_id = simulated.boot_id();
    node.rollback().await.expect("accepted");
    simulated.wait_until_ready_after(&boot_id).await;
    assert_eq!(node.version().await.expect("answered").tag(), "v1.12.9");
}

// covers: machine.MachineService/Upgrade
#[tokio::test]
#[expect(deprecated, reason = "the old call is under test")]
async fn an_upgrade_without_image_is_not_sent_and_a_failed_pull_is_the_nodes_error() {
    let sim = Sim::start().await;
    let error = sim
        .node(0)
        .legacy_upgrade(" ")
        .send()
        .await
        .expect_err("no image");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidInput, 0),
        "{error:#}"
    );
    assert!(sim.cluster.requests().all().is_empty());

    sim.cluster.node(0).fail_next_image_pull("no such image");
    let error = sim
        .node(0)
        .legacy_upgrade("x:v1.14.1")
        .stage(true)
        .send()
        .await
        .expect_err("no image");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error:#}");
    assert!(error.to_string().contains("no such image"), "{error}");
    let request: proto::UpgradeRequest = sim.received_by(0, UPGRADE);
    assert!(request.stage);
}

// covers: machine.MachineService/Reset
#[tokio::test]
async fn every_kind_of_wipe_arrives_as_nodes_want_it() {
    let partitions = |labels: &[&str]| -> Vec<proto::ResetPartitionSpec> {
        let spec = |label: &&str| proto::ResetPartitionSpec {
            label: (*label).to_owned(),
            wipe: true,
        };
        labels.iter().map(spec).collect()
    };
    let cases: [(Wipe, i32, &[&str], &[&str]); 5] = [
        (SystemWipe::disk().into(), 1, &[], &[]),
        (
            SystemWipe::partitions(["STATE", "EPHEMERAL"]).into(),
            1,
            &["STATE", "EPHEMERAL"],
            &[],
        ),
        (Wipe::user_disks(["/dev/sdb"]), 2, &[], &["/dev/sdb"]),
        (
            SystemWipe::disk().and_user_disks(["/dev/sdb"]),
            0,
            &[],
            &["/dev/sdb"],
        ),
        (
            SystemWipe::partitions(["EPHEMERAL"]).and_user_disks(["/dev/sdb"]),
            0,
            &["EPHEMERAL"],
            &["/dev/sdb"],
        ),
    ];
    for (wipe, mode, labels, disks) in cases {
        let sim = Sim::start().await;
        let sent = sim
            .node(3)
            .reset(wipe.clone())
            .graceful(false)
            .reboot(true)
            .send()
            .await;
        let request: proto::ResetRequest = sim.received_by(3, RESET);
        let expected = proto::ResetRequest {
            graceful: false,
            reboot: true,
            system_partitions_to_wipe: partitions(labels),
            user_disks_to_wipe: disks.iter().map(ToString::to_string).collect(),
            mode,
        };
        assert_eq!(request, expected, "{wipe:?}");
        match sent {
            Ok(accepted) => assert!(accepted.actor_id.is_some()),
            // Simulated machines need not have the disk.
            Err(error) => assert!(error.to_string().contains("/dev/sdb"), "{error:#}"),
        }
    }
}

// covers: machine.MachineService/Reset
#[tokio::test]
async fn a_reset_is_graceful_and_without_reboot_unless_told_otherwise() {
    let sim = Sim::start().await;
    let wipe = SystemWipe::partitions(["EPHEMERAL"]);
    sim.node(3).reset(wipe).send().await.expect("accepted");
    let request: proto::ResetRequest = sim.received_by(3, RESET);
    assert!(request.graceful && !request.reboot);
}

// covers: machine.MachineService/Reset
#[tokio::test]
async fn a_wipe_that_nodes_would_misunderstand_is_not_sent() {
    let sim = Sim::start().await;
    let none: [&str; 0] = [];
    for wipe in [
        Wipe::from(SystemWipe::partitions(none)),
        Wipe::user_disks(["sdb"]),
    ] {
        let error = sim.node(0).reset(wipe).send().await.expect_err("refused here");
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidInput, 0),
            "{error:#}"
        );
        assert_eq!(error.method(), Some(RESET));
    }
    let error = sim
        .node(0)
        .reset(SystemWipe::partitions(["NOTHING"]))
        .send()
        .await
        .expect_err("refused there");
    assert!(error.to_string().contains("NOTHING"), "{error:#}");
    let _: proto::ResetRequest = sim.received_by(0, RESET);
}

// covers: machine.MachineService/ServiceStart
// covers: machine.MachineService/ServiceStop
// covers: machine.MachineService/ServiceRestart
#[tokio::test]
async fn services_are_started_stopped_and_restarted_where_nodes_allow_it() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    assert_eq!(
        node.restart_service("kubelet").await.expect("allowed"),
        r#"Service "kubelet" restarted"#
    );
    assert_eq!(
        node.start_service("kubelet").await.expect("allowed"),
        r#"Service "kubelet" started"#
    );
    let request: proto::ServiceRestartRequest = sim.received_by(0, "/machine.MachineService/ServiceRestart");
    assert_eq!(request.id, "kubelet");
    let request: proto::ServiceStartRequest = sim.received_by(0, "/machine.MachineService/ServiceStart");
    assert_eq!(request.id, "kubelet");

    let error = node.stop_service("kubelet").await.expect_err("not allowed");
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert!(
        error
            .to_string()
            .contains("doesn't support stop operation via API"),
        "{error:#}"
    );
    let request: proto::ServiceStopRequest = sim.received_by(0, "/machine.MachineService/ServiceStop");
    assert_eq!(request.id, "kubelet");
}

#[tokio::test]
async fn a_service_without_id_is_not_asked_for() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    for error in [
        node.start_service("").await.expect_err("empty"),
        node.stop_service("").await.expect_err("empty"),
        node.restart_service("  ").await.expect_err("empty"),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:#}");
        assert!(error.is_not_sent());
    }
    assert!(sim.cluster.requests().all().is_empty());
}

// covers: machine.MachineService/Reboot
#[tokio::test]
async fn a_container_cannot_be_rebooted() {
    let builder = SimCluster::builder().platform(PlatformMode::Container);
    let sim = Sim::of(builder).await;
    let node = sim.node(0);
    for error in [
        node.reboot().send().await.expect_err("a container"),
        node.shutdown().send().await.expect_err("a container"),
        node.rollback().await.expect_err("a container"),
    ] {
        assert!(
            error.is_failed_precondition() && !error.is_retriable(),
            "{error:#}"
        );
        assert_eq!(error.message(), Some("method is not supported in container mode"));
    }
}

#[tokio::test]
async fn an_action_that_a_role_does_not_allow_names_the_roles_that_do() {
    let sim = Sim::start().await;
    let reader = sim.client_with_roles(&["os:reader"]);
    let node: Node = reader.node(sim.cluster.node(1).name()).expect("a name");
    let error = node.reboot().send().await.expect_err("readers may not");
    assert!(error.is_denied());
    assert_eq!(error.required_roles(), [Role::Admin, Role::Operator]);
    let error = node.rollback().await.expect_err("readers may not");
    assert_eq!(error.required_roles(), [Role::Admin]);
    let text = error.to_string();
    assert!(
        text.ends_with("not authorized (it takes the role os:admin)"),
        "{text}"
    );
    assert!(
        sim.cluster.node(1).running_sequence().is_none(),
        "nothing happened"
    );
}

#[tokio::test]
async fn no_action_is_repeated_after_it_was_sent() {
    let sim = Sim::start().await;
    let name = sim.cluster.node(1).name();
    let fault = talos_testkit::fault::CallFault::on_node(name)
        .method(REBOOT)
        .status(talos_testkit::Code::Unavailable, "going away");
    sim.cluster.inject(fault).expect("a fault");
    let error = sim.node(1).reboot().send().await.expect_err("injected");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Unavailable, 1),
        "{error:#}"
    );
    assert_eq!(sim.cluster.requests().of(REBOOT).len(), 1);
    assert_eq!(error.unimplemented(), None::<Unimplemented>);
}
