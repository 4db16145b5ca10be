//! Machine configurations, bootstrap and META: what is sent, and what comes of the answer.

use std::time::Duration;

use talos_client::{
    ErrorKind, Origin, Unimplemented,
    api::machine::{AppliedMode, ApplyMode, MetaKey, SnapshotHash},
    proto::machine as proto,
};
use talos_testkit::{Code, SimCluster, SimNode, fault::CallFault};

use crate::support::{Sim, message};

const APPLY: &str = "/machine.MachineService/ApplyConfiguration";
const BOOTSTRAP: &str = "/machine.MachineService/Bootstrap";
const META_WRITE: &str = "/machine.MachineService/MetaWrite";
const META_DELETE: &str = "/machine.MachineService/MetaDelete";
const YAML: &str = "version: v1alpha1\nmachine: {token: hunter2}\n";

/// Answers every call of this RPC with this message.
fn answer(sim: &Sim, method: &str, reply: &impl prost::Message) {
    let fault = CallFault::on_nodes()
        .method(method)
        .message(reply.encode_to_vec())
        .status(Code::Ok, "");
    sim.cluster.inject(fault).expect("a fault");
}

/// The configuration of a node with a label more.
fn labelled(node: &SimNode, value: &str) -> String {
    let label = format!("machine:\n    nodeLabels:\n        rack: {value}\n");
    let config = node.generated_machine_config().replacen("machine:\n", &label, 1);
    assert!(config.contains(&label), "{config}");
    config
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn every_mode_arrives_as_its_number_and_does_what_it_says() {
    let sim = Sim::start().await;
    let (node, simulated) = (sim.node(1), sim.cluster.node(1));
    simulated.set_config_warnings(["a warning"]);
    let trial = ApplyMode::Try {
        timeout: Duration::from_millis(90_500),
    };
    let has = |config: Option<String>, value: &str| {
        config.is_some_and(|config| config.contains(&format!("rack: {value}\n")))
    };
    for (mode, applied, active, stored) in [
        (ApplyMode::default(), AppliedMode::NoReboot, "r0", "r0"),
        (ApplyMode::NoReboot, AppliedMode::NoReboot, "r1", "r1"),
        (ApplyMode::Staged, AppliedMode::Staged, "r1", "r2"),
        (trial, AppliedMode::Try, "r3", "r2"),
    ] {
        let value = if mode == ApplyMode::Staged { stored } else { active };
        let config = labelled(&simulated, value);
        let reply = node.apply_configuration(config).mode(mode).send().await;
        let reply = reply.unwrap_or_else(|error| panic!("{mode:?}: {error:#}"));
        assert_eq!(
            (reply.mode, reply.warnings.as_slice()),
            (applied, &["a warning".to_owned()][..]),
            "{mode:?}"
        );
        assert!(!reply.details.is_empty());
        assert!(has(simulated.machine_config(), active), "{mode:?}");
        assert!(has(simulated.persistent_machine_config(), stored), "{mode:?}");
    }
    let calls = sim.cluster.requests().of(APPLY);
    assert!(
        calls
            .iter()
            .all(|call| call.handled_by == [sim.cluster.node(1).name()])
    );
    let requests: Vec<proto::ApplyConfigurationRequest> = calls.iter().map(message).collect();
    let modes: Vec<_> = requests.iter().map(|request| request.mode).collect();
    assert_eq!(modes, [1, 2, 3, 4], "none is zero");
    assert!(requests.iter().all(|request| !request.dry_run));
    assert_eq!(requests[0].data, labelled(&simulated, "r0"));
    assert!(
        requests[..3]
            .iter()
            .all(|request| request.try_mode_timeout.is_none())
    );
    let timeout = requests[3].try_mode_timeout.expect("set");
    assert_eq!((timeout.seconds, timeout.nanos), (90, 500_000_000));
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_dry_run_tells_the_difference_and_changes_nothing() {
    let sim = Sim::start().await;
    let simulated = sim.cluster.node(0);
    let before = simulated.machine_config();
    let config = labelled(&simulated, "secret7");
    let reply = sim.node(0).apply_configuration(config).dry_run(true).send().await;
    let reply = reply.expect("checked");
    assert!(
        reply.details.contains("rack: secret7"),
        "the difference: {}",
        reply.details
    );
    assert!(!format!("{reply:?}").contains("secret7"), "{reply:?}");
    assert!(reply.warnings.is_empty());
    let request: proto::ApplyConfigurationRequest = sim.received_by(0, APPLY);
    assert!(request.dry_run);
    assert_eq!(simulated.machine_config(), before);
    assert_eq!(simulated.persistent_machine_config(), before);
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn what_a_node_finds_wrong_is_an_invalid_argument_of_the_node() {
    let sim = Sim::start().await;
    for wrong in ["machine: [", YAML] {
        let error = sim.node(0).apply_configuration(wrong).send().await;
        let error = error.expect_err(wrong);
        assert_eq!(
            (error.kind(), error.origin(), error.attempts()),
            (ErrorKind::InvalidArgument, Origin::Node, 1),
            "{error:#}"
        );
    }
    let operator = sim.client_with_roles(&["os:operator"]);
    let node = operator.node(sim.cluster.node(0).name()).expect("a name");
    let config = labelled(&sim.cluster.node(0), "x");
    let error = node.apply_configuration(config).send().await;
    assert!(error.expect_err("not an administrator").is_denied());
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn an_older_node_reboots_for_what_it_cannot_change_at_once_and_says_so() {
    let sim = Sim::of(SimCluster::builder().talos_version("v1.13.2")).await;
    let (node, simulated) = (sim.node(0), sim.cluster.node(0));
    let config =
        simulated
            .generated_machine_config()
            .replacen("machine:\n", "machine:\n    env:\n        A: b\n", 1);
    let error = node
        .apply_configuration(config.clone())
        .mode(ApplyMode::NoReboot)
        .send()
        .await
        .expect_err("not without a reboot");
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error:#}");
    let boot_id = simulated.boot_id();
    let reply = node.apply_configuration(config).send().await.expect("applied");
    assert_eq!(reply.mode, AppliedMode::Reboot);
    simulated.wait_until_ready_after(&boot_id).await;
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_mode_that_is_not_known_is_kept_as_its_number() {
    let sim = Sim::start().await;
    let message = proto::ApplyConfiguration {
        mode: 9,
        ..Default::default()
    };
    let reply = proto::ApplyConfigurationResponse {
        messages: vec![message],
    };
    answer(&sim, APPLY, &reply);
    let reply = sim.node(0).apply_configuration(YAML).send().await;
    let reply = reply.expect("applied");
    assert_eq!((reply.mode, reply.mode.as_i32()), (AppliedMode::Other(9), 9));
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn an_empty_configuration_and_a_trial_of_no_time_are_not_sent() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    let trial = ApplyMode::Try {
        timeout: Duration::ZERO,
    };
    for error in [
        node.apply_configuration("").send().await.expect_err("empty"),
        node.apply_configuration(" \n").send().await.expect_err("blank"),
        node.apply_configuration(YAML)
            .mode(trial)
            .send()
            .await
            .expect_err("no time"),
    ] {
        assert_eq!(
            (error.kind(), error.attempts()),
            (ErrorKind::InvalidInput, 0),
            "{error:#}"
        );
    }
    assert!(sim.cluster.requests().all().is_empty());
    let request = node.apply_configuration(YAML);
    assert!(!format!("{request:?}").contains("hunter2"), "{request:?}");
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_node_that_applies_another_one_says_so_and_will_do_it_later() {
    let sim = Sim::start().await;
    sim.cluster.node(0).set_apply_in_progress(true);
    let error = sim
        .node(0)
        .apply_configuration(YAML)
        .send()
        .await
        .expect_err("busy");
    assert!(error.is_not_yet() && error.is_retriable(), "{error:#}");
    assert_eq!(error.attempts(), 1, "unsafe calls are not repeated");
    assert_eq!(sim.cluster.requests().of(APPLY).len(), 1);
}

// covers: machine.MachineService/Bootstrap
#[tokio::test]
async fn a_bootstrap_is_empty_unless_a_snapshot_is_to_be_used() {
    let sim = Sim::start().await;
    let reply = proto::BootstrapResponse {
        messages: vec![proto::Bootstrap::default()],
    };
    answer(&sim, BOOTSTRAP, &reply);
    let node = sim.node(0);
    node.bootstrap().send().await.expect("done");
    node.bootstrap()
        .recover_etcd(SnapshotHash::Verify)
        .send()
        .await
        .expect("done");
    node.bootstrap()
        .recover_etcd(SnapshotHash::Skip)
        .send()
        .await
        .expect("done");
    let calls = sim.cluster.requests().of(BOOTSTRAP);
    let requests: Vec<proto::BootstrapRequest> = calls.iter().map(message).collect();
    let switches: Vec<_> = requests
        .iter()
        .map(|request| (request.recover_etcd, request.recover_skip_hash_check))
        .collect();
    assert_eq!(switches, [(false, false), (true, false), (true, true)]);
}

// covers: machine.MachineService/Bootstrap
#[tokio::test]
async fn a_cluster_is_bootstrapped_once_and_by_a_control_plane_node() {
    let builder = SimCluster::builder()
        .control_planes(3)
        .workers(1)
        .bootstrapped(false);
    let sim = Sim::of(builder).await;
    let error = sim.node(3).bootstrap().send().await.expect_err("a worker");
    assert_eq!(
        (error.kind(), error.unimplemented()),
        (ErrorKind::Unimplemented, Some(Unimplemented::ControlPlaneOnly)),
        "{error:#}"
    );
    assert!(!sim.cluster.is_bootstrapped());
    sim.node(1).bootstrap().send().await.expect("done");
    let error = sim.node(1).bootstrap().send().await.expect_err("done already");
    assert_eq!(
        (error.kind(), error.origin(), error.attempts()),
        (ErrorKind::AlreadyExists, Origin::Node, 1),
        "{error:#}"
    );
    let calls = sim.cluster.requests().of(BOOTSTRAP);
    let handled: Vec<_> = calls.iter().map(|call| call.handled_by.clone()).collect();
    let name = |index: usize| vec![sim.cluster.node(index).name()];
    assert_eq!(handled, [name(3), name(1), name(1)]);
    for index in 0..3 {
        sim.cluster.node(index).wait_until_ready().await;
    }
    assert!(sim.cluster.is_bootstrapped());
    let members = sim.node(0).etcd().members().send().await.expect("answered");
    assert_eq!(members.len(), 3, "{members:?}");
}

// covers: machine.MachineService/Bootstrap, machine.MachineService/EtcdRecover, machine.MachineService/EtcdSnapshot
#[tokio::test]
async fn a_cluster_comes_back_from_the_snapshot_of_another() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("etcd.snapshot");
    let old = Sim::of(SimCluster::builder()).await;
    let saved = old.node(0).etcd().snapshot().to_file(&path).await.expect("saved");
    assert!(saved.bytes() > 0);

    let sim = Sim::of(SimCluster::builder().bootstrapped(false)).await;
    let node = sim.node(0);
    let recover = || node.bootstrap().recover_etcd(SnapshotHash::Verify).send();
    let error = recover().await.expect_err("nothing was uploaded");
    assert_eq!(error.origin(), Origin::Node, "{error:#}");
    // The checksum at the end is of something else now.
    let mut broken = std::fs::read(&path).expect("there");
    *broken.last_mut().expect("not empty") ^= 1;
    node.etcd()
        .recover(std::io::Cursor::new(broken))
        .send()
        .await
        .expect("uploaded");
    let error = recover().await.expect_err("the checksum is wrong");
    assert_eq!(error.origin(), Origin::Node, "{error:#}");
    assert!(!sim.cluster.is_bootstrapped());

    let file = tokio::fs::File::open(&path).await.expect("there");
    node.etcd().recover(file).send().await.expect("uploaded");
    recover().await.expect("recovered");
    sim.cluster.node(0).wait_until_ready().await;
    assert!(sim.cluster.is_bootstrapped());
    let again = folder.path().join("again.snapshot");
    node.etcd().snapshot().to_file(&again).await.expect("saved");
}

// covers: machine.MachineService/MetaWrite
// covers: machine.MachineService/MetaDelete
#[tokio::test]
async fn values_of_meta_are_written_over_and_removed_once() {
    let sim = Sim::start().await;
    let simulated = sim.cluster.node(2);
    let writer = sim.client_with_roles(&["os:meta:writer"]);
    let node = writer.node(simulated.name()).expect("a name");
    let key = MetaKey::USER_RESERVED_1;
    for value in ["first", "second"] {
        node.meta_write(key, value).await.expect("written");
        assert_eq!(simulated.meta(12).as_deref(), Some(value.as_bytes()));
    }
    node.meta_delete(key).await.expect("removed");
    assert_eq!(simulated.meta(12), None);
    let request: proto::MetaDeleteRequest = sim.received_by(2, META_DELETE);
    assert_eq!(request.key, 0x0c);
    let calls = sim.cluster.requests().of(META_WRITE);
    let requests: Vec<proto::MetaWriteRequest> = calls.iter().map(message).collect();
    let sent: Vec<_> = requests
        .iter()
        .map(|request| (request.key, &request.value[..]))
        .collect();
    assert_eq!(sent, [(0x0c, &b"first"[..]), (0x0c, &b"second"[..])]);

    let error = node.meta_delete(key).await.expect_err("gone");
    assert_eq!(
        (error.kind(), error.origin(), error.attempts()),
        (ErrorKind::NotFound, Origin::Node, 1),
        "{error:#}"
    );
    simulated.set_meta_capacity(40);
    let error = node.meta_write(0x0d, vec![7; 64]).await.expect_err("no room");
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted, "{error:#}");
    let reader = sim.client_with_roles(&["os:reader"]);
    let node = reader.node(simulated.name()).expect("a name");
    let error = node.meta_write(key, "x").await.expect_err("only looks");
    assert!(error.is_denied(), "{error:#}");
    assert_eq!(MetaKey::USER_RESERVED_1.to_string(), "0x0c");
}
