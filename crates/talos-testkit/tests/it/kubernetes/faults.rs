//! What goes wrong because a test wants it, and the record of requests.

use std::time::Duration;

use serde_json::json;
use talos_testkit::kubernetes::{KubeFault, KubePod};

use super::client::{Api, of, soon};
use super::small;

#[tokio::test]
async fn the_next_requests_fail() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.add_pod(KubePod::new("default", "one").on_node("10.5.0.3"));
    let fault = kubernetes.inject(
        KubeFault::new()
            .method("POST")
            .path("/eviction")
            .times(2)
            .status(503),
    );
    assert_eq!(api.get("/api/v1/nodes").await.0, 200);
    for _ in 0..2 {
        let (code, status) = api.evict("default", "one").await;
        assert_eq!((code, &status["reason"]), (503, &json!("ServiceUnavailable")));
    }
    assert!(!kubernetes.pod("default", "one").unwrap().terminating);
    assert_eq!(api.evict("default", "one").await.0, 201);
    assert_eq!((fault.hits(), fault.seen()), (2, 3));
    kubernetes.remove_fault(&fault);
    let late = kubernetes.inject(KubeFault::new().delay(Duration::from_millis(1)));
    assert_eq!(api.get("/api/v1/nodes").await.0, 200);
    assert_eq!(late.hits(), 1);
}

#[tokio::test]
async fn connections_break_or_are_refused() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    for api in [api.clone(), api.clone().over_http2()] {
        kubernetes.inject(KubeFault::new().path("/nodes").times(1).disconnect());
        let broken = api.try_send(http::Method::GET, "/api/v1/nodes", "", "").await;
        assert!(broken.is_err());
        assert_eq!(api.get("/api/v1/nodes").await.0, 200);
    }
    kubernetes.refuse_connections(true);
    let refused = api
        .try_send(http::Method::GET, "/api/v1/nodes", "", "")
        .await
        .unwrap_err();
    assert!(refused.to_lowercase().contains("refused"), "{refused}");
    kubernetes.refuse_connections(false);
    assert_eq!(api.get("/api/v1/nodes").await.0, 200);
}

#[tokio::test]
async fn a_request_that_hangs_is_recorded_without_a_status() {
    let cluster = small().await;
    let (api, kubernetes) = (Api::admin(&cluster), of(&cluster));
    kubernetes.inject(KubeFault::new().hang());
    let patch = json!({"spec": {"unschedulable": true}});
    let waiting = tokio::spawn(async move {
        api.patch("/api/v1/nodes/sim-worker-1?x=y", "merge-patch", &patch)
            .await
    });
    let request = soon(kubernetes.wait_for_request(|request| request.method == "PATCH")).await;
    assert_eq!(request.path, "/api/v1/nodes/sim-worker-1");
    assert_eq!((request.query.as_str(), request.user.as_str()), ("x=y", "admin"));
    assert_eq!(
        (request.groups.as_slice(), request.status),
        (["system:masters".to_owned()].as_slice(), None)
    );
    assert_eq!(request.node, "10.5.0.2");
    assert_eq!(&*request.body, br#"{"spec":{"unschedulable":true}}"#);
    waiting.abort();
    kubernetes.clear_faults();
    kubernetes.clear_requests();
    let api = Api::admin(&cluster);
    assert_eq!(api.get("/api/v1/nodes").await.0, 200);
    let answered = soon(kubernetes.wait_for_request(|request| request.status.is_some())).await;
    assert_eq!((answered.status, kubernetes.requests().len()), (Some(200), 1));
    assert!(!kubernetes.node("sim-worker-1").unwrap().unschedulable);
}
