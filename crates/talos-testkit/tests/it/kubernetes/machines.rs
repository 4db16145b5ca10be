//! What happens to machines, seen in Kubernetes.

use serde_json::json;
use talos_proto::cluster::HealthCheckRequest;
use talos_proto::common::ContainerDriver;
use talos_proto::cosi::resource::GetRequest;
use talos_proto::machine::{
    BootstrapRequest, ContainersRequest, RebootRequest, ResetRequest, ShutdownRequest,
};
use talos_testkit::kubernetes::{KubePod, SimKubernetes};
use talos_testkit::{ReadyCondition, ServiceState, SimCluster, SimNode};

use super::client::{Api, of, soon};
use super::{builder, small, web};
use crate::wire::Wire;

async fn becomes(kubernetes: &SimKubernetes, node: &str, ready: &str) {
    let is_so = |kubernetes: &SimKubernetes| kubernetes.node(node).is_some_and(|node| node.ready == ready);
    soon(kubernetes.wait_until(is_so)).await;
}

async fn reboot(cluster: &SimCluster, node: &SimNode) {
    let wire = Wire::admin(cluster, node).await;
    wire.machine().reboot(RebootRequest::default()).await.unwrap();
}

#[tokio::test]
async fn a_reboot_shows_and_leaves_a_cordon_where_it_is() {
    let cluster = small().await;
    let kubernetes = of(&cluster);
    kubernetes.add_pod(web("web-1", "10.5.0.3"));
    kubernetes.set_unschedulable("sim-worker-1", true);
    let worker = cluster.node(1);
    worker.hold_task("initialize");
    worker.hold_task("startMachined");
    let boot_id = worker.boot_id();
    reboot(&cluster, &worker).await;
    becomes(&kubernetes, "sim-worker-1", "Unknown").await;
    let pod = kubernetes.pod("default", "web-1").unwrap();
    assert!(!pod.ready && !pod.terminating);
    let taints = kubernetes.node("sim-worker-1").unwrap().taints;
    assert!(
        taints.contains(&"node.kubernetes.io/unreachable:NoExecute".to_owned()),
        "{taints:?}"
    );
    worker.release_task("startMachined");
    worker.release_task("initialize");
    soon(worker.wait_until_ready_after(&boot_id)).await;
    becomes(&kubernetes, "sim-worker-1", "True").await;
    let node = kubernetes.node("sim-worker-1").unwrap();
    assert!(node.unschedulable);
    assert_eq!(node.taints, ["node.kubernetes.io/unschedulable:NoSchedule"]);
    assert!(kubernetes.pod("default", "web-1").unwrap().ready);
    let object = Api::admin(&cluster).object("/api/v1/nodes/sim-worker-1").await;
    assert_eq!(object["status"]["nodeInfo"]["bootID"], json!(worker.boot_id()));
}

#[tokio::test]
async fn a_machine_that_shuts_down_drains_itself_and_ends_its_own_cordon_later() {
    let cluster = small().await;
    let kubernetes = of(&cluster);
    kubernetes.add_pod(web("web-1", "10.5.0.3"));
    let worker = cluster.node(1);
    let wire = Wire::admin(&cluster, &worker).await;
    wire.machine().shutdown(ShutdownRequest::default()).await.unwrap();
    soon(worker.wait_until_off()).await;
    becomes(&kubernetes, "sim-worker-1", "Unknown").await;
    let node = kubernetes.node("sim-worker-1").unwrap();
    assert!(node.unschedulable && node.annotations["talos.dev/cordoned"] == "true");
    let moved = |kubernetes: &SimKubernetes| {
        let pods = kubernetes.pods();
        pods.iter()
            .any(|pod| pod.namespace == "default" && pod.node.as_deref() == Some("sim-worker-2") && pod.ready)
            && !pods.iter().any(|pod| pod.name == "web-1")
    };
    soon(kubernetes.wait_until(moved)).await;
    worker.revive().unwrap();
    soon(worker.wait_until_ready()).await;
    becomes(&kubernetes, "sim-worker-1", "True").await;
    let node = kubernetes.node("sim-worker-1").unwrap();
    assert!(!node.unschedulable && !node.annotations.contains_key("talos.dev/cordoned"));
}

#[tokio::test]
async fn pods_of_a_node_without_power_do_not_end() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pod(KubePod::new("default", "one").on_node("10.5.0.3"));
    cluster.node(1).kill();
    becomes(&kubernetes, "sim-worker-1", "Unknown").await;
    assert_eq!(api.evict("default", "one").await.0, 201);
    assert!(kubernetes.pod("default", "one").unwrap().terminating);
    cluster.node(1).revive().unwrap();
    soon(kubernetes.wait_until(|kubernetes| kubernetes.pod("default", "one").is_none())).await;
    becomes(&kubernetes, "sim-worker-1", "True").await;
}

#[tokio::test]
async fn without_a_control_plane_nobody_answers() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    assert!(kubernetes.is_up());
    let mut events = api.watch("/api/v1/nodes?watch=true&resourceVersion=0").await;
    events.until("ADDED", "sim-worker-2").await;
    cluster.node(0).kill();
    assert!(!kubernetes.is_up());
    while let Ok(event) = events.next().await {
        assert!(event.is_some(), "the connection breaks, it does not end");
    }
    let refused = api
        .try_send(http::Method::GET, "/version", "", "")
        .await
        .unwrap_err();
    assert!(refused.to_lowercase().contains("refused"), "{refused}");
    cluster.node(0).revive().unwrap();
    assert!(kubernetes.is_up());
    assert_eq!(api.get("/version").await.0, 200);
}

#[tokio::test]
async fn others_take_over_when_one_control_plane_node_is_down() {
    let cluster = SimCluster::builder()
        .control_planes(3)
        .kubernetes(true)
        .start()
        .await
        .unwrap();
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    cluster.node(0).kill();
    for _ in 0..4 {
        assert_eq!(api.get("/version").await.0, 200);
    }
    let mut asked: Vec<_> = kubernetes
        .requests()
        .into_iter()
        .map(|request| request.node)
        .collect();
    asked.sort();
    assert_eq!(asked, ["10.5.0.3", "10.5.0.3", "10.5.0.4", "10.5.0.4"]);
    let pods = kubernetes.pods();
    let servers = pods.iter().filter(|pod| pod.name.starts_with("kube-apiserver"));
    let ready: Vec<bool> = servers.map(|pod| pod.ready).collect();
    assert_eq!(ready, [false, true, true]);
    // Without a quorum of etcd there is no Kubernetes.
    cluster.node(1).kill();
    assert!(!kubernetes.is_up());
}

#[tokio::test]
async fn what_the_machines_say_about_themselves_counts() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    let worker = cluster.node(1);
    worker.set_condition(ReadyCondition::NodeReady, Some("not yet"));
    becomes(&kubernetes, "sim-worker-1", "False").await;
    worker.set_condition(ReadyCondition::NodeReady, None);
    becomes(&kubernetes, "sim-worker-1", "True").await;
    worker.set_service_state("kubelet", ServiceState::Failed, "exit status 1");
    becomes(&kubernetes, "sim-worker-1", "Unknown").await;
    let proxy = api
        .object("/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy")
        .await;
    assert_eq!(
        (
            &proxy["status"]["numberReady"],
            &proxy["status"]["numberUnavailable"]
        ),
        (&json!(2), &json!(1))
    );
    cluster.node(0).set_pods(vec![
        talos_testkit::SimPod::new("kube-system", "server").container("kube-apiserver", "x"),
    ]);
    let names = api.names("/api/v1/pods?labelSelector=tier%3Dcontrol-plane").await;
    assert_eq!(names, ["kube-apiserver-sim-controlplane-1"]);
    cluster.node(0).set_pods(vec![]);
    assert!(!kubernetes.is_up());
}

#[tokio::test]
async fn kubernetes_begins_with_the_bootstrap() {
    let cluster = builder().bootstrapped(false).start().await.unwrap();
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    assert!(!kubernetes.is_up() && kubernetes.nodes().is_empty());
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    wire.machine()
        .bootstrap(BootstrapRequest::default())
        .await
        .unwrap();
    let all_ready = |kubernetes: &SimKubernetes| {
        let nodes = kubernetes.nodes();
        nodes.len() == 3 && nodes.iter().all(|node| node.ready == "True")
    };
    soon(kubernetes.wait_until(all_ready)).await;
    assert_eq!(api.names("/api/v1/nodes").await.len(), 3);
}

#[tokio::test]
async fn a_reset_leaves_a_node_that_nobody_reports() {
    let cluster = small().await;
    let kubernetes = of(&cluster);
    let worker = cluster.node(1);
    let wire = Wire::admin(&cluster, &worker).await;
    let request = ResetRequest {
        graceful: true,
        reboot: true,
        ..ResetRequest::default()
    };
    wire.machine().reset(request).await.unwrap();
    soon(worker.wait_for_event(|_| worker.is_in_maintenance())).await;
    becomes(&kubernetes, "sim-worker-1", "Unknown").await;
    assert!(kubernetes.node("sim-worker-1").unwrap().unschedulable);
}

#[tokio::test]
async fn talos_sees_the_same_pods_and_nodes() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pod(KubePod::new("default", "one").on_node("10.5.0.3"));
    let wire = Wire::admin(&cluster, &cluster.node(1)).await;
    let request = ContainersRequest {
        namespace: "k8s.io".to_owned(),
        driver: ContainerDriver::Cri.into(),
    };
    let pods = || async {
        let reply = wire
            .machine()
            .containers(request.clone())
            .await
            .unwrap()
            .into_inner();
        let containers = reply.messages.into_iter().flat_map(|message| message.containers);
        let mut pods: Vec<String> = containers.map(|container| container.pod_id).collect();
        pods.dedup();
        pods
    };
    let seen = |kubernetes: &SimKubernetes| {
        let pods = kubernetes.pods().into_iter();
        let here = pods.filter(|pod| pod.node.as_deref() == Some("sim-worker-1") && pod.phase == "Running");
        here.map(|pod| format!("{}/{}", pod.namespace, pod.name))
            .collect::<Vec<_>>()
    };
    assert!(seen(&kubernetes).contains(&"default/one".to_owned()));
    assert_eq!(pods().await, seen(&kubernetes));
    assert_eq!(api.evict("default", "one").await.0, 201);
    soon(kubernetes.wait_until(|kubernetes| kubernetes.pod("default", "one").is_none())).await;
    assert_eq!(pods().await, seen(&kubernetes));

    let state = wire.state();
    let id = GetRequest {
        namespace: "k8s".to_owned(),
        r#type: "Nodenames.kubernetes.talos.dev".to_owned(),
        id: "nodename".to_owned(),
        ..GetRequest::default()
    };
    let found = { state }.get(id).await.unwrap().into_inner().resource.unwrap();
    assert!(
        found
            .spec
            .unwrap()
            .yaml_spec
            .starts_with("nodename: sim-worker-1\n")
    );

    kubernetes.set_unschedulable("sim-worker-1", true);
    let plane = Wire::admin(&cluster, &cluster.node(0)).await;
    let check = HealthCheckRequest {
        wait_timeout: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..HealthCheckRequest::default()
    };
    let mut lines = plane.cluster().health_check(check).await.unwrap().into_inner();
    let expected =
        "waiting for all k8s nodes to report schedulable: some nodes are not schedulable: [\"sim-worker-1\"]";
    loop {
        let line = soon(lines.message())
            .await
            .unwrap()
            .expect("the check waits")
            .message;
        if line == expected {
            break;
        }
    }
}

#[tokio::test]
async fn the_server_ends_with_the_cluster() {
    let cluster = small().await;
    let api = Api::admin(&cluster);
    let mut events = api.watch("/api/v1/nodes?watch=true").await;
    events.step().await;
    soon(cluster.shutdown()).await;
    while let Ok(Some(_)) = events.next().await {}
    assert!(api.try_send(http::Method::GET, "/version", "", "").await.is_err());
}
