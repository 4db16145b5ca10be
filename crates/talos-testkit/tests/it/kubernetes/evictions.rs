//! Evictions and deletions of pods, budgets, and what comes after the pods.

use std::time::Duration;

use http::Method;
use serde_json::json;
use talos_testkit::Timings;
use talos_testkit::kubernetes::{KubeBudget, KubePod, ObservedPod, PodOwner, SimKubernetes};

use super::client::{Api, of, soon};
use super::{builder, small, web};

/// The pods of the namespace `default`.
fn own(kubernetes: &SimKubernetes) -> Vec<ObservedPod> {
    let pods = kubernetes.pods().into_iter();
    pods.filter(|pod| pod.namespace == "default").collect()
}

#[tokio::test]
async fn an_evicted_pod_ends_and_is_replaced_elsewhere() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pod(web("web-1", "10.5.0.3"));
    kubernetes.set_unschedulable("sim-worker-1", true);
    let (code, status) = api.evict("default", "web-1").await;
    assert_eq!((code, &status["status"]), (201, &json!("Success")));
    let pod = api.object("/api/v1/namespaces/default/pods/web-1").await;
    assert!(pod["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(pod["metadata"]["deletionGracePeriodSeconds"], 30);
    // Twice is as good as once.
    assert_eq!(api.evict("default", "web-1").await.0, 201);
    let replaced = |kubernetes: &SimKubernetes| match own(kubernetes).as_slice() {
        [pod] => pod.name != "web-1" && pod.ready && pod.node.as_deref() == Some("sim-worker-2"),
        _ => false,
    };
    soon(kubernetes.wait_until(replaced)).await;
    let pod = own(&kubernetes).remove(0);
    assert!(pod.name.starts_with("web-"), "{}", pod.name);
    assert_eq!(pod.owner, Some(("ReplicaSet".to_owned(), "web".to_owned())));
    assert_eq!(api.evict("default", "web-1").await.0, 404);
}

#[tokio::test]
async fn grace_passes_on_the_clock_of_tokio() {
    let timings = Timings::default().with_grace(Duration::from_secs(60));
    let cluster = builder().timings(timings).start().await.unwrap();
    let kubernetes = of(&cluster);
    kubernetes.add_pods([
        KubePod::new("default", "slow").on_node("10.5.0.3"),
        KubePod::new("default", "fast")
            .on_node("10.5.0.3")
            .terminates_after(Duration::ZERO),
    ]);
    let api = Api::admin(&cluster);
    for name in ["slow", "fast"] {
        assert_eq!(api.evict("default", name).await.0, 201);
    }
    let left = |kubernetes: &SimKubernetes| {
        own(kubernetes)
            .iter()
            .map(|pod| pod.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(left(&kubernetes), ["slow"]);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(59)).await;
    assert_eq!(left(&kubernetes), ["slow"]);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert_eq!(left(&kubernetes), [""; 0]);
}

#[tokio::test]
async fn a_budget_refuses_until_it_is_lifted() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pods([web("web-1", "10.5.0.3"), web("web-2", "10.5.0.4")]);
    kubernetes.set_budget(
        KubeBudget::new("default", "web")
            .selects("app", "web")
            .min_available(2),
    );
    let (code, status) = api.evict("default", "web-1").await;
    assert_eq!(code, 429);
    assert_eq!(status["reason"], "TooManyRequests");
    assert_eq!(
        status["message"],
        "Cannot evict pod as it would violate the pod's disruption budget."
    );
    assert_eq!(
        status["details"]["causes"],
        json!([{
            "reason": "DisruptionBudget",
            "message": "The disruption budget web needs 2 healthy pods and has 2 currently",
        }])
    );
    let path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/web";
    assert_eq!(api.object(path).await["status"]["disruptionsAllowed"], 0);
    // One at a time: the second has to wait for the successor of the first.
    kubernetes.set_budget(
        KubeBudget::new("default", "web")
            .selects("app", "web")
            .max_unavailable(1),
    );
    assert_eq!(api.object(path).await["status"]["disruptionsAllowed"], 1);
    for worker in ["sim-worker-1", "sim-worker-2"] {
        kubernetes.set_unschedulable(worker, true);
    }
    assert_eq!(api.evict("default", "web-1").await.0, 201);
    assert_eq!(api.evict("default", "web-2").await.0, 429);
    kubernetes.set_unschedulable("sim-worker-2", false);
    let healed = |kubernetes: &SimKubernetes| {
        own(kubernetes)
            .iter()
            .filter(|pod| pod.ready && !pod.terminating)
            .count()
            == 2
    };
    soon(kubernetes.wait_until(healed)).await;
    assert_eq!(api.evict("default", "web-2").await.0, 201);
    let (code, _) = api.send(Method::DELETE, path, "", "").await;
    assert_eq!((code, api.get(path).await.0), (200, 404));
}

#[tokio::test]
async fn budgets_can_be_made_by_clients_and_do_not_stand_in_for_each_other() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pods([web("web-1", "10.5.0.3"), web("ill", "10.5.0.4").unready()]);
    let path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let budget = json!({
        "metadata": {"name": "web"},
        "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "web"}}},
    });
    let create = || api.send(Method::POST, path, "application/json", budget.to_string());
    assert_eq!(create().await.0, 201);
    let (code, status) = create().await;
    assert_eq!((code, &status["reason"]), (409, &json!("AlreadyExists")));
    assert_eq!(api.evict("default", "web-1").await.0, 429);
    // A pod that is not ready may go where enough others are.
    assert_eq!(api.evict("default", "ill").await.0, 201);
    kubernetes.set_budget(KubeBudget::new("default", "all"));
    let (code, status) = api.evict("default", "web-1").await;
    assert_eq!(code, 500);
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("more than one PodDisruptionBudget")
    );
}

#[tokio::test]
async fn owners_replace_pods_in_their_own_ways() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    let pod = |name, owner| {
        KubePod::new("default", name)
            .owned_by(owner, "x")
            .on_node("10.5.0.3")
    };
    kubernetes.add_pods([
        pod("daemon", PodOwner::DaemonSet),
        pod("x-0", PodOwner::StatefulSet),
        pod("job", PodOwner::Job),
        pod("done", PodOwner::Job).finished(),
        KubePod::new("default", "alone").on_node("10.5.0.3").empty_dir(),
    ]);
    let alone = api.object("/api/v1/namespaces/default/pods/alone").await;
    assert!(alone["spec"]["volumes"][0]["emptyDir"].is_object());
    assert!(alone["metadata"].get("ownerReferences").is_none());
    kubernetes.set_unschedulable("sim-worker-1", true);
    let before: Vec<String> = own(&kubernetes).into_iter().map(|pod| pod.uid).collect();
    for pod in own(&kubernetes) {
        assert_eq!(api.evict("default", &pod.name).await.0, 201);
    }
    let all_new = |kubernetes: &SimKubernetes| {
        let pods = own(kubernetes);
        pods.len() == 3 && pods.iter().all(|pod| pod.ready && !before.contains(&pod.uid))
    };
    soon(kubernetes.wait_until(all_new)).await;
    let pods = own(&kubernetes);
    let of_kind = |kind: &str| {
        let found = pods
            .iter()
            .find(|pod| pod.owner.as_ref().is_some_and(|(owner, _)| owner == kind));
        found.unwrap()
    };
    assert_eq!(of_kind("DaemonSet").node.as_deref(), Some("sim-worker-1"));
    assert_eq!(of_kind("StatefulSet").name, "x-0");
    assert_eq!(of_kind("StatefulSet").node.as_deref(), Some("sim-worker-2"));
    assert_eq!(of_kind("Job").node.as_deref(), Some("sim-worker-2"));
}

#[tokio::test]
async fn without_a_node_that_takes_it_a_pod_is_pending() {
    let cluster = small().await;
    let kubernetes = of(&cluster);
    for worker in ["sim-worker-1", "sim-worker-2"] {
        kubernetes.set_unschedulable(worker, true);
    }
    kubernetes.add_pod(KubePod::new("default", "one"));
    let pod = kubernetes.pod("default", "one").unwrap();
    assert_eq!(
        (pod.phase.as_str(), pod.node, pod.ready),
        ("Pending", None, false)
    );
    let object = Api::admin(&cluster)
        .object("/api/v1/namespaces/default/pods/one")
        .await;
    assert_eq!(object["status"]["conditions"][0]["reason"], "Unschedulable");
    kubernetes.set_unschedulable("sim-worker-2", false);
    let pod = kubernetes.pod("default", "one").unwrap();
    assert_eq!(
        (pod.phase.as_str(), pod.node.as_deref()),
        ("Running", Some("sim-worker-2"))
    );
}

#[tokio::test]
async fn pods_that_never_end_stay_until_they_are_let_go() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pods([
        KubePod::new("default", "stuck")
            .on_node("10.5.0.3")
            .never_terminates(),
        KubePod::new("default", "forced")
            .on_node("10.5.0.3")
            .never_terminates(),
    ]);
    for name in ["stuck", "forced"] {
        assert_eq!(api.evict("default", name).await.0, 201);
    }
    let path = "/api/v1/namespaces/default/pods/forced";
    let now = json!({"gracePeriodSeconds": 0}).to_string();
    assert_eq!(
        api.send(Method::DELETE, path, "application/json", now).await.0,
        200
    );
    assert_eq!(api.get(path).await.0, 404);
    assert!(kubernetes.pod("default", "stuck").unwrap().terminating);
    kubernetes.let_go("default", "stuck");
    assert!(kubernetes.pod("default", "stuck").is_none());
}

#[tokio::test]
async fn deletions_need_no_budget_and_mirrors_come_back() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pod(KubePod::new("default", "one").on_node("10.5.0.3"));
    kubernetes.set_budget(KubeBudget::new("default", "none"));
    let path = "/api/v1/namespaces/default/pods/one";
    let other = json!({"preconditions": {"uid": "another"}}).to_string();
    let (code, status) = api.send(Method::DELETE, path, "application/json", other).await;
    assert_eq!((code, &status["reason"]), (409, &json!("Conflict")));
    let (code, pod) = api
        .send(Method::DELETE, &format!("{path}?dryRun=All"), "", "")
        .await;
    assert_eq!((code, pod["metadata"].get("deletionTimestamp")), (200, None));
    let (code, pod) = api
        .send(Method::DELETE, &format!("{path}?gracePeriodSeconds=5"), "", "")
        .await;
    assert_eq!(
        (code, &pod["metadata"]["deletionGracePeriodSeconds"]),
        (200, &json!(5))
    );
    soon(kubernetes.wait_until(|kubernetes| own(kubernetes).is_empty())).await;
    let mirror = "kube-scheduler-sim-controlplane-1";
    let before = kubernetes.pod("kube-system", mirror).unwrap();
    let path = format!("/api/v1/namespaces/kube-system/pods/{mirror}");
    assert_eq!(api.send(Method::DELETE, &path, "", "").await.0, 200);
    assert_ne!(kubernetes.pod("kube-system", mirror).unwrap().uid, before.uid);
}
