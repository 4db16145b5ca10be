//! Who may come in, and what is found at the door.

use http::Method;
use serde_json::json;
use talos_testkit::SimCluster;
use talos_testkit::pki::{CertificateAuthority, ClientCertSpec};

use super::client::{Api, of};
use super::small;

#[tokio::test]
async fn the_kubeconfig_names_a_server_that_listens() {
    let cluster = small().await;
    let kubernetes = of(&cluster);
    let url = kubernetes.url();
    assert!(url.starts_with("https://127.0.0.1:"), "{url}");
    assert!(cluster.kubeconfig().contains(&format!("server: {url}\n")));
    let other = kubernetes.kubeconfig_for("jane", ["dev"]).unwrap();
    assert!(
        other.contains("current-context: jane@sim\n") && other.contains(url),
        "{other}"
    );
    let version = Api::admin(&cluster).object("/version").await;
    assert_eq!(version["gitVersion"], "v1.36.0");
    assert_eq!(
        (&version["major"], &version["minor"]),
        (&json!("1"), &json!("36"))
    );
}

#[tokio::test]
async fn without_the_switch_nothing_listens() {
    let cluster = SimCluster::builder().start().await.unwrap();
    assert!(cluster.kubernetes().is_none());
    assert!(cluster.kubeconfig().contains("server: https://10.5.0.2:6443\n"));
}

#[tokio::test]
async fn others_are_refused_with_a_status() {
    let cluster = small().await;
    let kubernetes = of(&cluster);
    let stranger = CertificateAuthority::new_talos().unwrap();
    let foreign = stranger
        .issue_client(&ClientCertSpec::new(["system:masters"]).common_name("admin"))
        .unwrap();
    for cert in [None, Some(foreign)] {
        let api = Api::with(&cluster, cert);
        let (code, status) = api.get("/api/v1/nodes").await;
        assert_eq!(code, 401);
        assert_eq!(
            (&status["kind"], &status["reason"]),
            (&json!("Status"), &json!("Unauthorized"))
        );
    }
    let reader = kubernetes.client_cert("jane", ["dev"]).unwrap();
    let api = Api::with(&cluster, Some(reader));
    let (code, status) = api.get("/api/v1/namespaces/default/pods/x").await;
    assert_eq!(code, 403);
    assert_eq!(
        status["message"],
        "pods \"x\" is forbidden: User \"jane\" cannot get resource \"pods\" in API group \"\" in the namespace \
         \"default\""
    );
    assert_eq!(status["details"], json!({"name": "x", "kind": "pods"}));
    let (code, status) = api.patch("/api/v1/nodes/x", "merge-patch", &json!({})).await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")));
    let (code, _) = api.get("/version").await;
    assert_eq!(code, 200);
    let users: Vec<_> = kubernetes
        .requests()
        .into_iter()
        .map(|request| request.user)
        .collect();
    assert_eq!(users, ["", "", "jane", "jane", "jane"]);
}

#[tokio::test]
async fn secrets_do_not_show() {
    let cluster = small().await;
    let shown = format!("{:?} {cluster:?}", of(&cluster));
    for secret in ["PRIVATE", "BEGIN", "key"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn health_and_discovery() {
    let cluster = small().await;
    for api in [Api::admin(&cluster), Api::admin(&cluster).over_http2()] {
        for path in ["/readyz", "/livez"] {
            let response = api.try_send(Method::GET, path, "", "").await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
        }
        let groups = api.object("/apis").await;
        assert_eq!(groups["groups"][0]["preferredVersion"]["groupVersion"], "apps/v1");
        let core = api.object("/api/v1").await;
        let resources = core["resources"].as_array().unwrap();
        let of_name = |name: &str| {
            resources
                .iter()
                .find(|resource| resource["name"] == name)
                .unwrap()
        };
        assert_eq!(of_name("nodes")["namespaced"], false);
        assert_eq!(of_name("pods/eviction")["kind"], "Eviction");
        let apps = api.object("/apis/apps/v1").await;
        assert_eq!(apps["groupVersion"], "apps/v1");
        let (code, status) = api.get("/apis/batch/v1/jobs").await;
        assert_eq!((code, &status["kind"]), (404, &json!("Status")));
    }
}

#[tokio::test]
async fn wrong_methods_and_bodies_are_refused() {
    let cluster = small().await;
    let api = Api::admin(&cluster);
    let node = "/api/v1/nodes/sim-worker-1";
    for (method, path, kind, body, expected) in [
        (
            Method::POST,
            "/api/v1/nodes",
            "application/json",
            "{\"metadata\":{\"name\":\"x\"}}",
            405,
        ),
        (Method::DELETE, "/api/v1/pods", "", "", 405),
        (Method::OPTIONS, node, "", "", 405),
        (Method::POST, node, "application/json", "{}", 405),
        (Method::PATCH, node, "application/apply-patch+yaml", "{}", 415),
        (Method::PATCH, node, "application/merge-patch+json", "{", 400),
        (Method::PUT, node, "application/json", "[]", 400),
        (
            Method::PUT,
            node,
            "application/vnd.kubernetes.protobuf",
            "k8s\0abc",
            415,
        ),
        (
            Method::PATCH,
            "/apis/apps/v1/namespaces/kube-system/deployments/coredns",
            "application/merge-patch+json",
            "{}",
            405,
        ),
        (Method::GET, "/api/v1/nodes/nobody", "", "", 404),
        (Method::GET, "/api/v1/nodes/sim-worker-1/log", "", "", 404),
        (Method::GET, "/api/v1/pods?limit=many", "", "", 400),
        (
            Method::GET,
            "/api/v1/pods?fieldSelector=spec.color%3Dred",
            "",
            "",
            400,
        ),
    ] {
        let (code, status) = api.send(method.clone(), path, kind, body).await;
        assert_eq!(
            (code, &status["status"]),
            (expected, &json!("Failure")),
            "{method} {path}"
        );
    }
}
