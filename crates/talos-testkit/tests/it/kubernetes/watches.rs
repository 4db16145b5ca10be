//! Watches.

use std::time::Duration;

use serde_json::json;
use talos_testkit::kubernetes::KubePod;

use super::client::{Api, of};
use super::{small, web};

#[tokio::test]
async fn a_watch_goes_on_where_a_list_ended() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    let list = api.object("/api/v1/namespaces/default/pods").await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    kubernetes.add_pod(KubePod::new("default", "one").on_node("10.5.0.3"));
    kubernetes.add_pod(KubePod::new("other", "two").on_node("10.5.0.3"));
    let path = format!("/api/v1/namespaces/default/pods?watch=1&resourceVersion={version}");
    for api in [api.clone(), api.clone().over_http2()] {
        let mut events = api.watch(&path).await;
        let (kind, name, object) = events.step().await;
        assert_eq!((kind.as_str(), name.as_str()), ("ADDED", "one"));
        assert_eq!(
            (&object["kind"], &object["apiVersion"]),
            (&json!("Pod"), &json!("v1"))
        );
        let running = events.until("MODIFIED", "one").await;
        assert!(running["spec"]["nodeName"].is_string());
    }
    let mut events = api.watch(&path).await;
    assert_eq!(api.evict("default", "one").await.0, 201);
    let gone = events.until("DELETED", "one").await;
    assert!(gone["metadata"]["deletionTimestamp"].is_string());
}

#[tokio::test]
async fn objects_come_into_sight_and_leave_it() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    let mut events = api
        .watch("/api/v1/nodes?watch=true&fieldSelector=spec.unschedulable%3Dtrue")
        .await;
    kubernetes.set_unschedulable("sim-worker-1", true);
    assert_eq!(events.step().await.0, "ADDED");
    kubernetes.set_unschedulable("sim-worker-1", false);
    events.until("DELETED", "sim-worker-1").await;
    let mut one = api
        .watch("/api/v1/nodes?watch=true&fieldSelector=metadata.name%3Dsim-worker-2")
        .await;
    assert_eq!(
        one.step().await.1,
        "sim-worker-2",
        "without a version all comes first"
    );
}

#[tokio::test]
async fn initial_events_and_bookmarks() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pod(web("web-1", "10.5.0.3"));
    let path = "/api/v1/namespaces/default/pods?watch=true&sendInitialEvents=true";
    let (code, _) = api.get(path).await;
    assert_eq!(code, 400);
    let path = format!("{path}&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true");
    let mut events = api.watch(&path).await;
    assert_eq!(events.step().await.1, "web-1");
    let (kind, _, object) = events.step().await;
    assert_eq!(kind, "BOOKMARK");
    assert_eq!(
        object["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    kubernetes.send_bookmarks();
    let (kind, _, object) = events.step().await;
    assert_eq!((kind.as_str(), &object["kind"]), ("BOOKMARK", &json!("Pod")));
    assert!(object["metadata"].get("annotations").is_none());
    kubernetes.end_watches();
    assert_eq!(events.next().await, Ok(None));
}

#[tokio::test]
async fn old_versions_are_gone() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    let list = api.object("/api/v1/nodes").await;
    let version = list["metadata"]["resourceVersion"].as_str().unwrap();
    kubernetes.set_unschedulable("sim-worker-1", true);
    kubernetes.compact();
    let mut events = api
        .watch(&format!("/api/v1/nodes?watch=true&resourceVersion={version}"))
        .await;
    let (kind, _, status) = events.step().await;
    assert_eq!(kind, "ERROR");
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(410), &json!("Expired"))
    );
    assert_eq!(events.next().await, Ok(None));
}

#[tokio::test]
async fn a_watch_ends_when_its_time_is_over() {
    let cluster = small().await;
    let api = Api::admin(&cluster);
    let version = api.object("/api/v1/nodes").await["metadata"]["resourceVersion"].clone();
    let version = version.as_str().unwrap();
    let path = format!(
        "/api/v1/nodes?watch=true&timeoutSeconds=300&resourceVersion={version}&allowWatchBookmarks=1"
    );
    let mut events = api.watch(&path).await;
    events.limit = Duration::from_secs(3_600);
    tokio::time::pause();
    let mut bookmarks = 0;
    while let Some(event) = events.next().await.unwrap() {
        assert_eq!(event["type"], "BOOKMARK");
        bookmarks += 1;
    }
    assert_eq!(bookmarks, 5, "one a minute, the last at the end");
}
