//! Runs the program on the simulated cluster.

use example_testing::{Lines, Outcome, Program, assert_recorded};
use talos_testkit::SimCluster;

fn program() -> Program {
    Program::at(env!("CARGO_BIN_EXE_rolling-upgrade"))
}

fn run(arguments: &[&str]) -> Outcome {
    program().run(arguments)
}

#[test]
fn all_nodes_of_the_simulated_cluster_are_upgraded() {
    let outcome = run(&[]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(
        outcome.count("from v1.13.2: pull, install, reboot"),
        5,
        "{outcome}"
    );
    assert_eq!(outcome.count("from v1.13.2: upgraded in "), 5, "{outcome}");
}

#[test]
fn what_etcd_does_not_survive_is_done_by_force_only() {
    let outcome = run(&["--simulated-control-planes", "1"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(outcome.count("refused unless forced"), 1, "{outcome}");
    let outcome = run(&["--simulated-control-planes", "1", "--force"]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(outcome.count("upgraded in "), 3, "{outcome}");
}

#[test]
fn a_release_that_is_too_far_away_is_refused() {
    let outcome = run(&["--image", "ghcr.io/siderolabs/installer:v1.99.0"]);
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(outcome.count("not possible"), 5, "{outcome}");
    assert!(outcome.stderr.contains("nothing was done"), "{outcome}");
}

#[tokio::test]
async fn a_real_cluster_is_left_alone_without_permission() {
    let cluster = SimCluster::builder()
        .control_planes(3)
        .talos_version("v1.13.2")
        .start()
        .await
        .expect("started");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("talosconfig");
    let talosconfig = cluster.talosconfig_builder().nodes(cluster.nodes());
    talosconfig.write_to(&path).expect("written");
    let image = "ghcr.io/siderolabs/installer:v1.14.0";
    let arguments = ["--talosconfig", path.to_str().expect("text"), "--image", image];
    let outcome = program().run_beside(&arguments).await;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(outcome.count("run this again with --yes"), 1, "{outcome}");
    let requests = cluster.requests();
    for method in ["Upgrade", "Reboot", "Pull"] {
        assert_eq!(requests.attempts(method), 0, "{method}");
    }
}

#[test]
fn what_it_prints_is_as_recorded() {
    let printed = run(&[]).succeeded();
    // Where the machine is slow.
    let incidental = ["waiting for etcd"];
    assert_recorded("rolling-upgrade", &printed, Lines::InOrder, &incidental);
}

#[test]
fn all_that_is_heard_is_shown_to_those_who_ask() {
    let (brief, verbose) = (run(&[]), run(&["--verbose"]));
    for (text, in_brief) in [
        ("] 10.5.0.2: rebooted", 1),
        ("task ", 0),
        ("hook ", 0),
        ("installer: ", 20),
    ] {
        assert_eq!(brief.count(text), in_brief, "{text}: {brief}");
        assert!(verbose.count(text) >= in_brief.max(1), "{text}: {verbose}");
    }
}
