//! Runs the smaller programs on the simulated clusters inside them.

use example_testing::{Lines, Program, assert_recorded, count};
use talos_testkit::SimCluster;

#[test]
fn logs_of_all_nodes_are_followed_side_by_side() {
    let stdout = Program::example("log-tail").run(&["--tail", "2"]).succeeded();
    for node in ["10.5.0.2: ", "10.5.0.3: ", "10.5.0.4: "] {
        assert!(count(&stdout, node) >= 1, "{node}: {stdout}");
    }
    assert!(count(&stdout, "simulated line") >= 1, "{stdout}");
}

#[tokio::test]
async fn an_unknown_service_is_an_error_of_each_node() {
    let cluster = SimCluster::builder()
        .control_planes(2)
        .start()
        .await
        .expect("started");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("talosconfig");
    let talosconfig = cluster.talosconfig_builder().nodes(cluster.nodes());
    talosconfig.write_to(&path).expect("written");
    let arguments = ["--talosconfig", path.to_str().expect("text"), "nonsense"];
    let outcome = Program::example("log-tail").run_beside(&arguments).await;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert_eq!(outcome.count("nonsense"), 2, "{outcome}");
}

#[test]
fn layers_see_calls_once_and_their_attempts_each() {
    let stdout = Program::example("custom-layer").run(&[]).succeeded();
    assert_eq!(count(&stdout, "call     Version of 10.5.0."), 3, "{stdout}");
    // Three calls, one of which took three attempts.
    assert_eq!(count(&stdout, "attempts Version: 5"), 1, "{stdout}");
}

#[test]
fn what_they_print_is_as_recorded() {
    let log = Program::example("log-tail").run(&["--tail", "1"]).succeeded();
    // The last line of a node, unless it has written another one before it is asked.
    let incidental = ["Health check"];
    assert_recorded("log-tail", &log, Lines::InAnyOrder, &incidental);
    let layers = Program::example("custom-layer").run(&[]).succeeded();
    assert_recorded("custom-layer", &layers, Lines::InOrder, &[]);
}
