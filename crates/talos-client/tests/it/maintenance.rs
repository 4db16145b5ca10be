//! Machines that get their configuration from the client, and are nodes of a cluster then.

use prost::Message as _;
use talos_client::{
    ErrorKind, Node,
    api::machine::AppliedMode,
    maintenance::Maintenance,
    proto::machine::{ApplyConfigurationRequest, ServiceStateEvent, service_state_event::Action},
    transport::Fingerprint,
};
use talos_testkit::{SimCluster, SimEvent, SimNode};

use crate::support::{Sim, message, metadata};

const APPLY: &str = "/machine.MachineService/ApplyConfiguration";

/// A handle for the machine, known by what its console shows.
fn waiting(machine: &SimNode) -> Node {
    let shown = machine.fingerprint().expect("a certificate");
    let fingerprint: Fingerprint = shown.parse().expect("a fingerprint");
    Maintenance::at(machine.endpoint())
        .fingerprint(fingerprint)
        .build()
        .expect("a handle")
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn a_machine_in_maintenance_is_configured_and_joins_its_cluster() {
    let sim = Sim::of(SimCluster::builder().workers(1).maintenance(1..)).await;
    let machine = sim.cluster.node(1);
    let node = waiting(&machine);
    assert_eq!(node.version().await.expect("readers may").tag(), "v1.14.0");
    let error = node.reboot().send().await.expect_err("readers may not");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error:#}");

    let boot_id = machine.boot_id();
    let config = machine.generated_machine_config();
    let applied = node
        .apply_configuration(config.clone())
        .send()
        .await
        .expect("applied");
    assert_eq!(applied.mode, AppliedMode::NoReboot);
    let call = sim.cluster.requests().of(APPLY).remove(0);
    assert_eq!(call.handled_by, [machine.name()]);
    assert!(metadata(&call, "node").is_empty(), "{call:#?}");
    let request: ApplyConfigurationRequest = message(&call);
    assert_eq!(request.data, config);

    machine.wait_until_ready_after(&boot_id).await;
    let version = sim.node(1).version().await.expect("a node of the cluster");
    assert_eq!(version.tag(), "v1.14.0");
    let error = node.version().await.expect_err("the key is another one now");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:#}");
}

// covers: machine.MachineService/ApplyConfiguration
// covers: machine.MachineService/Bootstrap
#[tokio::test]
async fn a_cluster_begins_with_a_machine_in_maintenance() {
    let sim = Sim::of(SimCluster::builder().maintenance(..)).await;
    let machine = sim.cluster.node(0);
    let stranger = Maintenance::at(machine.endpoint())
        .fingerprint(
            "pnduMqbUZ/sQyDW1o4kP6c1u1PoB2gRQu8KEV38guAM="
                .parse()
                .expect("a fingerprint"),
        )
        .build()
        .expect("a handle");
    let config = machine.generated_machine_config();
    let error = stranger
        .apply_configuration(config.clone())
        .send()
        .await
        .expect_err("another machine");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:#}");
    assert!(sim.cluster.requests().of(APPLY).is_empty(), "secrets stay here");

    let boot_id = machine.boot_id();
    waiting(&machine)
        .apply_configuration(config)
        .send()
        .await
        .expect("applied");
    // It installs itself and restarts, and waits for etcd.
    let etcd_waits = |event: &SimEvent| {
        if machine.boot_id() == boot_id || event.name != "machine.ServiceStateEvent" {
            return false;
        }
        let event = ServiceStateEvent::decode(event.value.clone()).expect("an event");
        event.service == "etcd" && event.action() == Action::Preparing
    };
    machine.wait_for_event(etcd_waits).await;
    let node = sim.node(0);
    node.bootstrap().send().await.expect("bootstrapped");
    machine.wait_until_ready().await;
    assert!(sim.cluster.is_bootstrapped());
    let etcd = node.service("etcd").await.expect("services");
    assert!(etcd.is_some());
}
