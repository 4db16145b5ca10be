//! Another Talos on all nodes.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use talos_client::{
    MemberRole,
    proto::definitions::k8s::KubeletConfigSpec,
    workflow::{
        track::{TrackError, TrackOptions},
        upgrade::{
            ClusterUpgrade, HookFuture, NodeOutcome, NodeUpgradeError, PathRefusal, PlannedNode, PlannedStep,
            UpgradeError, UpgradeHooks,
        },
    },
};
use talos_testkit::{
    Code, RecordedCall, ServiceState, SimCluster, SimClusterBuilder, SimResource, fault::CallFault,
};

use super::faulted::{SHORT, chain, every_step, limited};
use crate::support::Sim;

const OLD: &str = "v1.12.9";
const NEW: &str = "v1.13.2";
const IMAGE: &str = "ghcr.io/siderolabs/installer:v1.13.2";

fn three() -> SimClusterBuilder {
    SimCluster::builder()
        .control_planes(3)
        .workers(1)
        .talos_version(OLD)
}

fn quick(sim: &Sim) -> ClusterUpgrade {
    ClusterUpgrade::to(&sim.client, IMAGE)
        .track(TrackOptions::new(Duration::from_secs(20)).interval(Duration::from_millis(30)))
        .etcd_timeout(Duration::from_secs(10))
}

async fn versions(sim: &Sim) -> Vec<String> {
    let mut versions = Vec::new();
    for index in 0..sim.cluster.nodes().len() {
        versions.push(
            sim.node(index)
                .version()
                .await
                .expect("answered")
                .tag()
                .to_owned(),
        );
    }
    versions
}

/// Notes what it is called for, and fails for one node if told to.
#[derive(Clone, Debug, Default)]
struct Notes {
    calls: Arc<Mutex<Vec<String>>>,
    fail_after: Option<String>,
}

impl Notes {
    fn note(&self, what: &str, node: &PlannedNode) {
        let name = node.hostname.clone().unwrap_or_default();
        self.calls
            .lock()
            .expect("not poisoned")
            .push(format!("{what} {name}"));
    }

    fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().expect("not poisoned"))
    }
}

impl UpgradeHooks for Notes {
    fn before_reboot<'a>(&'a self, node: &'a PlannedNode) -> HookFuture<'a> {
        self.note("drain", node);
        Box::pin(async { Ok(()) })
    }

    fn after_upgrade<'a>(&'a self, node: &'a PlannedNode) -> HookFuture<'a> {
        self.note("uncordon", node);
        let fails = self.fail_after.is_some() && self.fail_after == node.hostname;
        Box::pin(async move {
            if fails {
                return Err("Kubernetes does not answer".into());
            }
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_plan_puts_the_leader_last_among_control_planes_and_changes_nothing() {
    let sim = Sim::of(three()).await;
    let plan = quick(&sim).plan().await.expect("a plan");
    let leader = sim.cluster.etcd_leader().expect("a leader");
    let order: Vec<&str> = plan
        .nodes
        .iter()
        .map(|node| node.hostname.as_deref().unwrap_or_default())
        .collect();
    assert_eq!(order[2], leader, "{plan}");
    assert_eq!(order[3], "sim-worker-1");
    assert!(plan.nodes[2].leads_etcd && plan.quorum.is_none());
    assert_eq!((plan.len(), plan.target.as_str()), (4, NEW));
    assert!(
        plan.nodes
            .iter()
            .all(|node| node.step == PlannedStep::LegacyUpgrade),
        "{plan}"
    );
    let text = plan.to_string();
    assert!(text.contains("control plane, leader of etcd"), "{text}");
    assert_eq!(sim.cluster.requests().attempts("Upgrade"), 0);
    assert_eq!(sim.cluster.requests().attempts("Reboot"), 0);
}

#[tokio::test]
async fn all_nodes_are_upgraded_one_after_the_other_with_hooks_around_each() {
    let sim = Sim::of(three()).await;
    let notes = Notes::default();
    let upgrade = quick(&sim).hooks(notes.clone());
    let plan = upgrade.plan().await.expect("a plan");
    sim.cluster.requests().clear();
    let mut run = upgrade.start();
    while let Some(progress) = run.next_progress().await {
        assert!(!progress.to_string().is_empty());
    }
    let report = run.finish().await.expect("upgraded");
    assert_eq!(versions(&sim).await, [NEW; 4]);
    assert!(
        report
            .nodes
            .iter()
            .all(|node| matches!(node.outcome, NodeOutcome::Upgraded { .. }) && !node.prepared),
        "{report}"
    );
    assert_eq!(report.left().count(), 0);
    let calls = sim.cluster.requests().of("Upgrade");
    let asked: Vec<&str> = calls.iter().filter_map(|call| call.node()).collect();
    let planned: Vec<&str> = plan.nodes.iter().map(|node| node.node.name().as_str()).collect();
    assert_eq!(asked, planned);
    let expected: Vec<String> = plan
        .nodes
        .iter()
        .filter_map(|node| node.hostname.as_deref())
        .flat_map(|name| [format!("drain {name}"), format!("uncordon {name}")])
        .collect();
    assert_eq!(notes.taken(), expected);

    // There is nothing to be done a second time.
    sim.cluster.requests().clear();
    let report = quick(&sim).start().await.expect("nothing to do");
    assert!(
        report
            .nodes
            .iter()
            .all(|node| node.outcome == NodeOutcome::AlreadyThere)
    );
    assert_eq!(sim.cluster.requests().attempts("Upgrade"), 0);
}

#[tokio::test]
async fn an_upgrade_that_is_not_allowed_is_refused_before_anything_is_done() {
    let sim = Sim::of(three()).await;
    sim.cluster.node(3).set_talos_version("v1.10.1");
    let upgrade = quick(&sim);
    let plan = upgrade.plan().await.expect("a plan");
    assert!(plan.to_string().contains("not possible"), "{plan}");
    let error = upgrade.start().await.expect_err("refused");
    let UpgradeError::PathNotAllowed {
        node, from, source, ..
    } = &error
    else {
        panic!("{}", chain(&error));
    };
    assert_eq!((node.as_str(), from.as_str()), ("10.5.0.5", "v1.10.1"));
    assert!(matches!(source, PathRefusal::TooOld { .. }));
    assert!(error.report().is_none());
    assert_eq!(sim.cluster.requests().attempts("Upgrade"), 0);

    let error = ClusterUpgrade::to(&sim.client, "installer:latest")
        .plan()
        .await
        .expect_err("no release");
    assert!(matches!(error, UpgradeError::UnknownTarget { .. }));
}

#[tokio::test]
async fn etcd_keeps_its_quorum_unless_force_is_used() {
    let sim = Sim::of(three()).await;
    sim.cluster
        .node(1)
        .set_service_state("etcd", ServiceState::Finished, "stopped");
    let upgrade = quick(&sim).etcd_timeout(Duration::from_millis(200));
    let plan = upgrade.plan().await.expect("a plan");
    let refusal = plan.quorum.as_ref().expect("refused");
    assert_eq!(
        (refusal.voters, refusal.healthy, refusal.needed),
        (3, 2, 2),
        "{plan}"
    );
    let error = limited("an upgrade", upgrade.start().finish())
        .await
        .expect_err("refused");
    let UpgradeError::Quorum { source, report } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!(source.voters, 3);
    assert_eq!(report.left().count(), 4);
    assert_eq!(sim.cluster.requests().attempts("Upgrade"), 0);
}

#[tokio::test]
async fn a_cluster_of_one_is_upgraded_by_force_only() {
    let sim = Sim::of(SimCluster::builder().talos_version(OLD)).await;
    let error = quick(&sim).start().await.expect_err("refused");
    assert!(matches!(error, UpgradeError::Quorum { .. }), "{}", chain(&error));
    let report = quick(&sim).force(true).start().await.expect("upgraded");
    assert!(matches!(report.nodes[0].outcome, NodeOutcome::Upgraded { .. }));
    assert_eq!(versions(&sim).await, [NEW]);
}

#[tokio::test]
async fn a_node_that_never_returns_stops_it_and_it_goes_on_later() {
    let sim = Sim::of(three()).await;
    let notes = Notes::default();
    let plan = quick(&sim).plan().await.expect("a plan");
    let second = plan.nodes[1].hostname.clone().expect("known");
    let stuck = sim.cluster.node_by_name(&second).expect("is one");
    // When nothing answers any more.
    stuck.hold_task("reboot");
    let short = TrackOptions::new(SHORT).interval(Duration::from_millis(30));
    let run = quick(&sim).hooks(notes.clone()).track(short).start();
    let error = limited("an upgrade", run.finish()).await.expect_err("away");
    let UpgradeError::Node { node, source, report } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!(node.as_str(), stuck.name());
    let NodeUpgradeError::Reboot(source) = source else {
        panic!("{}", chain(source));
    };
    assert!(matches!(**source, TrackError::Timeout { .. }), "{source}");
    let outcomes: Vec<bool> = report
        .nodes
        .iter()
        .map(|node| matches!(node.outcome, NodeOutcome::Upgraded { .. }))
        .collect();
    assert_eq!(outcomes, [true, false, false, false]);
    assert_eq!(report.left().count(), 3);
    assert!(report.nodes[1].prepared, "{report}");
    notes.taken();

    // Somebody sees to the machine.
    stuck.release_task("reboot");
    limited("a boot", stuck.wait_until_ready()).await;
    let report = quick(&sim)
        .hooks(notes.clone())
        .resume(report)
        .start()
        .await
        .expect("goes on");
    assert_eq!(versions(&sim).await, [NEW; 4]);
    assert!(report.nodes.iter().all(|node| !node.prepared), "{report}");
    assert!(notes.taken().contains(&format!("uncordon {second}")));
}

#[tokio::test]
async fn a_hook_that_fails_stops_it_and_is_called_again() {
    let sim = Sim::of(three()).await;
    let notes = Notes {
        fail_after: Some("sim-worker-1".to_owned()),
        ..Notes::default()
    };
    let error = quick(&sim).hooks(notes.clone()).start().await.expect_err("fails");
    assert!(
        chain(&error).contains("Kubernetes does not answer"),
        "{}",
        chain(&error)
    );
    let report = error.report().expect("begun").clone();
    assert!(report.nodes[3].prepared, "{report}");
    let works = Notes::default();
    let report = quick(&sim)
        .hooks(works.clone())
        .resume(&report)
        .start()
        .await
        .expect("goes on");
    assert_eq!(works.taken(), ["uncordon sim-worker-1"]);
    assert!(report.nodes.iter().all(|node| !node.prepared));
}

#[tokio::test]
async fn an_image_that_cannot_be_had_leaves_the_node_as_it_was() {
    let sim = Sim::of(three()).await;
    let plan = quick(&sim).plan().await.expect("a plan");
    let first = sim
        .cluster
        .node_by_name(plan.nodes[0].node.name().as_str())
        .expect("is one");
    first.fail_next_image_pull("no such image");
    let error = quick(&sim).start().await.expect_err("no image");
    assert!(chain(&error).contains("no such image"), "{}", chain(&error));
    assert_eq!(versions(&sim).await, [OLD; 4]);
    assert_eq!(plan.nodes[0].role, MemberRole::ControlPlane);
}

#[tokio::test]
async fn no_node_is_touched_before_all_have_the_image() {
    let sim = Sim::of(
        SimCluster::builder()
            .control_planes(3)
            .workers(1)
            .talos_version(NEW),
    )
    .await;
    let image = "ghcr.io/siderolabs/installer:v1.14.1";
    let upgrade = || {
        ClusterUpgrade::to(&sim.client, image)
            .track(TrackOptions::new(Duration::from_secs(20)).interval(Duration::from_millis(30)))
    };
    let missing = CallFault::on_node("10.5.0.5").method("Pull").calls(..=1);
    let missing = missing.status(Code::NotFound, "no such image");
    sim.cluster.inject(missing).expect("a fault");
    let error = upgrade().start().await.expect_err("no image for the last");
    let UpgradeError::Node { node, source, report } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!(node.as_str(), "10.5.0.5");
    assert!(matches!(source, NodeUpgradeError::Pull(_)), "{}", chain(source));
    assert!(
        report.nodes[..3]
            .iter()
            .all(|node| node.outcome == NodeOutcome::NotStarted && !node.prepared),
        "{report}"
    );
    let touched = |call: &&RecordedCall| matches!(call.name(), "Upgrade" | "Reboot");
    let calls = sim.cluster.requests().all();
    assert_eq!(calls.iter().filter(touched).count(), 0);

    upgrade().start().await.expect("now it is there");
    let calls = sim.cluster.requests().all();
    let first = calls.iter().find(touched).expect("upgraded").number;
    let pulls = calls.iter().filter(|call| call.name() == "Pull");
    let before: BTreeSet<_> = pulls
        .filter(|call| call.number < first)
        .filter_map(|call| call.node())
        .collect();
    assert_eq!(before.len(), 4, "{before:?}");
    assert_eq!(versions(&sim).await, ["v1.14.1"; 4]);
}

#[tokio::test]
async fn a_release_that_does_not_take_the_kubernetes_of_a_node_is_refused() {
    let sim = Sim::of(three()).await;
    let kubelet = |image: &str| {
        let spec = KubeletConfigSpec {
            image: image.to_owned(),
            ..KubeletConfigSpec::default()
        };
        SimResource::new("KubeletConfigs.kubernetes.talos.dev", "kubelet").proto(&spec)
    };
    let resources = |index| sim.cluster.node(index).resources();
    resources(0).put(kubelet("ghcr.io/siderolabs/kubelet:v1.34.2"));
    resources(3).put(kubelet("ghcr.io/siderolabs/kubelet:v1.30.9@sha256:00"));
    let upgrade = quick(&sim);
    let plan = upgrade.plan().await.expect("a plan");
    let of = |name: &str| {
        let mut nodes = plan.nodes.iter();
        nodes
            .find(|node| node.node.name().as_str() == name)
            .expect("is one")
    };
    assert_eq!(of("10.5.0.2").kubernetes.as_deref(), Some("v1.34.2"));
    assert_eq!(of("10.5.0.3").kubernetes, None);
    assert!(matches!(
        of("10.5.0.5").step,
        PlannedStep::Refused(PathRefusal::Kubernetes { .. })
    ));
    let error = upgrade.start().await.expect_err("too old");
    assert!(matches!(error, UpgradeError::PathNotAllowed { .. }), "{error}");
    assert!(chain(&error).contains("v1.30.9"), "{}", chain(&error));
    assert_eq!(sim.cluster.requests().attempts("Upgrade"), 0);
}

#[tokio::test]
async fn an_upgrade_with_a_cut_at_every_step_is_done_or_goes_on() {
    every_step(
        async || Sim::of(SimCluster::builder().workers(1).talos_version(OLD)).await,
        async |sim| quick(sim).force(true).start().await,
        |_| true,
        async |sim| assert_eq!(versions(sim).await, [NEW; 2]),
    )
    .await;
}
