//! The health checks that ask Kubernetes.

use std::time::Duration;

use prost::Message as _;
use talos_client::{
    proto::definitions::k8s::BootstrapManifestsConfigSpec,
    workflow::{
        health::{Check, ClusterHealth, HealthError, HealthReport, SkipReason},
        kubernetes::Kubernetes,
    },
};
use talos_testkit::{SimPod, SimResource, fault::CallFault, kubernetes::KubeFault};

use super::{access, five, kubernetes};
use crate::{
    support::Sim,
    workflow::faulted::{assert_all_succeeded, chain, every_step, limited},
};

fn checks(sim: &Sim) -> ClusterHealth {
    ClusterHealth::of(&sim.client)
        .timeout(Duration::from_secs(20))
        .interval(Duration::from_millis(30))
        .kubernetes(&access(sim))
}

/// With what Talos sets up, by the name of its CNI.
async fn with_cni(name: &str) -> Sim {
    let sim = Sim::of(five()).await;
    let spec = BootstrapManifestsConfigSpec {
        proxy_enabled: true,
        core_dns_enabled: true,
        cni_name: name.to_owned(),
        ..Default::default()
    };
    let manifests = SimResource::new("BootstrapManifestsConfigs.kubernetes.talos.dev", "manifests");
    for index in 0..3 {
        let manifests = manifests.clone().proto_bytes(spec.encode_to_vec());
        sim.cluster.node(index).resources().put(manifests);
    }
    sim
}

async fn failure(sim: &Sim) -> (Check, String) {
    let run = checks(sim).timeout(Duration::from_secs(2)).start();
    let error = limited("a check", run.finish()).await.expect_err("not healthy");
    match error {
        HealthError::NotMet { check, reason, .. } => (check, reason),
        error => panic!("{}", chain(&error)),
    }
}

fn asking() -> Vec<Check> {
    Check::ALL
        .into_iter()
        .filter(|check| check.asks_kubernetes())
        .collect()
}

fn skipped(report: &HealthReport) -> Vec<Check> {
    report
        .skipped()
        .filter(|(check, reason)| check.asks_kubernetes() && *reason == SkipReason::NotConfigured)
        .map(|(check, _)| check)
        .collect()
}

#[tokio::test]
async fn all_that_ask_kubernetes_are_made() {
    let sim = with_cni("flannel").await;
    let report = checks(&sim).start().await.expect("healthy");
    let passed: Vec<Check> = report.passed().filter(|check| check.asks_kubernetes()).collect();
    assert_eq!(passed, asking(), "{report:?}");

    // Nothing of that without being told.
    kubernetes(&sim).clear_requests();
    let report = ClusterHealth::of(&sim.client).start().await.expect("healthy");
    let reasons: Vec<_> = report
        .skipped()
        .filter(|(check, _)| check.asks_kubernetes())
        .collect();
    assert!(
        reasons
            .iter()
            .all(|(_, reason)| *reason == SkipReason::NeedsKubernetes)
    );
    assert_eq!(reasons.len(), 6);
    assert!(kubernetes(&sim).requests().is_empty());
}

#[tokio::test]
async fn nodes_that_are_missing_or_too_many_are_named() {
    let sim = with_cni("flannel").await;
    let node = |index: usize| sim.node(index);
    let run = checks(&sim)
        .nodes([node(0), node(1), node(2)], [node(3)])
        .timeout(Duration::from_secs(2))
        .start();
    let error = limited("a check", run.finish()).await.expect_err("one too many");
    assert_eq!(error.check(), Some(Check::KubernetesNodes));
    assert!(
        error
            .to_string()
            .contains("sim-worker-2 is a node of Kubernetes, and was not expected"),
        "{error}"
    );

    let other = Sim::of(five().workers(1)).await;
    let run = checks(&sim)
        .kubernetes(&access(&other))
        .timeout(Duration::from_secs(2))
        .start();
    let error = limited("a check", run.finish()).await.expect_err("one too few");
    let name = sim.cluster.node(4).name();
    assert!(
        error
            .to_string()
            .contains(&format!("{name} is not a node of Kubernetes")),
        "{error}"
    );
}

#[tokio::test]
async fn components_that_are_missing_are_named() {
    let sim = with_cni("flannel").await;
    let pods = ["kube-apiserver", "kube-controller-manager"].map(|name| {
        let pod = SimPod::new("kube-system", format!("{name}-sim-controlplane-2"));
        pod.container(name, "registry.k8s.io/component:v1.36.0")
    });
    sim.cluster.node(1).set_pods(pods);
    let (check, reason) = failure(&sim).await;
    assert_eq!(check, Check::ControlPlaneComponents);
    assert_eq!(
        reason,
        "there is no pod of kube-scheduler on node sim-controlplane-2"
    );
}

#[tokio::test]
async fn nodes_that_are_not_ready_are_named() {
    let sim = with_cni("flannel").await;
    // The check before it does not look at workers.
    let state = talos_testkit::ServiceState::Finished;
    sim.cluster.node(4).set_service_state("kubelet", state, "stopped");
    let (check, reason) = failure(&sim).await;
    assert_eq!(check, Check::KubernetesNodesReady, "{reason}");
    assert!(
        reason.contains("node sim-worker-2: NodeStatusUnknown"),
        "{reason}"
    );
}

#[tokio::test]
async fn workloads_that_are_not_ready_are_named() {
    for (prefix, expected) in [("kube-proxy-", Check::KubeProxy), ("coredns-", Check::CoreDns)] {
        let sim = with_cni("flannel").await;
        let api = kubernetes(&sim);
        let pods = api.pods().into_iter();
        let pod = pods
            .into_iter()
            .find(|pod| pod.name.starts_with(prefix))
            .expect(prefix);
        api.set_pod_ready(&pod.namespace, &pod.name, false);
        let (check, reason) = failure(&sim).await;
        assert_eq!(check, expected, "{reason}");
        assert!(reason.contains(&pod.name), "{reason}");
    }
}

#[tokio::test]
async fn nodes_that_are_cordoned_are_named_until_they_are_not() {
    let sim = with_cni("flannel").await;
    let api = kubernetes(&sim);
    api.set_unschedulable("sim-worker-1", true);
    let (check, reason) = failure(&sim).await;
    assert_eq!(check, Check::Schedulable);
    assert_eq!(reason, "pods may not come to sim-worker-1");
    api.set_unschedulable("sim-worker-1", false);
    checks(&sim).start().await.expect("healthy");
}

#[tokio::test]
async fn what_the_cluster_does_not_have_is_skipped() {
    // Without a network of pods, nodes are not ready, and that is as it should be.
    let sim = with_cni("none").await;
    let report = checks(&sim).start().await.expect("healthy");
    assert_eq!(skipped(&report), [Check::KubernetesNodesReady, Check::CoreDns]);

    let sim = with_cni("flannel").await;
    for name in ["daemonsets/kube-proxy", "deployments/coredns"] {
        kubernetes(&sim).inject(KubeFault::new().path(name).status(404));
    }
    let report = checks(&sim).start().await.expect("healthy");
    assert_eq!(skipped(&report), [Check::KubeProxy, Check::CoreDns]);
}

#[tokio::test]
async fn a_cluster_without_kubernetes_is_healthy_without_it() {
    let sim = with_cni("flannel").await;
    let none = CallFault::on_nodes().method("Kubeconfig").status(
        talos_testkit::Code::FailedPrecondition,
        "k8s API server CA config is not set",
    );
    sim.cluster.inject(none).expect("a fault");
    let report = checks(&sim).start().await.expect("healthy");
    assert_eq!(skipped(&report), asking());
}

#[tokio::test]
async fn who_may_not_ask_is_told_at_once() {
    let sim = with_cni("flannel").await;
    kubernetes(&sim).inject(KubeFault::new().path("/nodes").status(403));
    let run = checks(&sim).start();
    let error = limited("a check", run.finish()).await.expect_err("forbidden");
    let HealthError::Refused { check, source, .. } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!(*check, Check::KubernetesNodes);
    assert_eq!(source.kind(), talos_client::ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn an_api_that_is_away_is_waited_for() {
    let sim = with_cni("flannel").await;
    let api = kubernetes(&sim);
    api.inject(KubeFault::new().times(4).disconnect());
    let report = checks(&sim).start().await.expect("healthy");
    assert_eq!(report.passed().filter(|check| check.asks_kubernetes()).count(), 6);
    api.refuse_connections(true);
    let quiet = Kubernetes::of(&sim.client);
    let run = checks(&sim)
        .kubernetes(&quiet)
        .timeout(Duration::from_secs(2))
        .start();
    let error = limited("a check", run.finish()).await.expect_err("away");
    assert_eq!(error.check(), Some(Check::KubernetesNodes));
}

#[tokio::test]
async fn health_with_a_cut_at_every_step_is_found_all_the_same() {
    let outcomes = every_step(
        async || with_cni("flannel").await,
        async |sim| checks(sim).start().await,
        |_| true,
        async |_| {},
    )
    .await;
    assert_all_succeeded(&outcomes);
}
