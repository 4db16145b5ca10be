//! Support bundles with what Kubernetes says.

use talos_client::workflow::support::SupportBundle;
use talos_testkit::kubernetes::{KubeFault, KubePod};

use super::{access, five, kubernetes};
use crate::{support::Sim, workflow::support::unpack};

fn bundle(sim: &Sim) -> SupportBundle {
    let node = [sim.cluster.node(0).name()];
    SupportBundle::of(sim.client.nodes(node).expect("nodes")).resources(false)
}

#[tokio::test]
async fn nodes_and_system_pods_are_in_it_without_secrets() {
    let sim = Sim::of(five()).await;
    let token = "Authorization: Bearer abcdefghijklmnopqrstuvwxyz";
    kubernetes(&sim).add_pod(KubePod::new("kube-system", "chatty").annotation("example.org/note", token));
    kubernetes(&sim).add_pod(KubePod::new("default", "of-somebody-else"));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("support.zip");
    let mut run = bundle(&sim).kubernetes(&access(&sim)).to_file(&path);
    let mut last = String::new();
    while let Some(progress) = run.next_progress().await {
        last = progress.to_string();
    }
    assert_eq!(last, "cluster: kubernetesResources/systemPods.yaml");
    let report = run.finish().await.expect("collected");
    assert!(
        report.failures.iter().all(|failure| failure.node.is_some()),
        "{:?}",
        report.failures
    );
    let files = unpack(&path);
    let nodes = &files["kubernetesResources/nodes.yaml"];
    assert_eq!(nodes.matches("---\n").count(), 5, "{nodes}");
    assert!(
        nodes.contains("name: sim-worker-2") && nodes.contains("bootID:"),
        "{nodes}"
    );
    let pods = &files["kubernetesResources/systemPods.yaml"];
    assert!(
        pods.contains("name: chatty") && !pods.contains("of-somebody-else"),
        "{pods}"
    );
    assert!(
        pods.contains("<REDACTED>") && !pods.contains("abcdefghijklmnop"),
        "{pods}"
    );
}

#[tokio::test]
async fn what_kubernetes_does_not_tell_is_listed_and_no_failure() {
    let sim = Sim::of(five()).await;
    kubernetes(&sim).inject(KubeFault::new().path("/api/v1/nodes").status(403));
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("support.zip");
    let run = bundle(&sim).kubernetes(&access(&sim)).to_file(&path);
    let report = run.finish().await.expect("collected");
    let failure = report
        .failures
        .iter()
        .find(|failure| failure.node.is_none())
        .expect("listed");
    assert_eq!(failure.part, "kubernetesResources/nodes.yaml");
    let files = unpack(&path);
    assert!(!files.contains_key("kubernetesResources/nodes.yaml"));
    assert!(files.contains_key("kubernetesResources/systemPods.yaml"));
    let list = &files["errors.txt"];
    assert!(
        list.contains("cluster: kubernetesResources/nodes.yaml: ") && list.contains("403"),
        "{list}"
    );

    // Not asked for, it is not asked.
    kubernetes(&sim).clear_requests();
    bundle(&sim).to_file(&path).finish().await.expect("collected");
    assert!(kubernetes(&sim).requests().is_empty());
    assert!(
        !unpack(&path)
            .keys()
            .any(|file| file.starts_with("kubernetesResources"))
    );
}
