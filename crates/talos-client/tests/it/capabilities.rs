//! Nodes of other releases: what they can do, and how often they are asked.

use talos_client::{
    ErrorKind, Unimplemented,
    proto::methods::{
        Release,
        machine::{image_service, lvm_service, machine_service},
    },
};

use crate::support::Sim;

const VERSION: &str = "/machine.MachineService/Version";

// covers: machine.MachineService/Version
#[tokio::test]
async fn a_node_is_asked_once_for_its_release() {
    let sim = Sim::start().await;
    sim.cluster.node(1).set_talos_version("v1.12.9");
    let node = sim.node(1);
    let (first, second) = tokio::join!(node.capabilities(), node.capabilities());
    let capabilities = first.expect("answered");
    assert_eq!(second.expect("answered"), capabilities);
    let again = sim.node(1).capabilities().await.expect("known");
    assert_eq!(again, capabilities, "another handle of the same client");
    assert_eq!(sim.cluster.requests().of(VERSION).len(), 1);

    assert_eq!(capabilities.tag(), "v1.12.9");
    assert_eq!(capabilities.release(), Some(Release::new(1, 12)));
    assert!(capabilities.is_configured());
    assert!(capabilities.supports(&machine_service::UPGRADE));
    assert!(!capabilities.supports(&image_service::PULL));
    assert_eq!(
        capabilities.missing(&lvm_service::VOLUME_GROUP_REMOVE),
        Some(Unimplemented::TooOld {
            since: Some(Release::new(1, 14))
        })
    );
    let other = sim.node(0).capabilities().await.expect("answered");
    assert!(
        other.supports(&lvm_service::VOLUME_GROUP_REMOVE),
        "each node has its own"
    );
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn a_node_that_went_down_is_asked_again() {
    let sim = Sim::start().await;
    let (node, simulated) = (sim.node(1), sim.cluster.node(1));
    node.capabilities().await.expect("answered");
    let boot_id = simulated.boot_id();
    node.reboot().send().await.expect("accepted");
    simulated.wait_until_ready_after(&boot_id).await;
    simulated.set_talos_version("v1.13.0");
    let capabilities = node.capabilities().await.expect("answered");
    assert_eq!(capabilities.tag(), "v1.13.0");
    assert_eq!(sim.cluster.requests().of(VERSION).len(), 2);
}

// covers: machine.LVMService/VolumeGroupRemove
#[tokio::test]
async fn an_error_of_an_old_node_says_what_it_runs_and_what_it_takes() {
    let sim = Sim::start().await;
    sim.cluster.node(1).set_talos_version("v1.13.9");
    let node = sim.node(1);
    let error = node.remove_volume_group("vg0").await.expect_err("too old");
    assert_eq!(error.kind(), ErrorKind::Unimplemented);
    assert!(error.is_unknown_method(), "{error:#}");
    assert_eq!(error.node_release(), None, "nobody has asked");

    node.version().await.expect("answered");
    let error = node.remove_volume_group("vg0").await.expect_err("too old");
    assert_eq!(error.node_release(), Some(Release::new(1, 13)));
    let text = error.to_string();
    assert!(
        text.ends_with("(the server is too old, Talos has this call since v1.14; it runs v1.13)"),
        "{text}"
    );
}

// covers: machine.MachineService/Kubeconfig
#[tokio::test]
async fn a_worker_is_not_mistaken_for_an_old_node() {
    let sim = Sim::start().await;
    let error = sim.node(3).kubeconfig().await.expect_err("a worker");
    assert_eq!(error.unimplemented(), Some(Unimplemented::ControlPlaneOnly));
    assert!(error.is_unimplemented() && !error.is_unknown_method());
}
