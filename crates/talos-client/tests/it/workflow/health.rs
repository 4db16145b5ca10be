//! Whether a cluster is healthy.

use std::time::Duration;

use talos_client::{
    ErrorKind,
    workflow::health::{Check, ClusterHealth, ConditionStatus, HealthError, HealthProgress, SkipReason},
};
use talos_testkit::{MachineStage, MemoryInfo, SimCluster, SimResource, fault::CallFault};

use super::faulted::{SHORT, assert_all_succeeded, chain, every_step, limited};
use crate::support::Sim;

fn quick(sim: &Sim) -> ClusterHealth {
    ClusterHealth::of(&sim.client)
        .timeout(Duration::from_secs(20))
        .interval(Duration::from_millis(30))
}

#[tokio::test]
async fn checks_are_made_in_order_and_what_kubernetes_knows_is_skipped() {
    let sim = Sim::start().await;
    let mut run = quick(&sim).start();
    let mut lines = Vec::new();
    while let Some(progress) = run.next_progress().await {
        lines.push(progress);
    }
    let report = run.finish().await.expect("healthy");
    assert!(
        matches!(&lines[0], HealthProgress::Discovered(names) if names.contains("10.5.0.5")),
        "{lines:?}"
    );
    let begun = lines.iter().filter_map(|line| match line {
        HealthProgress::Condition {
            name,
            status: ConditionStatus::Checking,
        } => Some(name.as_str()),
        _ => None,
    });
    let names: Vec<&str> = Check::ALL.iter().map(|check| check.name()).collect();
    assert_eq!(begun.collect::<Vec<_>>(), names);
    let skipped: Vec<Check> = report
        .skipped()
        .filter(|(_, reason)| *reason == SkipReason::NeedsKubernetes)
        .map(|(check, _)| check)
        .collect();
    let expected: Vec<Check> = Check::ALL
        .into_iter()
        .filter(|check| check.asks_kubernetes())
        .collect();
    assert_eq!(skipped, expected);
    let passed: Vec<Check> = report.passed().collect();
    assert_eq!(passed, &Check::ALL[..9], "{report:?}");
}

#[tokio::test]
async fn static_pods_that_are_configured_have_to_be_there() {
    let sim = Sim::of(SimCluster::builder().control_planes(1)).await;
    let resources = sim.cluster.node(0).resources();
    for (kind, id) in [
        ("APIServerConfigs.kubernetes.talos.dev", "kube-apiserver"),
        ("SchedulerConfigs.kubernetes.talos.dev", "kube-scheduler"),
    ] {
        resources.put(SimResource::new(kind, id));
    }
    let pod = |name: &str| {
        SimResource::new(
            "StaticPodStatuses.kubernetes.talos.dev",
            format!("kube-system/{name}-sim-controlplane-1"),
        )
    };
    resources.put(pod("kube-apiserver"));
    let mut run = quick(&sim).start();
    let mut reason = None;
    while let Some(progress) = run.next_progress().await {
        if let HealthProgress::Condition {
            status: ConditionStatus::NotMet(text),
            ..
        } = progress
        {
            resources.put(pod("kube-scheduler"));
            reason = Some(text);
        }
    }
    let report = run.finish().await.expect("healthy");
    assert!(reason.is_some_and(|reason| reason.contains("kube-scheduler")));
    assert!(report.passed().any(|check| check == Check::StaticPods));
}

/// What is wrong, what makes it wrong, and what the reason says.
type Case = (Check, fn(&Sim), &'static str);

#[tokio::test]
async fn each_check_finds_what_it_is_there_for() {
    let cases: [Case; 7] = [
        (
            Check::EtcdHealthy,
            |sim| sim.cluster.node(1).set_service_health("etcd", false, "no leader"),
            "no leader",
        ),
        (
            Check::EtcdHealthy,
            |sim| {
                let state = talos_testkit::ServiceState::Preparing;
                sim.cluster.node(2).set_service_state("etcd", state, "waiting");
            },
            "etcd is Preparing",
        ),
        (Check::ApidReady, |sim| sim.cluster.node(3).kill(), "10.5.0.5"),
        (
            Check::MemorySizes,
            |sim| {
                let mut memory = MemoryInfo::default();
                memory.total_kib = 512 * 1024;
                sim.cluster.node(3).set_memory(memory);
            },
            "512 MiB",
        ),
        (
            Check::NoDiagnostics,
            |sim| {
                let found = SimResource::new("Diagnostics.runtime.talos.dev", "address-overlap");
                sim.cluster.node(3).resources().put(found);
            },
            "address-overlap",
        ),
        (
            Check::KubeletHealthy,
            |sim| sim.cluster.node(0).set_service_health("kubelet", false, "dead"),
            "dead",
        ),
        (
            Check::BootFinished,
            |sim| sim.cluster.node(3).set_stage(MachineStage::Booting),
            "booting",
        ),
    ];
    for (expected, spoil, text) in cases {
        let sim = Sim::start().await;
        let nodes = |range: std::ops::Range<usize>| range.map(|index| sim.node(index)).collect::<Vec<_>>();
        let run = quick(&sim)
            .nodes(nodes(0..3), nodes(3..4))
            .timeout(Duration::from_secs(2))
            .start();
        spoil(&sim);
        let error = limited(expected, run.finish()).await.expect_err("not healthy");
        let HealthError::NotMet {
            check,
            reason,
            report,
            ..
        } = &error
        else {
            panic!("{expected}: {}", chain(&error));
        };
        assert_eq!(*check, expected, "{reason}");
        assert!(reason.contains(text), "{expected}: {reason}");
        assert_eq!(
            report.checks.len(),
            Check::ALL
                .iter()
                .position(|check| check == &expected)
                .expect("is one")
        );
    }
}

#[tokio::test]
async fn a_member_that_is_no_control_plane_node_is_found() {
    let sim = Sim::start().await;
    let run = quick(&sim)
        .nodes([sim.node(0), sim.node(1)], [sim.node(3)])
        .timeout(SHORT)
        .start();
    let error = limited("a check", run.finish()).await.expect_err("not healthy");
    assert_eq!(error.check(), Some(Check::EtcdMembersAreControlPlanes));
    assert!(error.to_string().contains("sim-controlplane-3"), "{error}");
}

#[tokio::test]
async fn a_role_that_may_not_ask_is_told_at_once() {
    let sim = Sim::start().await;
    let nobody = sim.client_with_roles(&["os:etcd:backup"]);
    let node = nobody.node(sim.cluster.node(0).name()).expect("a name");
    let error = ClusterHealth::of(&nobody)
        .nodes([node], [])
        .start()
        .await
        .expect_err("denied");
    let HealthError::Refused { check, source, .. } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!(*check, Check::EtcdHealthy);
    assert_eq!(source.kind(), ErrorKind::PermissionDenied);
    let error = ClusterHealth::of(&nobody)
        .nodes([], [])
        .start()
        .await
        .expect_err("nobody to ask");
    assert!(matches!(error, HealthError::NoControlPlane));
}

#[tokio::test]
async fn a_node_that_does_not_answer_ends_in_bounded_time() {
    let sim = Sim::start().await;
    let hang = CallFault::on_nodes().method("ServiceList").hang();
    sim.cluster.inject(hang).expect("a fault");
    // Shorter than the limit of the call itself.
    let run = quick(&sim).timeout(Duration::from_secs(3)).start();
    let error = limited("a check", run.finish()).await.expect_err("hangs");
    assert_eq!(error.check(), Some(Check::EtcdHealthy), "{error}");
    assert!(error.to_string().contains("no answer in time"), "{error}");
}

#[tokio::test]
async fn health_with_a_cut_at_every_step_is_found_all_the_same() {
    let outcomes = every_step(
        async || Sim::of(SimCluster::builder().control_planes(2)).await,
        async |sim| quick(sim).start().await,
        |_| true,
        async |_| {},
    )
    .await;
    assert_all_succeeded(&outcomes);
}
