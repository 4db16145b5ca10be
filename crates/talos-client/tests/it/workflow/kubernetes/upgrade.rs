//! Upgrades that drain nodes.

use std::time::Duration;

use talos_client::workflow::{
    kubernetes::{DrainError, DrainProgress},
    track::TrackOptions,
    upgrade::{ClusterUpgrade, NodeUpgrade, NodeUpgradeError, UpgradeError, UpgradeStep},
};
use talos_testkit::{
    SimCluster, SimClusterBuilder,
    kubernetes::{KubeFault, KubePod, PodOwner},
};

use super::{access, five, is_cordoned, kubernetes, quick};
use crate::{
    support::Sim,
    workflow::faulted::{chain, every_step, limited},
};

const OLD: &str = "v1.13.2";
const NEW: &str = "v1.14.1";
const IMAGE: &str = "ghcr.io/siderolabs/installer:v1.14.1";
const WORKER: &str = "sim-worker-1";

fn track() -> TrackOptions {
    TrackOptions::new(Duration::from_secs(20)).interval(Duration::from_millis(30))
}

fn upgrade(sim: &Sim) -> ClusterUpgrade {
    ClusterUpgrade::to(&sim.client, IMAGE)
        .track(track())
        .etcd_timeout(Duration::from_secs(10))
        .drain(quick())
}

/// One control plane node and one worker, with a pod on it.
async fn small() -> Sim {
    let sim = Sim::of(builder(1, 1)).await;
    kubernetes(&sim).add_pod(KubePod::new("default", "alone").on_node(WORKER));
    sim
}

fn builder(control_planes: usize, workers: usize) -> SimClusterBuilder {
    SimCluster::builder()
        .control_planes(control_planes)
        .workers(workers)
        .talos_version(OLD)
        .kubernetes(true)
}

async fn is_upgraded(sim: &Sim) -> bool {
    let mut all = true;
    for index in 0..sim.cluster.nodes().len() {
        all &= sim.node(index).version().await.expect("answered").tag() == NEW;
    }
    all
}

fn cordoned(sim: &Sim) -> Vec<String> {
    let nodes = kubernetes(sim).nodes().into_iter();
    nodes
        .filter(|node| node.unschedulable)
        .map(|node| node.name)
        .collect()
}

fn marks(sim: &Sim) -> usize {
    let nodes = kubernetes(sim).nodes();
    let keys = nodes.iter().flat_map(|node| node.annotations.keys());
    keys.filter(|key| key.starts_with("talos-client/")).count()
}

#[tokio::test]
async fn each_node_is_drained_before_it_reboots_and_uncordoned_after_it_is_ready() {
    let sim = Sim::of(five().talos_version(OLD)).await;
    let api = kubernetes(&sim);
    for number in 0..6 {
        api.add_pod(KubePod::new("default", format!("web-{number}")).owned_by(PodOwner::ReplicaSet, "web"));
    }
    let plan = upgrade(&sim).plan().await.expect("a plan");
    let names: Vec<String> = plan
        .nodes
        .iter()
        .filter_map(|node| node.hostname.clone())
        .collect();
    sim.cluster.requests().clear();
    let mut run = upgrade(&sim).start();
    let mut seen: Vec<(usize, &str)> = Vec::new();
    // The workflow stands still while nobody asks for the next item, so what is seen here is what was at that moment.
    while let Some(progress) = run.next_progress().await {
        let at = progress.position.0;
        let name = names[at - 1].as_str();
        let reboots = sim.cluster.requests().attempts("Reboot");
        let step = match &progress.step {
            UpgradeStep::Draining(DrainProgress::Cordoned {
                name: cordoned,
                before,
            }) => {
                assert_eq!((cordoned.as_str(), *before), (name, false));
                "cordon"
            }
            UpgradeStep::Draining(DrainProgress::Gone { .. }) => {
                assert_eq!(reboots, at - 1, "{progress}");
                "gone"
            }
            UpgradeStep::Draining(_) => continue,
            UpgradeStep::Rebooting(_) => {
                assert_eq!(cordoned(&sim), [name], "{progress}");
                "reboot"
            }
            UpgradeStep::WaitingForKubernetes { .. } => {
                assert_eq!(cordoned(&sim), [name], "{progress}");
                continue;
            }
            UpgradeStep::Uncordoned => {
                assert_eq!(reboots, at, "{progress}");
                assert_eq!(api.node(name).expect("is one").ready, "True", "{progress}");
                assert!(cordoned(&sim).is_empty(), "{progress}");
                "uncordon"
            }
            _ => continue,
        };
        if seen.last() != Some(&(at, step)) {
            seen.push((at, step));
        }
    }
    run.finish().await.expect("upgraded");
    for at in 1..=names.len() {
        let steps: Vec<&str> = seen
            .iter()
            .filter(|(node, _)| *node == at)
            .map(|(_, step)| *step)
            .collect();
        let expected: &[&str] = match steps.contains(&"gone") {
            true => &["cordon", "gone", "reboot", "uncordon"],
            // Nothing but static pods and DaemonSets there.
            false => &["cordon", "reboot", "uncordon"],
        };
        assert_eq!(steps, expected, "node {at}");
    }
    assert!(seen.iter().any(|(_, step)| *step == "gone"));
    assert!(is_upgraded(&sim).await);
    assert_eq!(marks(&sim), 0);

    // What the API has heard of one node, in order.
    let patches = api
        .requests()
        .into_iter()
        .filter(|request| request.method == "PATCH");
    let paths: Vec<String> = patches.map(|patch| patch.path).collect();
    let expected: Vec<String> = names
        .iter()
        .flat_map(|name| [format!("/api/v1/nodes/{name}"), format!("/api/v1/nodes/{name}")])
        .collect();
    assert_eq!(paths, expected);
}

#[tokio::test]
async fn a_node_that_somebody_else_has_cordoned_stays_so() {
    let sim = small().await;
    kubernetes(&sim).set_unschedulable(WORKER, true);
    upgrade(&sim).force(true).start().await.expect("upgraded");
    assert!(is_upgraded(&sim).await);
    assert_eq!(cordoned(&sim), [WORKER]);
    assert!(
        kubernetes(&sim).pod("default", "alone").is_none(),
        "it is drained all the same"
    );
    assert_eq!(marks(&sim), 0);
}

#[tokio::test]
async fn another_process_uncordons_what_an_upgrade_has_cordoned_and_nothing_else() {
    let sim = small().await;
    let api = kubernetes(&sim);
    // The control plane node was cordoned before; the worker cannot be uncordoned.
    api.set_unschedulable("sim-controlplane-1", true);
    let stuck = KubeFault::new().method("PATCH").path(WORKER).skip(1).status(403);
    api.inject(stuck);
    let error = upgrade(&sim).force(true).start().await.expect_err("forbidden");
    let UpgradeError::Node { source, report, .. } = &error else {
        panic!("{}", chain(&error));
    };
    assert!(
        matches!(source, NodeUpgradeError::Uncordon(_)),
        "{}",
        chain(&error)
    );
    assert!(report.nodes[1].prepared, "{report}");
    assert!(is_upgraded(&sim).await);
    assert_eq!(marks(&sim), 1);

    // Without the report of the first one.
    api.clear_faults();
    upgrade(&sim)
        .force(true)
        .start()
        .await
        .expect("nothing else to do");
    assert_eq!(cordoned(&sim), ["sim-controlplane-1"]);
    assert_eq!(marks(&sim), 0);
}

#[tokio::test]
async fn a_node_that_cannot_be_drained_is_not_rebooted_and_goes_on_later() {
    let sim = small().await;
    let api = kubernetes(&sim);
    api.add_pod(
        KubePod::new("default", "stuck")
            .on_node(WORKER)
            .never_terminates(),
    );
    let options = quick().timeout(Duration::from_millis(400));
    let run = upgrade(&sim).force(true).drain(options).start();
    let error = limited("an upgrade", run.finish()).await.expect_err("stuck");
    assert!(
        chain(&error).contains("pod default/stuck has not ended"),
        "{}",
        chain(&error)
    );
    let UpgradeError::Node { node, source, .. } = &error else {
        panic!("{}", chain(&error));
    };
    let NodeUpgradeError::Drain(source) = source else {
        panic!("{}", chain(&error));
    };
    assert!(matches!(**source, DrainError::TimedOut { .. }));
    assert_eq!(node.as_str(), sim.cluster.node(1).name());
    assert_eq!(
        sim.cluster.requests().attempts("Reboot"),
        1,
        "of the control plane node"
    );
    assert!(is_cordoned(&sim, WORKER));

    api.let_go("default", "stuck");
    upgrade(&sim).force(true).start().await.expect("upgraded");
    assert!(is_upgraded(&sim).await);
    assert!(cordoned(&sim).is_empty());
}

#[tokio::test]
async fn what_kubernetes_still_shows_of_the_boot_before_does_not_count() {
    let sim = small().await;
    let before = sim.node(1).boot_id().await.expect("an id");
    NodeUpgrade::to(&sim.node(1), IMAGE)
        .track(track())
        .drain(&access(&sim), quick())
        .start()
        .await
        .expect("upgraded");
    assert!(!is_cordoned(&sim, WORKER));
    assert_eq!(sim.node(1).version().await.expect("answered").tag(), NEW);
    assert_ne!(sim.node(1).boot_id().await.expect("an id"), before);
    assert!(kubernetes(&sim).pod("default", "alone").is_none());
}

#[tokio::test]
async fn a_node_that_does_not_get_ready_is_left_cordoned() {
    let sim = small().await;
    let node = format!("/nodes/{WORKER}");
    // Two looks of the drain, and from then on Kubernetes does not know the node.
    kubernetes(&sim).inject(KubeFault::new().method("GET").path(node).skip(1).status(404));
    let run = NodeUpgrade::to(&sim.node(1), IMAGE)
        .track(track())
        .drain(&access(&sim), quick().ready_timeout(Duration::from_millis(300)))
        .start();
    let error = limited("an upgrade", run.finish()).await.expect_err("not ready");
    assert!(
        matches!(error, NodeUpgradeError::Uncordon(_)),
        "{}",
        chain(&error)
    );
    assert!(
        chain(&error).contains("is not ready after 300ms"),
        "{}",
        chain(&error)
    );
    assert!(is_cordoned(&sim, WORKER));
}

#[tokio::test]
async fn older_nodes_drain_themselves() {
    let sim = Sim::of(builder(1, 1).talos_version("v1.12.9")).await;
    let upgrade = ClusterUpgrade::to(&sim.client, "ghcr.io/siderolabs/installer:v1.13.2");
    upgrade
        .track(track())
        .force(true)
        .drain(quick())
        .start()
        .await
        .expect("upgraded");
    let requests = kubernetes(&sim).requests();
    assert!(
        requests.iter().all(|request| request.method == "GET"),
        "{requests:?}"
    );
}

#[tokio::test]
async fn an_upgrade_with_drains_and_a_cut_at_every_step_is_done_or_goes_on() {
    every_step(
        small,
        async |sim| upgrade(sim).force(true).start().await,
        |_| true,
        async |sim| {
            assert!(is_upgraded(sim).await);
            assert!(cordoned(sim).is_empty(), "{:?}", cordoned(sim));
            assert_eq!(marks(sim), 0);
            assert!(kubernetes(sim).pod("default", "alone").is_none());
        },
    )
    .await;
}
