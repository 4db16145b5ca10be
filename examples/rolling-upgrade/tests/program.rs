//! Runs the program on the simulated cluster.

use std::process::{Command, Stdio};

use talos_testkit::SimCluster;

/// Whether it succeeded, its output, and what it said beside.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_rolling-upgrade"))
        .args(arguments)
        .stdin(Stdio::null())
        .env_remove("TALOSCONFIG")
        .output()
        .expect("the program is built beside its tests");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn count(text: &str, wanted: &str) -> usize {
    text.lines().filter(|line| line.contains(wanted)).count()
}

#[test]
fn all_nodes_of_the_simulated_cluster_are_upgraded() {
    let (code, stdout, stderr) = run(&[]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(
        count(&stdout, "from v1.13.2: pull, install, reboot"),
        5,
        "{stdout}"
    );
    assert_eq!(count(&stdout, "from v1.13.2: upgraded in "), 5, "{stdout}");
}

#[test]
fn what_etcd_does_not_survive_is_done_by_force_only() {
    let (code, stdout, stderr) = run(&["--simulated-control-planes", "1"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert_eq!(count(&stdout, "refused unless forced"), 1, "{stdout}");
    let (code, stdout, stderr) = run(&["--simulated-control-planes", "1", "--force"]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(count(&stdout, "upgraded in "), 3, "{stdout}");
}

#[test]
fn a_release_that_is_too_far_away_is_refused() {
    let (code, stdout, stderr) = run(&["--image", "ghcr.io/siderolabs/installer:v1.99.0"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert_eq!(count(&stdout, "not possible"), 5, "{stdout}");
    assert!(stderr.contains("nothing was done"), "{stderr}");
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
    let (code, stdout, stderr) = tokio::task::spawn_blocking(move || {
        run(&["--talosconfig", path.to_str().expect("text"), "--image", image])
    })
    .await
    .expect("not panicked");
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(count(&stdout, "run this again with --yes"), 1, "{stdout}");
    let requests = cluster.requests();
    for method in ["Upgrade", "Reboot", "Pull"] {
        assert_eq!(requests.attempts(method), 0, "{method}");
    }
}
