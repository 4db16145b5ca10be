//! Containers of services and pods, and which services have logs.

use talos_client::{
    ErrorKind, Origin,
    api::containers::{ContainerInfo, ContainerScope},
    proto::{common::ContainerDriver, machine as proto},
};
use talos_testkit::{ServiceState, SimPod};

use crate::support::{Sim, message};

const CONTAINERS: &str = "/machine.MachineService/Containers";
const STATS: &str = "/machine.MachineService/Stats";
const RESTART: &str = "/machine.MachineService/Restart";
const LOGS_CONTAINERS: &str = "/machine.MachineService/LogsContainers";

fn ids(containers: &[ContainerInfo]) -> Vec<&str> {
    containers.iter().map(ContainerInfo::id).collect()
}

// covers: machine.MachineService/Containers
#[tokio::test]
async fn containers_of_services_and_of_pods_are_asked_for_as_nodes_want_it() {
    let sim = Sim::start().await;
    let (node, simulated) = (sim.node(0), sim.cluster.node(0));
    let system = node.containers(ContainerScope::System).await.expect("answered");
    let request: proto::ContainersRequest = sim.received_by(0, CONTAINERS);
    assert_eq!(
        (request.namespace.as_str(), request.driver()),
        ("system", ContainerDriver::Containerd)
    );
    assert_eq!(ids(&system), ["apid", "etcd", "kubelet", "trustd"]);
    for container in &system {
        assert_eq!(
            (container.name(), container.status()),
            (container.id(), "RUNNING")
        );
        assert!(
            container.pid().is_some() && !container.is_sandbox(),
            "{container:?}"
        );
    }
    simulated.set_service_state("etcd", ServiceState::Finished, "stopped");
    let system = node.containers(ContainerScope::System).await.expect("answered");
    assert_eq!(ids(&system), ["apid", "kubelet", "trustd"]);

    let mut hidden = SimPod::new("default", "web").container("nginx", "docker.io/library/nginx:1");
    hidden.ready = false;
    let shown = SimPod::new("default", "job").container("one", "docker.io/library/busybox:1");
    simulated.set_pods([hidden, shown]);
    let pods = node
        .containers(ContainerScope::Kubernetes)
        .await
        .expect("answered");
    let last = sim.cluster.requests().of(CONTAINERS).pop().expect("a call");
    let request: proto::ContainersRequest = message(&last);
    assert_eq!(
        (request.namespace.as_str(), request.driver()),
        ("k8s.io", ContainerDriver::Cri)
    );
    assert_eq!(pods.len(), 2, "{pods:?}");
    let sandbox = pods.iter().find(|found| found.is_sandbox()).expect("a sandbox");
    assert_eq!((sandbox.id(), sandbox.status()), ("default/job", "SANDBOX_READY"));
    let container = pods
        .iter()
        .find(|found| !found.is_sandbox())
        .expect("a container");
    assert!(container.id().starts_with("default/job:one:"), "{container:?}");
    assert_eq!(
        (
            container.name(),
            container.pod_id(),
            container.status(),
            container.image()
        ),
        (
            "one",
            "default/job",
            "CONTAINER_RUNNING",
            "docker.io/library/busybox:1"
        )
    );
}

// covers: machine.MachineService/Stats
#[tokio::test]
async fn what_containers_use_is_told_for_each_of_them() {
    let sim = Sim::start().await;
    let node = sim.node(0);
    for (scope, namespace, driver) in [
        (ContainerScope::System, "system", ContainerDriver::Containerd),
        (ContainerScope::Kubernetes, "k8s.io", ContainerDriver::Cri),
    ] {
        let stats = node.container_stats(scope).await.expect("answered");
        assert!(!stats.is_empty());
        assert!(
            stats
                .iter()
                .all(|stats| stats.memory_usage() > 0 && stats.cpu_usage() > 0),
            "{stats:?}"
        );
        let listed = node.containers(scope).await.expect("answered");
        assert_eq!(
            stats.iter().map(|stats| stats.id()).collect::<Vec<_>>(),
            ids(&listed)
        );
        let last = sim.cluster.requests().of(STATS).pop().expect("a call");
        let request: proto::StatsRequest = message(&last);
        assert_eq!(
            (request.namespace.as_str(), request.driver()),
            (namespace, driver)
        );
    }
}

// covers: machine.MachineService/Restart
#[tokio::test]
async fn a_restarted_container_is_another_one() {
    let sim = Sim::start().await;
    let (node, simulated) = (sim.node(0), sim.cluster.node(0));
    let pid = async || {
        let containers = node.containers(ContainerScope::System).await.expect("answered");
        let etcd = containers.iter().find(|container| container.id() == "etcd");
        etcd.and_then(ContainerInfo::pid).expect("it runs")
    };
    let before = pid().await;
    node.restart_container(ContainerScope::System, "etcd")
        .await
        .expect("restarted");
    assert_ne!(pid().await, before);
    let request: proto::RestartRequest = sim.received_by(0, RESTART);
    assert_eq!(
        (request.id.as_str(), request.namespace.as_str(), request.driver()),
        ("etcd", "system", ContainerDriver::Containerd)
    );

    let scheduler = |ids: Vec<String>| ids.into_iter().find(|id| id.contains(":kube-scheduler:"));
    let id = scheduler(simulated.pod_containers()).expect("a scheduler");
    node.restart_container(ContainerScope::Kubernetes, &id)
        .await
        .expect("restarted");
    assert_ne!(scheduler(simulated.pod_containers()).expect("still one"), id);
    let error = node
        .restart_container(ContainerScope::Kubernetes, &id)
        .await
        .expect_err("gone");
    assert_eq!(
        (error.kind(), error.origin(), error.attempts()),
        (ErrorKind::Unknown, Origin::Node, 1),
        "{error:#}"
    );
    let sent = sim.cluster.requests().of(RESTART).len();
    let error = node.restart_container(ContainerScope::System, "").await;
    assert_eq!(error.expect_err("no id").kind(), ErrorKind::InvalidInput);
    assert_eq!(sim.cluster.requests().of(RESTART).len(), sent, "nothing was sent");
}

// covers: machine.MachineService/LogsContainers
#[tokio::test]
async fn each_name_that_has_logs_can_be_read() {
    let sim = Sim::start().await;
    let node = sim.node(1);
    let names = node.logs_containers().await.expect("answered");
    let _: () = sim.received_by(1, LOGS_CONTAINERS);
    assert!(names.is_sorted(), "{names:?}");
    for expected in ["apid", "etcd", "kubelet", "machined"] {
        assert!(names.iter().any(|name| name == expected), "{expected}: {names:?}");
    }
    for name in names {
        let mut lines = node.logs(&name).send().await.expect("opened").lines();
        while let Some(line) = lines.next_line().await {
            line.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
    }
}
