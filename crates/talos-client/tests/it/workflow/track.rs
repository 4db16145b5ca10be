//! Actions that are waited for.

use std::time::Duration;

use talos_client::{
    ErrorKind,
    api::{events::MachineStage, machine::SystemWipe},
    workflow::track::{Action, TrackError, TrackOptions, TrackProgress, TrackStep},
};
use talos_testkit::{
    ReadyCondition, SimCluster, Timings,
    fault::{CallFault, ConnectionFault},
};

use super::faulted::{Place, SHORT, chain, every_step, limited};
use crate::support::Sim;

/// Simulated machines need a fraction of a second for everything.
fn quick() -> TrackOptions {
    TrackOptions::new(Duration::from_secs(30)).interval(Duration::from_millis(30))
}

fn small() -> talos_testkit::SimClusterBuilder {
    SimCluster::builder().control_planes(2)
}

fn steps(progress: &[TrackProgress]) -> Vec<&TrackStep> {
    progress.iter().map(|item| &item.step).collect()
}

#[tokio::test]
async fn a_reboot_is_over_when_the_node_is_back_and_tells_what_happens() {
    let sim = Sim::start().await;
    let simulated = sim.cluster.node(1);
    let before = simulated.boot_id();
    let mut run = sim.node(1).reboot().and_wait(quick());
    let mut progress = Vec::new();
    while let Some(item) = run.next_progress().await {
        progress.push(item);
    }
    let done = run.finish().await.expect("done");
    assert!(done.rebooted && done.actor.is_some(), "{done:?}");
    assert_eq!(done.boot_id, Some(simulated.boot_id()));
    assert_ne!(simulated.boot_id(), before);

    let calls = sim.cluster.requests().all();
    let number = |name: &str| {
        calls
            .iter()
            .find(|call| call.name() == name)
            .map(|call| call.number)
    };
    assert!(number("Events") < number("Reboot"), "subscribed to first");
    let steps = steps(&progress);
    assert_eq!(steps[0], &TrackStep::Subscribed);
    assert!(matches!(steps[1], TrackStep::Accepted { actor: Some(_) }));
    let place = |wanted: &dyn Fn(&TrackStep) -> bool| steps.iter().position(|step| wanted(step));
    let task = place(&|step| matches!(step, TrackStep::Task { name, .. } if name == "stopAllPods"));
    let rebooted = place(&|step| *step == TrackStep::Rebooted);
    assert!(task.is_some() && task < rebooted, "{progress:#?}");
    assert_eq!(steps.last(), Some(&&TrackStep::Done));
    assert!(
        progress.windows(2).all(|pair| pair[0].percent <= pair[1].percent),
        "{progress:#?}"
    );
    assert_eq!(progress.last().map(|item| item.percent), Some(100));
}

#[tokio::test]
async fn a_shutdown_is_over_when_the_node_is_off() {
    for force in [false, true] {
        let sim = Sim::start().await;
        let run = sim.node(3).shutdown().force(force).and_wait(quick());
        let done = limited("a shutdown", run.finish()).await.expect("done");
        assert!(!done.rebooted && done.boot_id.is_none(), "{done:?}");
        assert!(!sim.cluster.node(3).is_running());
    }
}

#[tokio::test]
async fn a_node_of_one_is_followed_through_its_own_endpoint() {
    let sim = Sim::of(SimCluster::builder()).await;
    let before = sim.cluster.node(0).boot_id();
    let run = sim.node(0).reboot().and_wait(quick());
    limited("a reboot", run.finish()).await.expect("done");
    assert_ne!(sim.cluster.node(0).boot_id(), before);
    let run = sim.node(0).shutdown().and_wait(quick());
    limited("a shutdown", run.finish()).await.expect("done");
    assert!(!sim.cluster.node(0).is_running());
}

#[tokio::test]
async fn a_reset_that_keeps_the_configuration_comes_back() {
    let sim = Sim::start().await;
    let before = sim.cluster.node(3).boot_id();
    let wipe = SystemWipe::partitions(["EPHEMERAL"]);
    let run = sim.node(3).reset(wipe).reboot(true).and_wait(quick());
    let done = limited("a reset", run.finish()).await.expect("done");
    assert!(done.rebooted && !done.in_maintenance, "{done:?}");
    assert_ne!(sim.cluster.node(3).boot_id(), before);
}

#[tokio::test]
async fn a_reset_without_reboot_ends_with_the_node_off() {
    let sim = Sim::start().await;
    let run = sim
        .node(3)
        .reset(SystemWipe::partitions(["EPHEMERAL"]))
        .and_wait(quick());
    let done = limited("a reset", run.finish()).await.expect("done");
    assert!(!done.rebooted, "{done:?}");
    assert!(!sim.cluster.node(3).is_running());
}

#[tokio::test]
#[expect(deprecated, reason = "the old call is under test")]
async fn an_old_upgrade_and_its_rollback_are_followed() {
    let sim = Sim::of(SimCluster::builder().control_planes(3).talos_version("v1.12.9")).await;
    let node = sim.node(1);
    let run = node
        .legacy_upgrade("ghcr.io/siderolabs/installer:v1.13.2")
        .and_wait(quick());
    let done = limited("an upgrade", run.finish()).await.expect("done");
    assert!(done.rebooted);
    assert_eq!(node.version().await.expect("answered").tag(), "v1.13.2");
    let run = node.rollback_and_wait(quick());
    limited("a rollback", run.finish()).await.expect("done");
    assert_eq!(node.version().await.expect("answered").tag(), "v1.12.9");
}

#[tokio::test]
async fn events_are_not_needed() {
    let sim = Sim::start().await;
    // The first call gets as far as its hello.
    let fault = CallFault::on_endpoints()
        .method("Events")
        .after_messages(1)
        .disconnect();
    let fault = sim.cluster.inject(fault).expect("a fault");
    let before = sim.cluster.node(1).boot_id();
    let run = sim.node(1).reboot().and_wait(quick());
    limited("a reboot", run.finish()).await.expect("done");
    assert_ne!(sim.cluster.node(1).boot_id(), before);
    assert!(fault.hits() > 0);
}

#[tokio::test]
async fn an_operator_of_an_older_release_follows_by_events() {
    let sim = Sim::of(SimCluster::builder().control_planes(3).talos_version("v1.12.9")).await;
    let operator = sim.client_with_roles(&["os:operator"]);
    let node = operator.node(sim.cluster.node(2).name()).expect("a name");
    let before = sim.cluster.node(2).boot_id();
    let run = node.reboot().and_wait(quick());
    let done = limited("a reboot", run.finish()).await.expect("done");
    assert!(done.rebooted && done.boot_id.is_none(), "{done:?}");
    assert_ne!(sim.cluster.node(2).boot_id(), before);
}

#[tokio::test]
async fn a_network_that_is_away_for_a_while_does_not_matter() {
    let sim = Sim::start().await;
    let before = sim.cluster.node(1).boot_id();
    let mut run = sim.node(1).reboot().and_wait(quick());
    while let Some(item) = run.next_progress().await {
        if matches!(item.step, TrackStep::Accepted { .. }) {
            break;
        }
    }
    let fault = sim
        .cluster
        .inject(ConnectionFault::to_all().from_clients().refuse())
        .expect("a fault");
    for index in 0..3 {
        sim.cluster.node(index).disconnect_clients();
    }
    // The whole reboot happens meanwhile.
    let simulated = sim.cluster.node(1);
    let away = async {
        simulated.wait_until_ready_after(&before).await;
        fault.remove();
    };
    let (done, ()) = limited("a reboot", async { tokio::join!(run.finish(), away) }).await;
    let done = done.expect("done");
    assert!(done.rebooted, "{done:?}");
}

#[tokio::test]
async fn a_node_that_is_busy_says_so() {
    let sim = Sim::start().await;
    let simulated = sim.cluster.node(3);
    simulated.hold_task("cordonAndDrainNode");
    sim.node(3).shutdown().send().await.expect("accepted");
    simulated
        .wait_for_event(|event| event.name == "machine.PhaseEvent" && !event.actor_id.is_empty())
        .await;
    let run = sim
        .node(3)
        .reset(SystemWipe::partitions(["EPHEMERAL"]))
        .and_wait(quick());
    let error = limited("a reset", run.finish()).await.expect_err("busy");
    assert!(
        matches!(
            error,
            TrackError::Busy {
                action: Action::Reset,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.is_not_begun());
}

#[tokio::test]
async fn a_sequence_that_fails_is_the_error() {
    let sim = Sim::start().await;
    sim.cluster
        .node(3)
        .fail_next_task("stopAllPods", "a pod does not stop");
    let run = sim.node(3).reboot().and_wait(quick());
    let error = limited("a reboot", run.finish()).await.expect_err("fails");
    assert!(
        matches!(&error, TrackError::Failed { message, .. } if message.contains("a pod does not stop")),
        "{error}"
    );
}

#[tokio::test]
async fn a_node_that_never_gets_ready_ends_with_what_was_seen_last() {
    let sim = Sim::start().await;
    sim.cluster.node(3).hold_task("startAllServices");
    let options = TrackOptions::new(SHORT).interval(Duration::from_millis(30));
    let run = sim.node(3).reboot().and_wait(options);
    let error = limited("a reboot", run.finish()).await.expect_err("hangs");
    let TrackError::Timeout { timeout, seen, .. } = &error else {
        panic!("not in time: {error}");
    };
    assert_eq!(*timeout, SHORT);
    assert_eq!(seen.stage, Some(MachineStage::Booting));
    assert!(seen.rebooted && seen.reachable && seen.begun, "{seen:?}");
    assert_eq!(seen.task.as_deref(), Some("startAllServices"));
    assert!(error.to_string().contains("last seen booting"), "{error}");
}

#[tokio::test]
async fn a_node_that_does_not_come_back_ends_in_bounded_time() {
    let sim = Sim::start().await;
    let timings = Timings::default().with_downtime(Duration::from_secs(3600));
    sim.cluster.node(3).set_timings(timings);
    let options = TrackOptions::new(SHORT).interval(Duration::from_millis(30));
    let run = sim.node(3).reboot().and_wait(options);
    let error = limited("a reboot", run.finish()).await.expect_err("away");
    let TrackError::Timeout { seen, .. } = &error else {
        panic!("not in time: {error}");
    };
    assert!(
        !seen.reachable && !seen.rebooted && seen.failure.is_some(),
        "{seen:?}"
    );
}

#[tokio::test]
async fn readiness_is_waited_for() {
    let sim = Sim::start().await;
    let node = sim.cluster.node(3);
    node.hold_task("startAllServices");
    let mut run = sim.node(3).reboot().and_wait(quick());
    let mut unready = false;
    while let Some(item) = run.next_progress().await {
        match item.step {
            TrackStep::Rebooted => {
                node.set_condition(ReadyCondition::StaticPods, Some("not yet"));
                node.release_task("startAllServices");
            }
            TrackStep::Stage {
                stage: MachineStage::Running,
                ready: false,
                ..
            } => {
                unready = true;
                node.set_condition(ReadyCondition::StaticPods, None);
            }
            _ => {}
        }
    }
    run.finish().await.expect("done");
    assert!(unready);
}

#[tokio::test]
async fn a_role_that_may_not_reboot_is_told_at_once() {
    let sim = Sim::start().await;
    let reader = sim.client_with_roles(&["os:reader"]);
    let node = reader.node(sim.cluster.node(1).name()).expect("a name");
    let error = node.reboot().and_wait(quick()).await.expect_err("denied");
    let TrackError::NotBegun { source, .. } = &error else {
        panic!("not begun: {error}");
    };
    assert_eq!(source.kind(), ErrorKind::PermissionDenied);
    assert!(chain(&error).contains("not authorized"), "{}", chain(&error));
}

fn typed(error: &TrackError) -> bool {
    error.is_not_begun() || error.is_timeout()
}

#[tokio::test]
async fn a_reboot_with_a_cut_at_every_step_is_done_or_can_be_asked_for_again() {
    let outcomes = every_step(
        async || Sim::of(small()).await,
        async |sim| sim.node(1).reboot().and_wait(quick()).await,
        typed,
        async |sim| {
            assert_eq!(sim.cluster.node(1).running_sequence(), None);
            sim.cluster.node(1).wait_until_ready().await;
            assert!(sim.cluster.requests().attempts("Reboot") <= 2);
        },
    )
    .await;
    for outcome in &outcomes {
        let lost = outcome.cut.method.ends_with("/Reboot");
        let begun = outcome.cut.place == Place::After;
        // All others are made again, or not needed.
        assert_eq!(outcome.failure.is_some(), lost && !begun, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_shutdown_with_a_cut_at_every_step_is_done_or_can_be_asked_for_again() {
    every_step(
        async || Sim::of(small()).await,
        async |sim| sim.node(1).shutdown().and_wait(quick()).await,
        typed,
        async |sim| sim.cluster.node(1).wait_until_off().await,
    )
    .await;
}

#[tokio::test]
async fn a_reset_with_a_cut_at_every_step_is_done_or_can_be_asked_for_again() {
    every_step(
        async || Sim::of(small()).await,
        async |sim| {
            let wipe = SystemWipe::partitions(["EPHEMERAL"]);
            sim.node(1)
                .reset(wipe)
                .graceful(false)
                .reboot(true)
                .and_wait(quick())
                .await
        },
        typed,
        async |sim| sim.cluster.node(1).wait_until_ready().await,
    )
    .await;
}

#[tokio::test]
#[expect(deprecated, reason = "the old call is under test")]
async fn an_old_upgrade_with_a_cut_at_every_step_is_done_or_can_be_asked_for_again() {
    every_step(
        async || Sim::of(SimCluster::builder().workers(1).talos_version("v1.12.9")).await,
        async |sim| {
            let image = "ghcr.io/siderolabs/installer:v1.13.2";
            sim.node(1).legacy_upgrade(image).and_wait(quick()).await
        },
        typed,
        async |sim| {
            let version = sim.node(1).version().await.expect("answered");
            assert_eq!(version.tag(), "v1.13.2");
        },
    )
    .await;
}
