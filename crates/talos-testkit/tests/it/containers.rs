//! Containers of services and pods, and their logs.

use talos_proto::common::ContainerDriver;
use talos_proto::machine::{ContainerInfo, ContainersRequest, LogsRequest, RestartRequest, StatsRequest};
use talos_testkit::{ServiceState, SimPod};
use tonic::{Code, Status};

use crate::wire::{Wire, failure};
use crate::{four_nodes, single};

async fn containers(wire: &Wire, namespace: &str, driver: i32) -> Result<Vec<ContainerInfo>, Status> {
    let request = ContainersRequest {
        namespace: namespace.to_owned(),
        driver,
    };
    let reply = wire.machine().containers(request).await?.into_inner();
    Ok(reply.messages.into_iter().next().unwrap().containers)
}

const CRI: i32 = ContainerDriver::Cri as i32;
const CONTAINERD: i32 = ContainerDriver::Containerd as i32;

// covers: machine.MachineService/Containers
#[tokio::test]
async fn services_that_run_are_containers() {
    let cluster = four_nodes().start().await.unwrap();
    let node = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &node, &["os:reader"]).await;
    let found = containers(&wire, "system", CONTAINERD).await.unwrap();
    let ids: Vec<_> = found.iter().map(|container| container.id.as_str()).collect();
    assert_eq!(ids, ["apid", "etcd", "kubelet", "trustd"]);
    assert!(
        found
            .iter()
            .all(|container| container.status == "RUNNING" && container.pid > 0)
    );
    node.set_service_state("etcd", ServiceState::Finished, "stopped");
    let ids = containers(&wire, "system", CONTAINERD).await.unwrap().len();
    assert_eq!(ids, 3);
}

// covers: machine.MachineService/Containers
#[tokio::test]
async fn pods_have_a_sandbox_and_containers() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let found = containers(&wire, "k8s.io", CRI).await.unwrap();
    let api = "kube-system/kube-apiserver-sim-controlplane-1";
    let sandbox = found.iter().find(|container| container.id == api).unwrap();
    assert_eq!(
        (sandbox.pod_id.as_str(), sandbox.status.as_str()),
        (api, "SANDBOX_READY")
    );
    assert!(sandbox.image.contains("/pause:"));
    let container = found
        .iter()
        .find(|found| found.pod_id == api && found.id != api)
        .unwrap();
    assert_eq!(
        container.id,
        format!("{api}:kube-apiserver:{}", &container.internal_id[..12])
    );
    assert_eq!(
        (container.status.as_str(), container.name.as_str()),
        ("CONTAINER_RUNNING", "kube-apiserver")
    );
    assert_eq!(container.uid, sandbox.uid);
    let by_containerd = containers(&wire, "k8s.io", CONTAINERD).await.unwrap();
    assert!(
        by_containerd
            .iter()
            .all(|container| container.status == "RUNNING")
    );
    let mut hidden = SimPod::new("default", "web").container("nginx", "docker.io/library/nginx:1");
    hidden.ready = false;
    let shown = SimPod::new("default", "job").container("one", "docker.io/library/busybox:1");
    node.set_pods([hidden, shown]);
    let found = containers(&wire, "k8s.io", CRI).await.unwrap();
    assert_eq!(found.len(), 2);
    assert!(!found[0].network_namespace.is_empty());
    let commands: Vec<_> = node
        .processes()
        .into_iter()
        .map(|process| process.command)
        .collect();
    assert!(commands.contains(&"one".to_owned()) && !commands.contains(&"nginx".to_owned()));
}

// covers: machine.MachineService/Containers
// covers: machine.MachineService/Stats
#[tokio::test]
async fn wrong_namespaces_and_drivers_are_told_apart() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let cases = [
        ("", CONTAINERD, Code::InvalidArgument, "namespace can't be empty"),
        ("k8s.io", 7, Code::InvalidArgument, "unsupported driver \"7\""),
        (
            "system",
            CRI,
            Code::Unknown,
            "CRI inspector is supported only for K8s namespace",
        ),
    ];
    for (namespace, driver, code, message) in cases {
        let found = failure(containers(&wire, namespace, driver).await);
        assert_eq!(found, (code, message.to_owned()));
        let request = StatsRequest {
            namespace: namespace.to_owned(),
            driver,
        };
        assert_eq!(
            failure(wire.machine().stats(request).await),
            (code, message.to_owned())
        );
    }
}

// covers: machine.MachineService/Stats
#[tokio::test]
async fn every_running_container_uses_memory_and_processors() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let request = StatsRequest {
        namespace: "k8s.io".to_owned(),
        driver: CRI,
    };
    let reply = wire.machine().stats(request).await.unwrap().into_inner();
    let stats = &reply.messages[0].stats;
    let found = containers(&wire, "k8s.io", CRI).await.unwrap();
    assert_eq!(
        stats.iter().map(|stat| &stat.id).collect::<Vec<_>>(),
        found.iter().map(|container| &container.id).collect::<Vec<_>>()
    );
    assert!(
        stats
            .iter()
            .all(|stat| stat.memory_usage > 0 && stat.cpu_usage > 0)
    );
}

// covers: machine.MachineService/Restart
#[tokio::test]
async fn a_restarted_container_is_another_one() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let restart = async |namespace: &str, id: &str, driver| {
        let request = RestartRequest {
            namespace: namespace.to_owned(),
            id: id.to_owned(),
            driver,
        };
        wire.machine().restart(request).await
    };
    let pid = async || {
        let found = containers(&wire, "system", CONTAINERD).await.unwrap();
        found
            .into_iter()
            .find(|container| container.id == "etcd")
            .unwrap()
            .pid
    };
    let before = pid().await;
    restart("system", "etcd", CONTAINERD).await.unwrap();
    assert_ne!(pid().await, before);
    let services = wire.machine().service_list(()).await.unwrap().into_inner();
    let etcd = services.messages[0]
        .services
        .iter()
        .find(|service| service.id == "etcd")
        .unwrap();
    let states: Vec<_> = etcd
        .events
        .as_ref()
        .unwrap()
        .events
        .iter()
        .map(|event| event.state.as_str())
        .collect();
    assert!(states.ends_with(&["Waiting", "Running", "Running"]), "{states:?}");
    let id = node
        .pod_containers()
        .into_iter()
        .find(|id| id.contains(":kube-scheduler:"))
        .unwrap();
    restart("k8s.io", &id, CRI).await.unwrap();
    let now = node.pod_containers();
    assert!(!now.contains(&id) && now.iter().any(|id| id.contains(":kube-scheduler:")));
    let gone = failure(restart("k8s.io", &id, CRI).await);
    assert_eq!(gone, (Code::Unknown, format!("container \"{id}\" not found")));
}

// covers: machine.MachineService/Logs
#[tokio::test]
async fn containers_have_logs_in_the_format_of_the_runtime() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let id = node
        .pod_containers()
        .into_iter()
        .find(|id| id.contains(":coredns:"))
        .unwrap();
    node.append_container_log(&id, "a query");
    let request = |namespace: &str, id: &str, driver| LogsRequest {
        namespace: namespace.to_owned(),
        id: id.to_owned(),
        driver,
        tail_lines: -1,
        ..LogsRequest::default()
    };
    let log = wire.logs(request("k8s.io", &id, CRI)).await.unwrap();
    let log = String::from_utf8(log).unwrap();
    let last = log.lines().last().unwrap();
    assert!(last.contains("Z stdout F a query"), "{last}");
    assert_eq!(log.lines().count(), 2);
    let cases = [
        (
            request("k8s.io", "x", CRI),
            Code::Unknown,
            "container \"x\" not found",
        ),
        (
            request("", "x", CRI),
            Code::InvalidArgument,
            "namespace can't be empty",
        ),
        (
            request("other", "x", CONTAINERD),
            Code::Unknown,
            "container \"x\" not found",
        ),
        (
            request("system", "x", CONTAINERD),
            Code::Unknown,
            "log \"x\" was not registered",
        ),
    ];
    for (request, code, message) in cases {
        assert_eq!(failure(wire.logs(request).await), (code, message.to_owned()));
    }
}
