//! The Kubernetes API for programs that run in the cluster, with a token in place of a certificate.

use talos_client::{
    ErrorKind,
    workflow::kubernetes::{Kubernetes, KubernetesError, kube},
};
use talos_testkit::{SimCluster, kubernetes::SimKubernetes};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject as _};

use crate::support::Sim;

const USER: &str = "system:serviceaccount:ops:operator";

/// Settings as a pod has them, with a token in a file.
fn config(kubernetes: &SimKubernetes, folder: &TempDir, token: &str) -> kube::Config {
    let path = folder.path().join("token");
    std::fs::write(&path, token).expect("written");
    let authority = CertificateDer::from_pem_slice(kubernetes.ca_pem().as_bytes()).expect("a certificate");
    let mut config = kube::Config::new(kubernetes.url().parse().expect("a URL"));
    config.root_cert = Some(vec![authority.to_vec()]);
    config.auth_info.token_file = Some(path.to_str().expect("text").to_owned());
    config
}

#[tokio::test]
async fn a_token_has_the_rights_of_its_service_account() {
    let setup = Sim::of(SimCluster::builder().workers(1).kubernetes(true)).await;
    let sim = setup.cluster.kubernetes().expect("the cluster has it");
    let folder = tempfile::tempdir().expect("a folder");
    let node = setup.node(1);

    let token = sim.token(USER, ["system:masters"]).expect("a token");
    let kubernetes = Kubernetes::with_config(&config(&sim, &folder, &token)).expect("a client");
    assert!(kubernetes.cordon(&node).await.expect("cordoned"));
    assert!(sim.node("sim-worker-1").expect("a node").unschedulable);
    let users: Vec<_> = sim.requests().into_iter().map(|request| request.user).collect();
    assert!(
        !users.is_empty() && users.iter().all(|user| user == USER),
        "{users:?}"
    );

    for (token, code, kind) in [
        (
            sim.token(USER, ["dev"]).expect("a token"),
            403,
            ErrorKind::PermissionDenied,
        ),
        ("hunter2".to_owned(), 401, ErrorKind::Unauthenticated),
    ] {
        let kubernetes = Kubernetes::with_config(&config(&sim, &folder, &token)).expect("a client");
        let error = kubernetes.uncordon(&node).await.expect_err("refused");
        assert_eq!(error.code(), Some(code), "{error}");
        let text = format!("{kubernetes:?} {error} {error:?}");
        assert!(!text.contains(&token), "{text}");
        assert_eq!(talos_client::Error::from(error).kind(), kind);
    }
    assert!(sim.node("sim-worker-1").expect("a node").unschedulable);
}

#[tokio::test]
async fn a_server_of_another_authority_gets_no_token() {
    let setup = Sim::of(SimCluster::builder().kubernetes(true)).await;
    let sim = setup.cluster.kubernetes().expect("the cluster has it");
    let folder = tempfile::tempdir().expect("a folder");
    let other = Sim::of(SimCluster::builder().kubernetes(true)).await;
    let stranger = other.cluster.kubernetes().expect("the cluster has it");
    let mut config = config(&sim, &folder, "hunter2");
    config.cluster_url = stranger.url().parse().expect("a URL");
    let kubernetes = Kubernetes::with_config(&config).expect("a client");
    let error = kubernetes
        .cordon(&setup.node(0))
        .await
        .expect_err("not the authority");
    assert!(matches!(error, KubernetesError::Failed { .. }), "{error:?}");
    assert!(stranger.requests().is_empty());
}
