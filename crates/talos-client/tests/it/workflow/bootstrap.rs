//! A cluster that comes up.

use std::time::Duration;

use talos_client::{
    ErrorKind, Node,
    maintenance::Maintenance,
    workflow::bootstrap::{BootstrapError, BootstrapProgress, BootstrapStep, ClusterBootstrap},
};
use talos_testkit::{Code, ReadyCondition, SimCluster, SimClusterBuilder, fault::CallFault};

use super::faulted::{SHORT, assert_all_succeeded, chain, every_step, limited};
use crate::support::Sim;

/// Configured, and never bootstrapped.
fn new() -> SimClusterBuilder {
    SimCluster::builder()
        .control_planes(3)
        .workers(1)
        .bootstrapped(false)
}

fn quick(sim: &Sim) -> ClusterBootstrap {
    ClusterBootstrap::of((0..3).map(|index| sim.node(index)))
        .workers([sim.node(3)])
        .timeout(Duration::from_secs(20))
        .interval(Duration::from_millis(30))
}

#[tokio::test]
async fn etcd_is_bootstrapped_once_and_everything_is_waited_for() {
    let sim = Sim::of(new()).await;
    let mut run = quick(&sim).start();
    let mut progress = Vec::new();
    while let Some(item) = run.next_progress().await {
        assert!(!item.to_string().is_empty());
        progress.push(item);
    }
    let done = run.finish().await.expect("up");
    assert!(done.bootstrapped && done.configured.is_empty(), "{done:?}");
    assert!(done.kubeconfig.as_yaml().contains("clusters"));
    let calls = sim.cluster.requests().of("Bootstrap");
    let nodes: Vec<&str> = calls.iter().filter_map(|call| call.node()).collect();
    assert_eq!(nodes, ["10.5.0.2"]);
    let steps: Vec<BootstrapStep> = progress
        .iter()
        .filter_map(|item| match item {
            BootstrapProgress::Begins(step) => Some(*step),
            _ => None,
        })
        .collect();
    assert!(steps.is_sorted() && steps.len() == 5, "{steps:?}");
    for index in 0..4 {
        sim.cluster.node(index).wait_until_ready().await;
    }

    // Again, and nothing is to be done.
    sim.cluster.requests().clear();
    let done = quick(&sim).start().await.expect("up");
    assert!(!done.bootstrapped);
    assert_eq!(sim.cluster.requests().attempts("Bootstrap"), 0);
}

#[tokio::test]
async fn a_node_that_is_not_so_far_is_asked_again() {
    let sim = Sim::of(new()).await;
    sim.cluster.node(0).set_time_in_sync(false);
    let mut run = quick(&sim).start();
    while let Some(item) = run.next_progress().await {
        if let BootstrapProgress::Waiting {
            step: BootstrapStep::Bootstrap,
            reason,
        } = item
        {
            assert!(reason.contains("time is not in sync"), "{reason}");
            sim.cluster.node(0).set_time_in_sync(true);
        }
    }
    assert!(run.finish().await.expect("up").bootstrapped);
}

#[tokio::test]
async fn what_does_not_pass_is_told_at_once() {
    let sim = Sim::of(new()).await;
    let fault = CallFault::on_nodes()
        .method("Bootstrap")
        .status(Code::Unknown, "disk on fire");
    sim.cluster.inject(fault).expect("a fault");
    let error = limited("a bootstrap", quick(&sim).start().finish())
        .await
        .expect_err("fails");
    let BootstrapError::Bootstrap { node, source } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!((node.as_str(), source.kind()), ("10.5.0.2", ErrorKind::Unknown));
    let error = ClusterBootstrap::of([]).start().await.expect_err("nobody");
    assert!(matches!(error, BootstrapError::NoControlPlane));
}

#[tokio::test]
async fn a_cluster_that_never_gets_ready_ends_with_what_is_missing() {
    let sim = Sim::of(SimCluster::builder().control_planes(3).workers(1)).await;
    sim.cluster
        .node(3)
        .set_condition(ReadyCondition::NodeReady, Some("no CNI"));
    let run = quick(&sim).timeout(SHORT).start();
    let error = limited("a bootstrap", run.finish()).await.expect_err("not ready");
    let BootstrapError::Timeout { step, reason, .. } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!(*step, BootstrapStep::Kubernetes);
    assert!(
        reason.contains("10.5.0.5") && reason.contains("no CNI"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_bootstrap_with_a_cut_at_every_step_is_made_once() {
    let outcomes = every_step(
        async || Sim::of(new()).await,
        async |sim| quick(sim).start().await,
        |_| true,
        async |sim| {
            for index in 0..4 {
                sim.cluster.node(index).wait_until_ready().await;
            }
            assert!(sim.cluster.requests().attempts("Bootstrap") <= 2);
        },
    )
    .await;
    assert_all_succeeded(&outcomes);
}

/// All machines wait for their configurations.
fn unconfigured() -> SimClusterBuilder {
    SimCluster::builder().control_planes(3).workers(1).maintenance(..)
}

/// The machine as somebody knows it who has read this fingerprint.
fn in_maintenance(sim: &Sim, index: usize, fingerprint: &str) -> Node {
    Maintenance::at(sim.cluster.node(index).endpoint())
        .fingerprint(fingerprint.parse().expect("a fingerprint"))
        .build()
        .expect("a handle")
}

fn with_configurations(sim: &Sim) -> ClusterBootstrap {
    configured(sim, quick(sim))
}

fn configured(sim: &Sim, bootstrap: ClusterBootstrap) -> ClusterBootstrap {
    (0..sim.cluster.nodes().len()).fold(bootstrap, |bootstrap, index| {
        let machine = sim.cluster.node(index);
        let fingerprint = machine.fingerprint().expect("a certificate");
        bootstrap.configure(
            sim.node(index),
            in_maintenance(sim, index, &fingerprint),
            machine.generated_machine_config(),
        )
    })
}

// covers: machine.MachineService/ApplyConfiguration
#[tokio::test]
async fn machines_in_maintenance_are_configured_and_become_a_cluster() {
    let sim = Sim::of(unconfigured()).await;
    let run = with_configurations(&sim).start();
    let done = limited("a bootstrap", run.finish()).await.expect("up");
    let configured: Vec<&str> = done.configured.iter().map(|node| node.as_str()).collect();
    assert_eq!(configured, ["10.5.0.2", "10.5.0.3", "10.5.0.4", "10.5.0.5"]);
    assert!(done.bootstrapped);
    for index in 0..4 {
        sim.cluster.node(index).wait_until_ready().await;
    }
    assert_eq!(sim.cluster.requests().attempts("ApplyConfiguration"), 4);

    // Again, and nobody gets anything.
    sim.cluster.requests().clear();
    let run = with_configurations(&sim).start();
    let done = limited("a bootstrap", run.finish()).await.expect("up");
    assert!(!done.bootstrapped && done.configured.is_empty(), "{done:?}");
    assert_eq!(sim.cluster.requests().attempts("ApplyConfiguration"), 0);
}

#[tokio::test]
async fn machines_get_their_configurations_once_with_a_cut_at_every_step() {
    let outcomes = every_step(
        async || Sim::of(SimCluster::builder().workers(1).maintenance(..)).await,
        async |sim| {
            let bootstrap = ClusterBootstrap::of([sim.node(0)])
                .workers([sim.node(1)])
                .timeout(Duration::from_secs(20))
                .interval(Duration::from_millis(30));
            configured(sim, bootstrap).start().await
        },
        |_| true,
        async |sim| {
            for index in 0..2 {
                sim.cluster.node(index).wait_until_ready().await;
            }
            // One for each machine, and the one that was cut.
            assert!(sim.cluster.requests().attempts("ApplyConfiguration") <= 3);
        },
    )
    .await;
    assert!(
        outcomes
            .iter()
            .any(|outcome| outcome.cut.method.ends_with("/ApplyConfiguration")),
        "{outcomes:#?}"
    );
    assert_all_succeeded(&outcomes);
}

#[tokio::test]
async fn machines_of_an_older_release_become_a_cluster_as_well() {
    let sim = Sim::of(unconfigured().talos_version("v1.12.9")).await;
    let run = with_configurations(&sim).start();
    let done = limited("a bootstrap", run.finish()).await.expect("up");
    assert_eq!((done.configured.len(), done.bootstrapped), (4, true));
    assert_eq!(sim.node(3).version().await.expect("answered").tag(), "v1.12.9");
}

#[tokio::test]
async fn a_machine_with_another_fingerprint_gets_no_configuration() {
    let sim = Sim::of(unconfigured()).await;
    let other = "pnduMqbUZ/sQyDW1o4kP6c1u1PoB2gRQu8KEV38guAM=";
    let configuration = sim.cluster.node(0).generated_machine_config();
    let run = quick(&sim)
        .configure(sim.node(0), in_maintenance(&sim, 0, other), configuration)
        .timeout(Duration::from_secs(2))
        .start();
    let error = limited("a bootstrap", run.finish())
        .await
        .expect_err("another machine");
    // It may be one that was given its configuration before and is about to come up, so it is waited for.
    let BootstrapError::Timeout { step, reason, .. } = &error else {
        panic!("{}", chain(&error));
    };
    assert_eq!(*step, BootstrapStep::Configure);
    assert!(
        reason.contains("10.5.0.2") && reason.contains("fingerprint"),
        "{reason}"
    );
    assert_eq!(sim.cluster.requests().attempts("ApplyConfiguration"), 0);
}
