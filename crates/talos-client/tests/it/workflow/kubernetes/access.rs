//! From a kubeconfig to the API.

use std::error::Error as _;

use talos_client::{
    ErrorKind,
    workflow::kubernetes::{DrainError, Kubernetes, KubernetesError},
};
use talos_testkit::{SimCluster, SimClusterBuilder};

use super::{access, five, is_cordoned, kubernetes, quick};
use crate::{
    support::Sim,
    workflow::faulted::{chain, limited},
};

fn one() -> SimClusterBuilder {
    SimCluster::builder().workers(1).kubernetes(true)
}

#[tokio::test]
async fn the_kubeconfig_is_fetched_once_and_names_the_administrator() {
    let sim = Sim::of(one()).await;
    let access = access(&sim);
    assert_eq!(
        sim.cluster.requests().attempts("Kubeconfig"),
        0,
        "nothing before it is needed"
    );
    assert!(access.cordon(&sim.node(1)).await.expect("cordoned"));
    assert!(!access.clone().cordon(&sim.node(1)).await.expect("was cordoned"));
    assert_eq!(sim.cluster.requests().attempts("Kubeconfig"), 1);
    assert!(is_cordoned(&sim, "sim-worker-1"));
    let requests = kubernetes(&sim).requests();
    let patch = requests
        .iter()
        .find(|request| request.method == "PATCH")
        .expect("a patch");
    assert!(
        patch.groups.iter().any(|group| group == "system:masters"),
        "{patch:?}"
    );
    assert_eq!(patch.path, "/api/v1/nodes/sim-worker-1");
    let name = access.node_name(&sim.node(1)).await.expect("a name");
    assert_eq!(name.as_deref(), Some("sim-worker-1"));
}

#[tokio::test]
async fn a_client_of_the_callers_is_used_and_no_kubeconfig_is_fetched() {
    let sim = Sim::of(one()).await;
    let other = access(&sim).client().await.expect("a client");
    sim.cluster.requests().clear();
    let access = Kubernetes::with_client(other);
    access.cordon(&sim.node(1)).await.expect("cordoned");
    assert_eq!(sim.cluster.requests().attempts("Kubeconfig"), 0);
    assert!(is_cordoned(&sim, "sim-worker-1"));
}

#[tokio::test]
async fn another_address_takes_the_place_of_the_one_in_the_kubeconfig() {
    let sim = Sim::of(one()).await;
    let port = kubernetes(&sim)
        .url()
        .rsplit(':')
        .next()
        .expect("a port")
        .to_owned();
    let access = access(&sim).server(format!("https://localhost:{port}"));
    assert!(access.cordon(&sim.node(1)).await.expect("cordoned"));
    assert!(is_cordoned(&sim, "sim-worker-1"));
    let nowhere = super::access(&sim).server("https://localhost:1");
    let error = nowhere.uncordon(&sim.node(1)).await.expect_err("nobody listens");
    assert!(
        matches!(error, KubernetesError::Failed { .. }),
        "{}",
        chain(&error)
    );
    for wrong in ["http://127.0.0.1:1", "127.0.0.1:6443", "https://"] {
        let error = super::access(&sim)
            .server(wrong)
            .cordon(&sim.node(1))
            .await
            .expect_err(wrong);
        assert!(matches!(error, KubernetesError::Unusable { .. }), "{error}");
    }
}

#[tokio::test]
async fn who_may_not_have_the_kubeconfig_is_told_so() {
    let sim = Sim::of(one()).await;
    let reader = sim.client_with_roles(&["os:reader"]);
    let node = reader.node(sim.cluster.node(1).name()).expect("a name");
    let access = Kubernetes::of(&reader);
    let run = access.drain(&node, quick());
    let error = limited("a drain", run.finish()).await.expect_err("denied");
    let DrainError::Kubernetes(error) = error else {
        panic!("{}", chain(&error));
    };
    assert!(
        matches!(error, KubernetesError::Kubeconfig(_)) && error.is_denied(),
        "{}",
        chain(&error)
    );
    let error = talos_client::Error::from(error);
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn who_may_do_nothing_in_kubernetes_is_told_so() {
    let sim = Sim::of(one()).await;
    let api = kubernetes(&sim);
    api.inject(
        talos_testkit::kubernetes::KubeFault::new()
            .method("PATCH")
            .status(403),
    );
    let error = access(&sim).cordon(&sim.node(1)).await.expect_err("forbidden");
    assert!(error.is_denied() && !error.is_retriable(), "{}", chain(&error));
    assert_eq!(error.code(), Some(403));
    assert!(error.to_string().contains("node sim-worker-1"), "{error}");
}

#[tokio::test]
async fn changes_at_the_same_time_are_not_overwritten() {
    let sim = Sim::of(one()).await;
    let api = kubernetes(&sim);
    api.inject(
        talos_testkit::kubernetes::KubeFault::new()
            .method("PATCH")
            .times(3)
            .status(409),
    );
    assert!(access(&sim).cordon(&sim.node(1)).await.expect("cordoned"));
    let patches: Vec<_> = api
        .requests()
        .into_iter()
        .filter(|request| request.method == "PATCH")
        .collect();
    assert_eq!(patches.len(), 4);
    for patch in patches {
        let body: serde_json::Value = serde_json::from_slice(&patch.body).expect("JSON");
        assert!(body["metadata"]["resourceVersion"].is_string(), "{body}");
    }
}

#[tokio::test]
async fn no_secret_is_shown() {
    let sim = Sim::of(five()).await;
    let kubeconfig = sim.client.kubeconfig().await.expect("a kubeconfig");
    let secrets: Vec<String> = kubeconfig
        .as_yaml()
        .lines()
        .filter_map(|line| line.trim().strip_prefix("client-key-data: "))
        .map(str::to_owned)
        .collect();
    assert_eq!(secrets.len(), 1);
    let access = access(&sim);
    access.client().await.expect("a client");
    let mut shown = format!("{access:?} {access:#?}");
    kubernetes(&sim).refuse_connections(true);
    let refused = super::access(&sim)
        .cordon(&sim.node(3))
        .await
        .expect_err("refused");
    let wrong = super::access(&sim)
        .server("https://[")
        .cordon(&sim.node(3))
        .await
        .expect_err("no URL");
    for error in [refused, wrong] {
        let error = talos_client::Error::from(error);
        shown.push_str(&format!("{error} {error:#} {error:?} {error:#?}"));
        let mut cause = error.source();
        while let Some(error) = cause {
            shown.push_str(&format!("{error} {error:?} {error:#?}"));
            cause = error.source();
        }
    }
    for secret in secrets {
        assert!(!shown.contains(&secret[40..80]), "{shown}");
    }
    assert!(!shown.contains("PRIVATE KEY"), "{shown}");
}
