//! Nothing that a client sends takes the server down.

use http::Method;
use serde_json::{Value, json};
use talos_testkit::kubernetes::KubePod;

use super::client::{Api, of};
use super::small;

const WORKER: &str = "/api/v1/nodes/sim-worker-1";
const POD: &str = "/api/v1/namespaces/default/pods/one";
const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

#[tokio::test]
async fn objects_of_a_wrong_shape_are_refused() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pod(KubePod::new("default", "one").on_node("10.5.0.3"));
    let before = (api.object(WORKER).await, api.object(POD).await);
    let status = format!("{WORKER}/status");
    for (path, patch, expected) in [
        (WORKER, json!(5), 400),
        (WORKER, json!({"metadata": "x"}), 422),
        (WORKER, json!({"spec": "x"}), 422),
        (WORKER, json!({"spec": {"taints": "x"}}), 422),
        (WORKER, json!({"spec": {"taints": [1]}}), 422),
        (WORKER, json!({"spec": {"unschedulable": "yes"}}), 422),
        (WORKER, json!({"metadata": {"labels": "x"}}), 422),
        (WORKER, json!({"metadata": {"annotations": {"a": 1}}}), 422),
        (status.as_str(), json!({"status": []}), 422),
        (status.as_str(), json!({"status": {"conditions": {"a": 1}}}), 422),
        (POD, json!({"spec": {"containers": []}}), 422),
        (
            "/api/v1/namespaces/default/pods/one/status",
            json!({"status": {}}),
            405,
        ),
    ] {
        let (code, answer) = api.patch(path, "merge-patch", &patch).await;
        assert_eq!(code, expected, "{path} {patch}: {answer}");
    }
    assert_eq!((api.object(WORKER).await, api.object(POD).await), before);
    let create = |budget: Value| api.send(Method::POST, BUDGETS, "application/json", budget.to_string());
    assert_eq!(
        create(json!({"metadata": {"name": "a"}, "spec": []})).await.0,
        422
    );
    assert_eq!(create(json!({"metadata": {}})).await.0, 422);
    assert_eq!(
        create(json!({"metadata": {"name": "a"}, "status": "x"})).await.0,
        422
    );
    // Odd, but no more than that.
    let odd = json!({"metadata": {"name": "a"}, "spec": {"selector": 5, "minAvailable": [1]}});
    assert_eq!(create(odd).await.0, 201);
    let (code, _) = api
        .patch(
            &format!("{BUDGETS}/a/status"),
            "merge-patch",
            &json!({"status": null}),
        )
        .await;
    assert_eq!(code, 200);
    assert!(api.object(&format!("{BUDGETS}/a")).await["status"]["desiredHealthy"].is_number());
    assert_eq!(api.evict("default", "one").await.0, 201);
}

#[tokio::test]
async fn a_node_may_lose_all_that_can_be_lost() {
    let cluster = small().await;
    let api = Api::admin(&cluster);
    let bare = json!({"metadata": {"labels": null, "annotations": null}, "spec": null});
    assert_eq!(api.patch(WORKER, "merge-patch", &bare).await.0, 200);
    let nothing = json!({"status": null});
    assert_eq!(
        api.patch(&format!("{WORKER}/status"), "merge-patch", &nothing)
            .await
            .0,
        200
    );
    let cordon = json!({"spec": {"unschedulable": true}});
    assert_eq!(api.patch(WORKER, "merge-patch", &cordon).await.0, 200);
    let node = of(&cluster).node("sim-worker-1").unwrap();
    assert!(node.unschedulable && node.ready == "True");
    assert_eq!(node.address, "10.5.0.3");
}

#[tokio::test]
async fn numbers_may_be_huge() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pods(["one", "two"].map(|name| KubePod::new("default", name).on_node("10.5.0.3")));
    let huge = u64::MAX;
    let spec = json!({"selector": {}, "minAvailable": format!("{huge}%")});
    let budget = json!({"metadata": {"name": "a"}, "spec": spec}).to_string();
    assert_eq!(
        api.send(Method::POST, BUDGETS, "application/json", budget)
            .await
            .0,
        201
    );
    assert_eq!(api.evict("default", "one").await.0, 429);
    let (code, _) = api
        .send(
            Method::DELETE,
            &format!("{POD}?gracePeriodSeconds={huge}"),
            "",
            "",
        )
        .await;
    assert_eq!(code, 200);
    assert_eq!(api.get(&format!("/api/v1/pods?limit={huge}")).await.0, 200);
    let mut events = api
        .watch(&format!("/api/v1/nodes?watch=1&timeoutSeconds={huge}"))
        .await;
    assert_eq!(events.step().await.0, "ADDED");
    let mut later = api
        .watch(&format!(
            "/api/v1/nodes?watch=1&resourceVersion={huge}&allowWatchBookmarks=1"
        ))
        .await;
    kubernetes.send_bookmarks();
    assert_eq!(later.step().await.0, "BOOKMARK");
}

#[tokio::test]
async fn bodies_beyond_three_mebibytes_are_refused() {
    let cluster = small().await;
    let api = Api::admin(&cluster);
    let body = vec![b' '; 3 * 1024 * 1024 + 1];
    let (code, status) = api.send(Method::PUT, WORKER, "application/json", body).await;
    assert_eq!((code, &status["reason"]), (413, &json!("RequestEntityTooLarge")));
}
