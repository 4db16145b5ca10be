//! Machine configurations, bootstrap and META: what is sent, and what comes of the answer.

use std::time::Duration;

use talos_client::{
    ErrorKind,
    api::machine::{AppliedMode, ApplyMode, MetaKey, SnapshotHash},
    proto::machine as proto,
};
use talos_testkit::{Code, fault::CallFault};

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

fn applied(mode: i32) -> proto::ApplyConfigurationResponse {
    let message = proto::ApplyConfiguration {
        metadata: None,
        warnings: vec!["a warning".to_owned()],
        mode,
        mode_details: "Applied: -token: hunter2".to_owned(),
    };
    proto::ApplyConfigurationResponse {
        messages: vec![message],
    }
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn every_mode_arrives_as_its_number_and_none_is_zero() {
    let sim = Sim::start().await;
    answer(&sim, APPLY, &applied(2));
    let node = sim.node(1);
    let trial = ApplyMode::Try {
        timeout: Duration::from_millis(90_500),
    };
    for mode in [
        ApplyMode::default(),
        ApplyMode::NoReboot,
        ApplyMode::Staged,
        trial,
    ] {
        let dry_run = mode == ApplyMode::Staged;
        let reply = node
            .apply_configuration(YAML)
            .mode(mode)
            .dry_run(dry_run)
            .send()
            .await;
        let reply = reply.expect("applied");
        assert_eq!(
            (reply.mode, reply.warnings.as_slice()),
            (AppliedMode::NoReboot, &["a warning".to_owned()][..])
        );
        assert_eq!(reply.details, "Applied: -token: hunter2");
        assert!(!format!("{reply:?}").contains("hunter2"), "{reply:?}");
    }
    let calls = sim.cluster.requests().of(APPLY);
    assert!(
        calls
            .iter()
            .all(|call| call.node() == Some(sim.cluster.node(1).name().as_str()))
    );
    let requests: Vec<proto::ApplyConfigurationRequest> = calls.iter().map(message).collect();
    let modes: Vec<_> = requests.iter().map(|request| request.mode).collect();
    assert_eq!(modes, [1, 2, 3, 4]);
    let dry_runs: Vec<_> = requests.iter().map(|request| request.dry_run).collect();
    assert_eq!(dry_runs, [false, false, true, false]);
    assert!(requests.iter().all(|request| request.data == YAML));
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
async fn modes_of_older_and_newer_nodes_are_told_apart() {
    for (number, expected) in [
        (0, AppliedMode::Reboot),
        (3, AppliedMode::Staged),
        (9, AppliedMode::Other(9)),
    ] {
        let sim = Sim::start().await;
        answer(&sim, APPLY, &applied(number));
        let reply = sim
            .node(0)
            .apply_configuration(YAML)
            .send()
            .await
            .expect("applied");
        assert_eq!((reply.mode, reply.mode.as_i32()), (expected, number));
    }
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
    let busy = "another apply configuration is already in progress";
    let fault = CallFault::on_nodes()
        .method(APPLY)
        .status(Code::FailedPrecondition, busy);
    sim.cluster.inject(fault).expect("a fault");
    let error = sim
        .node(0)
        .apply_configuration(YAML)
        .send()
        .await
        .expect_err("busy");
    assert!(error.is_not_yet() && error.is_retriable(), "{error:#}");
    assert_eq!(error.attempts(), 1, "unsafe calls are not repeated");
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

// covers: machine.MachineService/MetaWrite
// covers: machine.MachineService/MetaDelete
#[tokio::test]
async fn keys_and_values_of_meta_arrive() {
    let sim = Sim::start().await;
    let written = proto::MetaWriteResponse {
        messages: vec![proto::MetaWrite::default()],
    };
    let deleted = proto::MetaDeleteResponse {
        messages: vec![proto::MetaDelete::default()],
    };
    answer(&sim, META_WRITE, &written);
    answer(&sim, META_DELETE, &deleted);
    let node = sim.node(2);
    node.meta_write(MetaKey::USER_RESERVED_1, "value")
        .await
        .expect("written");
    node.meta_delete(0xff).await.expect("deleted");
    let request: proto::MetaWriteRequest = message(&sim.received(META_WRITE));
    assert_eq!((request.key, &request.value[..]), (0x0c, &b"value"[..]));
    let request: proto::MetaDeleteRequest = message(&sim.received(META_DELETE));
    assert_eq!(request.key, 0xff);
    assert_eq!(MetaKey::USER_RESERVED_1.to_string(), "0x0c");
}
