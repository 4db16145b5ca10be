//! Typed answers.

use talos_client::api::machine::{ServiceHealth, ServiceState};
use talos_testkit::ServiceState as SimState;

use crate::support::Sim;

// covers: machine.MachineService/Version
#[tokio::test]
async fn versions_are_the_nodes_own() {
    let sim = Sim::start().await;
    sim.cluster.node(2).set_talos_version("v1.13.9");
    let version = sim.node(2).version().await.expect("answered");
    assert_eq!(version.tag(), "v1.13.9");
    assert_eq!(version.os_arch(), "linux/amd64");
    assert_eq!(version.rbac(), Some(true));
    assert!(
        version.platform().is_some() && version.mode().is_some(),
        "{version:?}"
    );
    assert!(
        !version.sha().is_empty() && !version.go_version().is_empty(),
        "{version:?}"
    );
    assert_ne!(sim.node(0).version().await.expect("answered").tag(), "v1.13.9");
}

// covers: machine.MachineService/Memory
#[tokio::test]
async fn memory_is_in_bytes() {
    let sim = Sim::start().await;
    let mut memory = talos_testkit::MemoryInfo::default();
    memory.total_kib = 8 * 1024 * 1024;
    memory.available_kib = 6 * 1024 * 1024;
    sim.cluster.node(0).set_memory(memory);

    let memory = sim.node(0).memory().await.expect("answered");
    const GIB: u64 = 1 << 30;
    assert_eq!(
        (memory.total(), memory.available(), memory.used()),
        (8 * GIB, 6 * GIB, 2 * GIB)
    );
    assert_eq!(memory.into_inner().memtotal, 8 * 1024 * 1024);
}

// covers: machine.MachineService/LoadAvg
#[tokio::test]
async fn load_is_over_one_five_and_fifteen_minutes() {
    let sim = Sim::start().await;
    sim.cluster.node(0).set_load([0.25, 0.5, 0.75]);
    let load = sim.node(0).load_average().await.expect("answered");
    assert_eq!((load.one, load.five, load.fifteen), (0.25, 0.5, 0.75));
}

// covers: machine.MachineService/ServiceList
#[tokio::test]
async fn services_are_sorted_and_have_state_health_and_events() {
    let sim = Sim::start().await;
    let services = sim.node(0).services().await.expect("answered");
    let ids: Vec<_> = services.iter().map(|service| service.id.as_str()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
    for id in ["apid", "etcd", "kubelet", "machined"] {
        assert!(ids.contains(&id), "{id} is missing in {ids:?}");
    }
    let apid = services
        .iter()
        .find(|service| service.id == "apid")
        .expect("listed");
    assert_eq!(
        (&apid.state, apid.health),
        (&ServiceState::Running, ServiceHealth::Healthy)
    );
    assert!(apid.is_up());
    assert!(
        apid.events
            .iter()
            .any(|event| event.state == ServiceState::Running && event.at.is_some()),
        "{apid:?}"
    );

    let worker = sim.node(3).services().await.expect("answered");
    assert!(
        !worker.iter().any(|service| service.id == "etcd"),
        "workers have no etcd"
    );
}

// covers: machine.MachineService/ServiceList
#[tokio::test]
async fn one_service_is_picked_out_of_the_list() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(0);
    node.set_service_health("kubelet", false, "connection refused");
    node.set_service_state("etcd", SimState::Stopping, "stopping");

    let kubelet = sim
        .node(0)
        .service("kubelet")
        .await
        .expect("answered")
        .expect("exists");
    assert_eq!(
        (kubelet.health, kubelet.health_message.as_str()),
        (ServiceHealth::Unhealthy, "connection refused")
    );
    assert!(!kubelet.is_up());
    let etcd = sim
        .node(0)
        .service("etcd")
        .await
        .expect("answered")
        .expect("exists");
    assert_eq!(etcd.state, ServiceState::Stopping);
    assert_eq!(etcd.events.last().expect("has one").message, "stopping");
    assert_eq!(
        sim.node(0).service("nosuchservice").await.expect("answered"),
        None
    );
}

// covers: machine.MachineService/Kubeconfig
#[tokio::test]
async fn the_kubeconfig_comes_out_of_its_unfinished_archive() {
    let sim = Sim::start().await;
    let kubeconfig = sim.node(0).kubeconfig().await.expect("answered");
    let yaml = kubeconfig.as_yaml();
    assert!(
        yaml.contains("kind: Config") && yaml.contains(&format!("admin@{}", sim.cluster.name())),
        "{yaml}"
    );
    assert!(yaml.ends_with('\n'), "complete: {yaml}");
    assert_eq!(format!("{kubeconfig:?}"), "Kubeconfig(<redacted>)");
    assert!(
        sim.client
            .kubeconfig()
            .await
            .expect("any endpoint")
            .as_yaml()
            .contains("kind: Config")
    );

    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("kubeconfig");
    kubeconfig.save_to(&path).expect("saved");
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), yaml);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;

        assert_eq!(
            std::fs::metadata(&path).expect("exists").permissions().mode() & 0o777,
            0o600
        );
    }
}

// covers: machine.MachineService/Kubeconfig
#[tokio::test]
async fn workers_have_no_kubeconfig() {
    let sim = Sim::start().await;
    let error = sim.node(3).kubeconfig().await.expect_err("a worker");
    assert_eq!(error.kind(), talos_client::ErrorKind::Unimplemented, "{error:#}");
    assert_eq!(
        error.message(),
        Some("kubeconfig is only available on control plane nodes")
    );
}
