//! Another Talos on a node: pull, install, reboot.

use std::time::Duration;

use talos_client::{
    ErrorKind,
    workflow::{
        track::TrackOptions,
        upgrade::{ClusterUpgrade, NodeUpgrade, NodeUpgradeError, PlannedStep, UpgradeStep},
    },
};
use talos_testkit::{SimCluster, SimClusterBuilder};

use super::faulted::{assert_all_succeeded, chain, every_step, limited};
use crate::support::Sim;

const OLD: &str = "v1.13.2";
const NEW: &str = "v1.14.1";
const IMAGE: &str = "ghcr.io/siderolabs/installer:v1.14.1";

const PULL: &str = "/machine.ImageService/Pull";
const INSTALL: &str = "/machine.LifecycleService/Upgrade";
const REBOOT: &str = "/machine.MachineService/Reboot";

fn two() -> SimClusterBuilder {
    SimCluster::builder().workers(1).talos_version(OLD)
}

fn track() -> TrackOptions {
    TrackOptions::new(Duration::from_secs(20)).interval(Duration::from_millis(30))
}

/// The worker, which etcd does not mind.
fn quick(sim: &Sim) -> NodeUpgrade {
    NodeUpgrade::to(&sim.node(1), IMAGE).track(track())
}

async fn version(sim: &Sim) -> String {
    sim.node(1).version().await.expect("answered").tag().to_owned()
}

#[tokio::test]
async fn a_node_pulls_installs_and_reboots_in_this_order() {
    let sim = Sim::of(two()).await;
    let mut run = quick(&sim).start();
    let (mut lines, mut percent) = (0, None);
    while let Some(progress) = run.next_progress().await {
        match progress.step {
            UpgradeStep::Installer { .. } => lines += 1,
            UpgradeStep::Pulling { percent: Some(now) } => {
                assert!(now <= 100);
                percent = Some(now);
            }
            _ => {}
        }
    }
    run.finish().await.expect("upgraded");
    assert!(lines > 0, "the installer is heard");
    assert_eq!(percent, Some(100));
    assert_eq!(version(&sim).await, NEW);
    let calls = sim.cluster.requests().all();
    let number = |method: &str| {
        let call = calls.iter().find(|call| call.method == method);
        call.map(|call| call.number)
            .unwrap_or_else(|| panic!("no {method}"))
    };
    assert!(number(PULL) < number(INSTALL) && number(INSTALL) < number(REBOOT));

    // It is there already.
    sim.cluster.requests().clear();
    quick(&sim).start().await.expect("nothing to do");
    assert_eq!(sim.cluster.requests().attempts(INSTALL), 0);
}

#[tokio::test]
async fn an_installer_that_fails_leaves_the_node_running() {
    let sim = Sim::of(two()).await;
    sim.cluster
        .node(1)
        .set_next_installer_exit(7, "no room on the disk\n");
    let error = quick(&sim).start().await.expect_err("fails");
    let NodeUpgradeError::Install(source) = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!(source.kind(), ErrorKind::Internal);
    assert!(chain(&error).contains("exit code 7"), "{}", chain(&error));
    assert_eq!(sim.cluster.requests().attempts(REBOOT), 0);
    assert_eq!(version(&sim).await, OLD);
    quick(&sim).start().await.expect("and again");
    assert_eq!(version(&sim).await, NEW);
}

#[tokio::test]
async fn a_pull_that_does_not_get_on_is_given_up() {
    let sim = Sim::of(two()).await;
    sim.cluster.node(1).hold_pulls(true);
    let stalled = quick(&sim).pull_stall(Duration::from_millis(200)).start();
    let error = limited("a pull", stalled.finish()).await.expect_err("stalls");
    assert!(
        matches!(error, NodeUpgradeError::PullStalled { after, .. } if after == Duration::from_millis(200)),
        "{}",
        chain(&error)
    );
    assert_eq!(sim.cluster.requests().attempts(INSTALL), 0);
    sim.cluster.node(1).hold_pulls(false);
    quick(&sim).start().await.expect("and again");
}

#[tokio::test]
async fn a_node_that_is_back_with_another_release_is_no_success() {
    let sim = Sim::of(two()).await;
    let error = quick(&sim)
        .target_version("v1.14.2")
        .start()
        .await
        .expect_err("another one");
    let NodeUpgradeError::OtherRelease { expected, found } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!((expected.as_str(), found.as_str()), ("v1.14.2", NEW));
}

#[tokio::test]
async fn a_cluster_of_newer_nodes_is_upgraded_by_installers() {
    let sim = Sim::of(SimCluster::builder().control_planes(3).talos_version(OLD)).await;
    let upgrade = ClusterUpgrade::to(&sim.client, IMAGE).track(track());
    let plan = upgrade.plan().await.expect("a plan");
    assert!(
        plan.nodes.iter().all(|node| node.step == PlannedStep::Upgrade),
        "{plan}"
    );
    limited("an upgrade", upgrade.start().finish())
        .await
        .expect("upgraded");
    for index in 0..3 {
        let version = sim.node(index).version().await.expect("answered");
        assert_eq!(version.tag(), NEW);
        assert!(sim.cluster.node(index).etcd_is_running());
    }
    assert_eq!(sim.cluster.requests().attempts(INSTALL), 3);
    assert_eq!(
        sim.cluster.requests().attempts("/machine.MachineService/Upgrade"),
        0
    );
}

#[tokio::test]
async fn a_node_with_a_cut_at_every_step_gets_there() {
    let outcomes = every_step(
        async || Sim::of(two()).await,
        async |sim| quick(sim).start().await,
        |_| true,
        async |sim| assert_eq!(version(sim).await, NEW),
    )
    .await;
    // Each call is read-only, may be made again, or is asked for again.
    assert_all_succeeded(&outcomes);
}
