//! Changes of machine configurations: what is read, sent and undone.

use std::{error::Error as _, time::Duration};

use talos_client::{
    ErrorKind, Origin,
    api::machine::{AppliedMode, ApplyMode},
    proto::machine as proto,
    workflow::machine_config::{ConfigChange, ConfigChangeReport, ConfigPatch, PatchError},
};
use talos_testkit::SimCluster;

use super::faulted;
use crate::support::{Sim, message, shown};

const APPLY: &str = "/machine.MachineService/ApplyConfiguration";
const SANS: &str = "machine:\n  certSANs: [hunter2.example.org]\n";

async fn one() -> Sim {
    Sim::of(SimCluster::builder()).await
}

fn patch(text: &str) -> ConfigPatch {
    ConfigPatch::parse(text).expect("a patch")
}

fn change(sim: &Sim) -> ConfigChange {
    ConfigChange::new(&sim.node(0)).patch(patch(SANS))
}

/// How often the patch is in a configuration.
fn patched(config: Option<String>) -> usize {
    config
        .expect("a configuration")
        .matches("hunter2.example.org")
        .count()
}

/// The requests that arrived, in their order.
fn applied(sim: &Sim) -> Vec<proto::ApplyConfigurationRequest> {
    sim.cluster.requests().of(APPLY).iter().map(message).collect()
}

#[tokio::test]
async fn a_patch_arrives_as_a_whole_configuration() {
    let sim = one().await;
    let before = sim.cluster.node(0).machine_config().expect("a configuration");
    let mut run = change(&sim).run();
    let mut progress = Vec::new();
    while let Some(item) = run.next_progress().await {
        progress.push(item.to_string());
    }
    let ConfigChangeReport::Applied(answer) = run.finish().await.expect("applied") else {
        panic!("there was something to change")
    };
    assert_eq!(answer.mode, AppliedMode::NoReboot);
    assert_eq!(progress.len(), 4, "{progress:?}");
    let requests = applied(&sim);
    assert_eq!(requests.len(), 1);
    assert!(requests[0].mode == 1 && !requests[0].dry_run);
    let sent = String::from_utf8(requests[0].data.to_vec()).expect("text");
    assert_eq!(sent.matches("hunter2.example.org").count(), 1);
    assert_eq!(
        sent.matches("\nkind: ").count(),
        before.matches("\nkind: ").count(),
        "no document is lost"
    );
    assert_eq!(patched(sim.cluster.node(0).machine_config()), 1);
    assert_eq!(patched(sim.cluster.node(0).persistent_machine_config()), 1);
}

#[tokio::test]
async fn nothing_is_sent_where_nothing_changes_or_something_is_wrong() {
    let sim = one().await;
    let node = sim.node(0);
    let report = ConfigChange::new(&node).patch(patch("machine: {}\n")).run().await;
    assert!(matches!(report, Ok(ConfigChangeReport::Unchanged)), "{report:?}");
    let current = ConfigChange::read(&node).await.expect("read");
    let report = ConfigChange::new(&node).replace_with(current).run().await;
    assert!(matches!(report, Ok(ConfigChangeReport::Unchanged)), "{report:?}");

    let delete = patch("machine:\n  nothing: {$patch: delete}\n");
    let error = ConfigChange::new(&node)
        .patch(delete)
        .run()
        .await
        .expect_err("not there");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::InvalidInput, Origin::Local)
    );
    let source = error.source().and_then(|source| source.downcast_ref());
    assert!(
        matches!(source, Some(PatchError::NotFound { path, .. }) if path == "machine.nothing"),
        "{error:#}"
    );
    for text in ["", "a: hunter2\n", "machine: hunter2\n", "machine: [\n"] {
        let error = ConfigChange::new(&node)
            .replace_with(text)
            .run()
            .await
            .expect_err(text);
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{text}: {error:#}");
        assert!(!shown(&error).contains("hunter2"));
    }
    assert!(applied(&sim).is_empty());
}

#[tokio::test]
async fn what_the_node_refuses_changes_nothing() {
    let sim = one().await;
    let before = sim.cluster.node(0).machine_config();
    let unknown = patch("machine:\n  unheardOf: hunter2\n");
    let change = ConfigChange::new(&sim.node(0)).patch(unknown);
    for trial in [false, true] {
        let error = match trial {
            true => change.clone().try_for(Duration::from_secs(60)).await.map(drop),
            false => change.clone().run().await.map(drop),
        };
        let error = error.expect_err("refused");
        assert_eq!(
            (error.kind(), error.origin()),
            (ErrorKind::InvalidArgument, Origin::Node),
            "{error:#}"
        );
    }
    assert_eq!(sim.cluster.node(0).machine_config(), before);
}

#[tokio::test]
async fn a_preview_changes_nothing() {
    let sim = one().await;
    let preview = change(&sim).preview().await.expect("asked");
    assert!(preview.changed);
    assert!(preview.diff.expose().contains("hunter2.example.org"));
    assert!(!format!("{preview:?}").contains("hunter2"));
    let requests = applied(&sim);
    // A dry run of any other mode would end a trial that is under way.
    assert!(requests.len() == 1 && requests[0].dry_run && requests[0].mode == 4);
    assert_eq!(patched(sim.cluster.node(0).machine_config()), 0);
}

#[tokio::test]
async fn a_staged_change_waits_for_the_next_boot() {
    let sim = one().await;
    change(&sim).mode(ApplyMode::Staged).run().await.expect("staged");
    assert_eq!(applied(&sim)[0].mode, 3);
    assert_eq!(patched(sim.cluster.node(0).machine_config()), 0);
    assert_eq!(patched(sim.cluster.node(0).persistent_machine_config()), 1);
}

#[tokio::test]
async fn a_trial_is_permanent_when_it_is_confirmed() {
    let sim = one().await;
    let node = sim.cluster.node(0);
    let trial = change(&sim)
        .try_for(Duration::from_secs(90))
        .await
        .expect("tried");
    assert!(trial.remaining() > Duration::from_secs(30));
    assert_eq!(patched(node.machine_config()), 1);
    assert_eq!(patched(node.persistent_machine_config()), 0);
    trial.confirm().await.expect("confirmed");
    assert_eq!(patched(node.persistent_machine_config()), 1);
    let requests = applied(&sim);
    assert_eq!(
        requests.iter().map(|request| request.mode).collect::<Vec<_>>(),
        [4, 2]
    );
    assert_eq!(requests[0].try_mode_timeout.expect("a time").seconds, 90);
    assert_eq!(requests[0].data, requests[1].data);
}

#[tokio::test]
async fn a_trial_can_be_undone_at_once() {
    let sim = one().await;
    let node = sim.cluster.node(0);
    let trial = change(&sim)
        .try_for(Duration::from_secs(90))
        .await
        .expect("tried");
    trial.undo().await.expect("undone");
    assert_eq!(patched(node.machine_config()), 0);
    let error = trial.confirm().await.expect_err("it is not there any more");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::FailedPrecondition, Origin::Local)
    );
    assert_eq!(applied(&sim).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_nobody_confirms_undoes_itself() {
    let sim = one().await;
    let trial = change(&sim)
        .try_for(Duration::from_secs(60))
        .await
        .expect("tried");
    tokio::time::advance(Duration::from_secs(61)).await;
    let error = trial.confirm().await.expect_err("over");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::FailedPrecondition, Origin::Local)
    );
    assert_eq!(applied(&sim).len(), 1, "nothing comes back by it");
    while patched(sim.cluster.node(0).machine_config()) > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_change_is_there_once_wherever_the_connection_is_cut() {
    faulted::every_step(
        async || one().await,
        async |sim| change(sim).run().await,
        |error| error.is_retriable() || error.is_unreachable(),
        async |sim| {
            assert_eq!(patched(sim.cluster.node(0).machine_config()), 1);
            assert_eq!(patched(sim.cluster.node(0).persistent_machine_config()), 1);
        },
    )
    .await;
}
