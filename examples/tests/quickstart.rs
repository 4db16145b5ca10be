//! Runs the quickstart as a user would: on the simulated cluster inside it, and on a cluster outside it.

mod run;

use std::env;

use talos_testkit::SimCluster;

fn count(text: &str, wanted: &str) -> usize {
    text.lines().filter(|line| line.contains(wanted)).count()
}

async fn run(arguments: &[&str]) -> (bool, String, String) {
    run::run("quickstart", arguments).await
}

#[tokio::test]
async fn three_simulated_nodes_are_shown_without_arguments() {
    let (success, stdout, stderr) = run(&[]).await;
    assert!(success, "{stdout}{stderr}");
    assert_eq!(stderr, "");
    for wanted in [
        "running, ready",
        "memory    [",
        "load      ",
        "kubelet    Running OK",
    ] {
        assert_eq!(count(&stdout, wanted), 3, "{wanted:?} in:\n{stdout}");
    }
    assert!(count(&stdout, "machined  |") >= 3, "{stdout}");
}

#[tokio::test]
async fn a_dead_node_is_one_line_and_the_others_are_shown() {
    let (success, stdout, _) = run(&["--kill", "10.5.0.3"]).await;
    assert!(success, "{stdout}");
    assert_eq!(count(&stdout, "running, ready"), 2, "{stdout}");
    let errors: Vec<_> = stdout.lines().filter(|line| line.starts_with("x ")).collect();
    assert_eq!(errors.len(), 1, "{stdout}");
    assert!(
        errors[0].contains("10.5.0.3") && errors[0].contains("connection refused"),
        "{stdout}"
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
    let folder = env::temp_dir().join(format!("quickstart-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let path = folder.join("talosconfig");
    cluster.talosconfig_builder().write_to(&path).expect("written");
    let path = path.to_str().expect("text");
    let nodes = cluster.nodes();

    let (success, stdout, stderr) = run(&[
        "--talosconfig",
        path,
        "--context",
        cluster.name(),
        "--nodes",
        &nodes.join(","),
    ])
    .await;
    assert!(success, "{stdout}{stderr}");
    for node in &nodes {
        assert!(stdout.contains(&format!("● {node}  ")), "{node} in:\n{stdout}");
    }

    let (success, stdout, stderr) = run(&["--talosconfig", path, "--context", "nope"]).await;
    assert!(!success, "{stdout}");
    assert!(
        stderr.contains("context \"nope\" not found") && stderr.contains(path),
        "{stderr}"
    );

    cluster.node(0).kill();
    cluster.node(1).kill();
    let (success, stdout, _) = run(&["--talosconfig", path, "--nodes", &nodes.join(",")]).await;
    assert!(!success, "nobody answered:\n{stdout}");
    assert_eq!(count(&stdout, "no endpoint can be reached"), 2, "{stdout}");
    std::fs::remove_dir_all(folder).expect("removed");
}
