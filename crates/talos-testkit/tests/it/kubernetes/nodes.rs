//! Nodes and what clients write to them.

use http::Method;
use serde_json::{Value, json};

use super::client::{Api, of, soon};
use super::{builder, small};

const WORKER: &str = "/api/v1/nodes/sim-worker-1";

fn condition<'a>(node: &'a Value, kind: &str) -> &'a Value {
    let conditions = node["status"]["conditions"].as_array().unwrap();
    let found = conditions.iter().find(|condition| condition["type"] == kind);
    &found.unwrap()["status"]
}

#[tokio::test]
async fn nodes_follow_the_machines() {
    let cluster = small().await;
    let api = Api::admin(&cluster);
    let list = api.object("/api/v1/nodes").await;
    assert_eq!(
        (&list["kind"], &list["apiVersion"]),
        (&json!("NodeList"), &json!("v1"))
    );
    assert!(list["metadata"]["resourceVersion"].is_string());
    let nodes = list["items"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    let plane = &nodes[0];
    assert_eq!(plane["metadata"]["name"], "sim-controlplane-1");
    assert_eq!(
        plane["metadata"]["labels"]["node-role.kubernetes.io/control-plane"],
        ""
    );
    assert_eq!(
        plane["metadata"]["labels"]["node.kubernetes.io/exclude-from-external-load-balancers"],
        ""
    );
    assert_eq!(
        plane["spec"]["taints"],
        json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
    );
    assert!(plane.get("kind").is_none(), "items do not say what they are");
    let worker = api.object(WORKER).await;
    assert_eq!(worker["kind"], "Node");
    assert_eq!(
        worker["status"]["addresses"][0],
        json!({"type": "InternalIP", "address": "10.5.0.3"})
    );
    assert_eq!(worker["status"]["nodeInfo"]["kubeletVersion"], "v1.36.0");
    assert_eq!(worker["status"]["nodeInfo"]["osImage"], "Talos (v1.14.0)");
    assert_eq!(worker["status"]["nodeInfo"]["bootID"], cluster.node(1).boot_id());
    assert_eq!(condition(&worker, "Ready"), "True");
    assert!(worker["spec"].get("taints").is_none());
    assert!(
        worker["metadata"]["labels"]
            .get("node-role.kubernetes.io/control-plane")
            .is_none()
    );
}

#[tokio::test]
async fn a_cordon_stays_and_taints_the_node() {
    let cluster = small().await;
    let api = Api::admin(&cluster);
    let before = api.object(WORKER).await;
    let patch =
        json!({"spec": {"unschedulable": true}, "metadata": {"annotations": {"example.org/by": "me"}}});
    for kind in ["merge-patch", "strategic-merge-patch"] {
        let (code, node) = api.patch(WORKER, kind, &patch).await;
        assert_eq!(
            (code, &node["spec"]["unschedulable"]),
            (200, &json!(true)),
            "{kind}"
        );
    }
    let node = api.object(WORKER).await;
    assert_ne!(
        node["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    assert_eq!(node["metadata"]["uid"], before["metadata"]["uid"]);
    assert_eq!(node["metadata"]["annotations"]["example.org/by"], "me");
    assert_eq!(
        node["spec"]["taints"][0]["key"],
        "node.kubernetes.io/unschedulable"
    );
    let seen = of(&cluster).node("sim-worker-1").unwrap();
    assert!(seen.unschedulable && seen.taints == ["node.kubernetes.io/unschedulable:NoSchedule"]);
    assert_eq!(
        api.names("/api/v1/nodes?fieldSelector=spec.unschedulable%3Dtrue")
            .await,
        ["sim-worker-1"]
    );
    let patch = json!([{"op": "remove", "path": "/spec/unschedulable"}]);
    let (code, _) = api.patch(WORKER, "json-patch", &patch).await;
    assert_eq!(code, 200);
    let node = api.object(WORKER).await;
    assert!(node["spec"].get("unschedulable").is_none() && node["spec"].get("taints").is_none());
}

#[tokio::test]
async fn updates_need_the_latest_version() {
    let cluster = small().await;
    let api = Api::admin(&cluster);
    let mut node = api.object(WORKER).await;
    node["metadata"]["labels"]["tier"] = json!("gold");
    node["status"] = json!({});
    let update = |node: &Value| {
        let (api, body) = (api.clone(), node.to_string());
        async move { api.send(Method::PUT, WORKER, "application/json", body).await }
    };
    let (code, updated) = update(&node).await;
    assert_eq!(
        (code, &updated["metadata"]["labels"]["tier"]),
        (200, &json!("gold"))
    );
    assert_eq!(
        condition(&updated, "Ready"),
        "True",
        "the status is another resource"
    );
    let (code, status) = update(&node).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    let moved = json!({"metadata": {"name": "other"}});
    let (code, status) = api.patch(WORKER, "merge-patch", &moved).await;
    assert_eq!((code, &status["reason"]), (422, &json!("Invalid")));
    let old = json!({"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]}});
    let (code, _) = api.patch(WORKER, "merge-patch", &old).await;
    assert_eq!(code, 409);
}

#[tokio::test]
async fn dry_runs_and_patches_of_the_status() {
    let cluster = small().await;
    let api = Api::admin(&cluster);
    let before = api.object(WORKER).await;
    let patch = json!({"metadata": {"labels": {"a": "b"}}});
    let (code, node) = api
        .patch(&format!("{WORKER}?dryRun=All"), "merge-patch", &patch)
        .await;
    assert_eq!((code, &node["metadata"]["labels"]["a"]), (200, &json!("b")));
    assert_eq!(api.object(WORKER).await, before);
    let patch = json!({"status": {"conditions": [{"type": "Custom", "status": "True"}]}, "metadata": {"labels": {"a": "b"}}});
    let (code, _) = api
        .patch(&format!("{WORKER}/status"), "strategic-merge-patch", &patch)
        .await;
    assert_eq!(code, 200);
    let node = api.object(WORKER).await;
    assert_eq!(
        (condition(&node, "Custom"), condition(&node, "Ready")),
        (&json!("True"), &json!("True"))
    );
    assert!(node["metadata"]["labels"].get("a").is_none());
}

#[tokio::test]
async fn a_deleted_node_takes_its_pods_along_and_comes_back_with_its_machine() {
    let cluster = builder().start().await.unwrap();
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    let on_worker = |pods: Vec<talos_testkit::kubernetes::ObservedPod>| {
        pods.into_iter()
            .any(|pod| pod.node.as_deref() == Some("sim-worker-1"))
    };
    assert!(on_worker(kubernetes.pods()));
    let (code, _) = api.send(Method::DELETE, WORKER, "", "").await;
    assert_eq!(code, 200);
    assert_eq!(api.get(WORKER).await.0, 404);
    assert!(!on_worker(kubernetes.pods()));
    let worker = cluster.node(1);
    let boot_id = worker.boot_id();
    crate::wire::Wire::admin(&cluster, &worker)
        .await
        .machine()
        .reboot(talos_proto::machine::RebootRequest::default())
        .await
        .unwrap();
    soon(worker.wait_until_ready_after(&boot_id)).await;
    soon(kubernetes.wait_until(|kubernetes| {
        kubernetes
            .node("sim-worker-1")
            .is_some_and(|node| node.ready == "True")
    }))
    .await;
    soon(kubernetes.wait_until(|kubernetes| on_worker(kubernetes.pods()))).await;
}
