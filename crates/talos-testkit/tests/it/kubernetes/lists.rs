//! Lists of pods and workloads.

use serde_json::json;
use talos_testkit::kubernetes::{KubePod, PodOwner};

use super::client::{Api, of};
use super::{small, web};

#[tokio::test]
async fn the_system_has_its_pods() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    super::client::soon(kubernetes.wait_until(|kubernetes| kubernetes.pods().iter().all(|pod| pod.ready)))
        .await;
    let list = "/api/v1/namespaces/kube-system/pods";
    let selector = "labelSelector=k8s-app%20in%20(kube-apiserver,kube-controller-manager,kube-scheduler)";
    assert_eq!(
        api.names(&format!("{list}?{selector}")).await,
        [
            "kube-apiserver-sim-controlplane-1",
            "kube-controller-manager-sim-controlplane-1",
            "kube-scheduler-sim-controlplane-1",
        ]
    );
    let server = api
        .object(&format!("{list}/kube-apiserver-sim-controlplane-1"))
        .await;
    assert!(server["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_string());
    assert_eq!(server["metadata"]["ownerReferences"][0]["kind"], "Node");
    assert_eq!(server["status"]["phase"], "Running");
    for (selector, count, owner) in [
        ("k8s-app%3Dkube-proxy", 3, "DaemonSet"),
        ("k8s-app%3Dflannel", 3, "DaemonSet"),
        ("k8s-app%3Dkube-dns", 2, "ReplicaSet"),
    ] {
        let pods = api.object(&format!("{list}?labelSelector={selector}")).await;
        let pods = pods["items"].as_array().unwrap();
        assert_eq!(pods.len(), count, "{selector}");
        assert!(
            pods.iter()
                .all(|pod| pod["metadata"]["ownerReferences"][0]["kind"] == owner)
        );
    }
    let proxy = api
        .object("/apis/apps/v1/namespaces/kube-system/daemonsets/kube-proxy")
        .await;
    assert_eq!(proxy["status"]["desiredNumberScheduled"], 3);
    assert_eq!(proxy["status"]["numberReady"], 3);
    let dns = api
        .object("/apis/apps/v1/namespaces/kube-system/deployments/coredns")
        .await;
    assert_eq!(
        (&dns["spec"]["replicas"], &dns["status"]["readyReplicas"]),
        (&json!(2), &json!(2))
    );
    let sets = api.object("/apis/apps/v1/replicasets").await;
    let owner = &sets["items"][0]["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("Deployment"), &dns["metadata"]["uid"])
    );
    assert!(
        api.names("/api/v1/namespaces")
            .await
            .contains(&"kube-system".to_owned())
    );
}

#[tokio::test]
async fn selectors_and_namespaces() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pods([
        web("web-1", "10.5.0.3"),
        web("web-2", "sim-worker-2"),
        KubePod::new("other", "done")
            .owned_by(PodOwner::Job, "job")
            .on_node("10.5.0.3")
            .finished(),
    ]);
    assert_eq!(
        api.names("/api/v1/namespaces/default/pods").await,
        ["web-1", "web-2"]
    );
    assert_eq!(api.names("/api/v1/pods?labelSelector=app%3Dweb").await.len(), 2);
    assert_eq!(
        api.names("/api/v1/pods?labelSelector=app&fieldSelector=spec.nodeName%3Dsim-worker-2")
            .await,
        ["web-2"]
    );
    assert_eq!(
        api.names("/api/v1/pods?fieldSelector=status.phase%3DSucceeded")
            .await,
        ["done"]
    );
    assert_eq!(
        api.names("/api/v1/pods?fieldSelector=metadata.name%3Dweb-1")
            .await,
        ["web-1"]
    );
    assert_eq!(
        api.names("/apis/apps/v1/namespaces/default/replicasets").await,
        ["web"]
    );
}

#[tokio::test]
async fn lists_come_in_pages_of_one_version() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pods((1..=5).map(|number| web(&format!("web-{number}"), "10.5.0.3")));
    let all = api.names("/api/v1/pods").await;
    let (mut found, mut token, mut version) = (Vec::new(), String::new(), None);
    loop {
        let page = api
            .object(&format!("/api/v1/pods?limit=4&continue={token}"))
            .await;
        let items = page["items"].as_array().unwrap();
        found.extend(
            items
                .iter()
                .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned()),
        );
        let metadata = &page["metadata"];
        version.get_or_insert_with(|| metadata["resourceVersion"].clone());
        assert_eq!(version.as_ref(), Some(&metadata["resourceVersion"]));
        match metadata["continue"].as_str() {
            None => break,
            Some(next) => {
                assert_eq!(metadata["remainingItemCount"], all.len() - found.len());
                token = next.to_owned();
            }
        }
        // What happens between pages is for the watch that follows.
        kubernetes.set_unschedulable("sim-worker-2", found.len() == 4);
    }
    assert_eq!(found, all);
    kubernetes.compact();
    let (code, status) = api.get(&format!("/api/v1/pods?limit=4&continue={token}")).await;
    assert_eq!((code, &status["reason"]), (410, &json!("Expired")));
    let (code, _) = api.get("/api/v1/pods?continue=nonsense").await;
    assert_eq!(code, 400);
}
