//! Runs the quickstart as a user would: on the simulated cluster inside it, and on a cluster outside it.

use example_testing::{Lines, Outcome, Program, assert_recorded};
use talos_testkit::SimCluster;

async fn run(arguments: &[&str]) -> Outcome {
    Program::example("quickstart").run_beside(arguments).await
}

#[tokio::test]
async fn three_simulated_nodes_are_shown_without_arguments() {
    let outcome = run(&[]).await;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(outcome.stderr, "");
    for wanted in [
        "running, ready",
        "memory    [",
        "load      ",
        "kubelet    Running OK",
    ] {
        assert_eq!(outcome.count(wanted), 3, "{wanted:?} in:\n{outcome}");
    }
    assert!(outcome.count("machined  |") >= 3, "{outcome}");
}

#[tokio::test]
async fn a_dead_node_is_one_line_and_the_others_are_shown() {
    let outcome = run(&["--kill", "10.5.0.3"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(outcome.count("running, ready"), 2, "{outcome}");
    let errors: Vec<_> = outcome
        .stdout
        .lines()
        .filter(|line| line.starts_with("x "))
        .collect();
    assert_eq!(errors.len(), 1, "{outcome}");
    assert!(
        errors[0].contains("10.5.0.3") && errors[0].contains("connection refused"),
        "{outcome}"
    );
}

#[tokio::test]
async fn a_cluster_elsewhere_is_reached_through_its_talosconfig() {
    let cluster = SimCluster::builder()
        .control_planes(1)
        .workers(1)
        .start()
        .await
        .expect("started");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("talosconfig");
    cluster.talosconfig_builder().write_to(&path).expect("written");
    let path = path.to_str().expect("text");
    let nodes = cluster.nodes();

    let outcome = run(&[
        "--talosconfig",
        path,
        "--context",
        cluster.name(),
        "--nodes",
        &nodes.join(","),
    ])
    .await;
    assert_eq!(outcome.code, Some(0), "{outcome}");
    for node in &nodes {
        assert!(
            outcome.stdout.contains(&format!("● {node}  ")),
            "{node} in:\n{outcome}"
        );
    }

    let outcome = run(&["--talosconfig", path, "--context", "nope"]).await;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(
        outcome.stderr.contains("context \"nope\" not found") && outcome.stderr.contains(path),
        "{outcome}"
    );

    cluster.node(0).kill();
    cluster.node(1).kill();
    let outcome = run(&["--talosconfig", path, "--nodes", &nodes.join(",")]).await;
    assert_eq!(outcome.code, Some(1), "nobody answered: {outcome}");
    assert_eq!(outcome.count("no endpoint can be reached"), 2, "{outcome}");
}

#[tokio::test]
async fn what_it_prints_is_as_recorded() {
    let printed = run(&["--kill", "10.5.0.3"]).await.succeeded();
    // Calls are written down by nodes as they come.
    let incidental = ["machined  |"];
    assert_recorded("quickstart", &printed, Lines::InOrder, &incidental);
}
