//! Version, figures and services.

use talos_proto::machine::ServiceInfo;
use talos_testkit::{MemoryInfo, ServiceState};

use crate::wire::{Wire, with};
use crate::{four_nodes, single};

#[tokio::test]
async fn version_names_release_and_platform() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let reply = wire.machine().version(()).await.unwrap().into_inner();
    let message = &reply.messages[0];
    let version = message.version.as_ref().unwrap();
    assert_eq!(
        (version.tag.as_str(), version.built.as_str(), version.os.as_str()),
        ("v1.14.0", "", "linux")
    );
    let platform = message.platform.as_ref().unwrap();
    assert_eq!(
        (platform.name.as_str(), platform.mode.as_str()),
        ("metal", "metal")
    );
    assert!(message.features.unwrap().rbac);
}

#[tokio::test]
async fn memory_and_load_are_what_was_set() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let memory = wire.machine().memory(()).await.unwrap().into_inner().messages[0]
        .meminfo
        .unwrap();
    assert!(memory.memtotal > memory.memavailable && memory.memavailable > 0);
    node.set_memory(MemoryInfo::new(2048, 512));
    node.set_load([1.0, 2.0, 3.0]);
    let memory = wire.machine().memory(()).await.unwrap().into_inner().messages[0]
        .meminfo
        .unwrap();
    assert_eq!((memory.memtotal, memory.memavailable), (2048, 512));
    let load = wire.machine().load_avg(()).await.unwrap().into_inner();
    let load = &load.messages[0];
    assert_eq!([load.load1, load.load5, load.load15], [1.0, 2.0, 3.0]);
}

async fn services(wire: &Wire, node: &str) -> Vec<ServiceInfo> {
    let reply = wire
        .machine()
        .service_list(with((), &[("node", node)]))
        .await
        .unwrap()
        .into_inner();
    reply.messages.into_iter().next().unwrap().services
}

#[tokio::test]
async fn services_are_sorted_healthy_and_have_a_history() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let found = services(&wire, "10.5.0.2").await;
    let ids: Vec<_> = found.iter().map(|service| service.id.as_str()).collect();
    let expected = [
        "apid",
        "auditd",
        "containerd",
        "cri",
        "dashboard",
        "etcd",
        "kubelet",
        "machined",
        "syslogd",
        "trustd",
        "udevd",
    ];
    assert_eq!(ids, expected);
    for service in &found {
        let health = service.health.as_ref().unwrap();
        assert_eq!(service.state, "Running");
        assert_eq!(health.unknown, service.id == "dashboard", "{}", service.id);
        assert_eq!(health.healthy, service.id != "dashboard", "{}", service.id);
        let events = &service.events.as_ref().unwrap().events;
        assert_eq!(events.first().unwrap().state, "Starting");
        assert_eq!(events.last().unwrap().state, "Running");
        let times: Vec<_> = events.iter().map(|event| event.ts.unwrap().seconds).collect();
        assert!(times.is_sorted(), "{times:?}");
    }
    let dashboard = found.iter().find(|service| service.id == "dashboard").unwrap();
    assert_eq!(
        dashboard.health.as_ref().unwrap().last_change.unwrap().seconds,
        -62_135_596_800
    );
    let worker: Vec<_> = services(&wire, "10.5.0.5")
        .await
        .into_iter()
        .map(|service| service.id)
        .collect();
    assert!(!worker.contains(&"etcd".to_owned()) && !worker.contains(&"trustd".to_owned()));
}

#[tokio::test]
async fn state_and_health_of_a_service_can_be_changed() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let kubelet = async || {
        services(&wire, "10.5.0.2")
            .await
            .into_iter()
            .find(|service| service.id == "kubelet")
            .unwrap()
    };
    node.set_service_health("kubelet", false, "connection refused");
    let seen = kubelet().await;
    let health = seen.health.unwrap();
    assert_eq!((health.healthy, health.unknown), (false, false));
    assert_eq!(health.last_message, "connection refused");
    assert_eq!(
        seen.events.unwrap().events.last().unwrap().msg,
        "Health check failed: connection refused"
    );
    node.set_service_state("kubelet", ServiceState::Failed, "exit status 1");
    let seen = kubelet().await;
    assert_eq!(seen.state, "Failed");
    assert_eq!(seen.health.unwrap().last_message, "service not running");
    node.set_service_state("ext-hello", ServiceState::Running, "Started");
    let extension = services(&wire, "10.5.0.2")
        .await
        .into_iter()
        .find(|service| service.id == "ext-hello");
    assert!(
        extension.unwrap().health.unwrap().unknown,
        "extensions have no health check"
    );
}
