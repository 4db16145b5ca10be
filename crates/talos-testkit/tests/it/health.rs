//! Whether the cluster is healthy.

use talos_proto::cluster::{ClusterInfo, HealthCheckRequest};
use talos_testkit::{MemoryInfo, ServiceState, SimPod};
use tonic::{Code, Status};

use crate::four_nodes;
use crate::wire::{Wire, all, failure, with};

fn request(seconds: i64) -> HealthCheckRequest {
    HealthCheckRequest {
        wait_timeout: Some(prost_types::Duration { seconds, nanos: 0 }),
        cluster_info: None,
    }
}

async fn lines(wire: &Wire, request: HealthCheckRequest) -> Result<Vec<String>, Status> {
    let stream = wire.cluster().health_check(request).await?.into_inner();
    Ok(all(stream)
        .await?
        .into_iter()
        .map(|progress| progress.message)
        .collect())
}

// covers: cluster.ClusterService/HealthCheck
#[tokio::test]
async fn a_healthy_cluster_passes_all_checks_in_order() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let found = lines(&wire, request(60)).await.unwrap();
    assert_eq!(
        found[0],
        "discovered nodes: [\"10.5.0.2\" \"10.5.0.3\" \"10.5.0.4\" \"10.5.0.5\"]"
    );
    assert_eq!(
        found[1..3],
        [
            "waiting for etcd to be healthy: ...",
            "waiting for etcd to be healthy: OK"
        ]
    );
    assert_eq!(
        found.last().unwrap(),
        "waiting for all k8s nodes to report schedulable: OK"
    );
    assert_eq!(found.len(), 1 + 2 * 16);
    for index in 0..4 {
        cluster.node(index).set_pods(
            ["kube-apiserver", "kube-controller-manager", "kube-scheduler"]
                .map(|name| SimPod::new("kube-system", name).container(name, "registry.k8s.io/x:1")),
        );
    }
    let found = lines(&wire, request(60)).await.unwrap();
    assert!(
        found.contains(&"waiting for coredns to report ready: SKIP".to_owned()),
        "{found:?}"
    );
}

// covers: cluster.ClusterService/HealthCheck
#[tokio::test]
async fn what_is_wrong_is_told_until_it_is_right() {
    let cluster = four_nodes().start().await.unwrap();
    let node = cluster.node(1);
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    node.set_service_health("etcd", false, "context deadline exceeded");
    let mut stream = wire
        .cluster()
        .health_check(request(600))
        .await
        .unwrap()
        .into_inner();
    let mut found = Vec::new();
    while found.len() < 3 {
        found.push(stream.message().await.unwrap().unwrap().message);
    }
    assert_eq!(
        found[2],
        "waiting for etcd to be healthy: 10.5.0.3: service is not healthy: etcd: context deadline exceeded"
    );
}

// covers: cluster.ClusterService/HealthCheck
#[tokio::test]
async fn without_time_to_wait_only_the_nodes_are_told() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let mut stream = wire
        .cluster()
        .health_check(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert!(
        stream
            .message()
            .await
            .unwrap()
            .unwrap()
            .message
            .starts_with("discovered nodes: ")
    );
    assert_eq!(failure(stream.message().await).0, Code::DeadlineExceeded);
    let on_worker = with(request(1), &[("node", "10.5.0.5")]);
    let found = failure(wire.cluster().health_check(on_worker).await);
    assert_eq!(
        found,
        (
            Code::Unimplemented,
            "cluster health check is only available on control plane nodes".to_owned()
        )
    );
}

// covers: cluster.ClusterService/HealthCheck
#[tokio::test]
async fn given_nodes_are_looked_at_instead_of_discovered_ones() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let given = |workers: &[&str]| HealthCheckRequest {
        cluster_info: Some(ClusterInfo {
            control_plane_nodes: ["10.5.0.2", "10.5.0.3", "10.5.0.4"].map(str::to_owned).to_vec(),
            worker_nodes: workers.iter().map(|name| (*name).to_owned()).collect(),
            force_endpoint: String::new(),
        }),
        ..request(60)
    };
    cluster
        .node(3)
        .set_service_state("kubelet", ServiceState::Failed, "exit status 1");
    let found = lines(&wire, given(&[])).await.unwrap();
    assert_eq!(found[0], "waiting for etcd to be healthy: ...");
    assert_eq!(found.len(), 2 * 16, "the worker is not asked");
    cluster
        .node(3)
        .set_service_state("kubelet", ServiceState::Running, "started");
    cluster.node(3).set_memory(MemoryInfo::new(512 << 10, 1 << 10));
    let mut stream = wire
        .cluster()
        .health_check(given(&["10.5.0.5"]))
        .await
        .unwrap()
        .into_inner();
    loop {
        let line = stream.message().await.unwrap().unwrap().message;
        if let Some(reason) = line
            .strip_prefix("waiting for all nodes memory sizes: ")
            .filter(|text| *text != "...")
        {
            assert_eq!(reason, "10.5.0.5: memory size 512 MiB is less than 824 MiB");
            break;
        }
    }
}
