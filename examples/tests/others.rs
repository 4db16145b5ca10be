//! Runs the smaller programs on the simulated clusters inside them.

mod run;

use run::run;
use talos_testkit::SimCluster;

fn count(text: &str, wanted: &str) -> usize {
    text.lines().filter(|line| line.contains(wanted)).count()
}

#[tokio::test]
async fn logs_of_all_nodes_are_followed_side_by_side() {
    let (success, stdout, stderr) = run("log-tail", &["--tail", "2"]).await;
    assert!(success, "{stdout}{stderr}");
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
    let (success, stdout, _) = run("log-tail", &arguments).await;
    assert!(success, "{stdout}");
    assert_eq!(count(&stdout, "nonsense"), 2, "{stdout}");
}

#[tokio::test]
async fn layers_see_calls_once_and_their_attempts_each() {
    let (success, stdout, stderr) = run("custom-layer", &[]).await;
    assert!(success, "{stdout}{stderr}");
    assert_eq!(count(&stdout, "call     Version of 10.5.0."), 3, "{stdout}");
    // Three calls, one of which took three attempts.
    assert_eq!(count(&stdout, "attempts Version: 5"), 1, "{stdout}");
}
