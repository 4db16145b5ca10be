//! Runs the program on simulated machines.

use std::{
    fs,
    process::{Command, Stdio},
};

use talos_testkit::{SimCluster, SimNode};

/// Its exit code, its output, and what it said beside.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_maintenance-install"))
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
fn machines_become_a_cluster_with_a_kubeconfig() {
    let folder = tempfile::tempdir().expect("a folder");
    let below = folder.path().join("new");
    let (code, stdout, stderr) = run(&["--folder", below.to_str().expect("text")]);
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    assert_eq!(count(&stdout, "has its configuration"), 4, "{stdout}");
    assert_eq!(count(&stdout, "10.5.0.2 has bootstrapped etcd"), 1, "{stdout}");
    assert_eq!(
        count(&stdout, "4 machines configured, etcd bootstrapped"),
        1,
        "{stdout}"
    );
    let kubeconfig = fs::read_to_string(below.join("kubeconfig")).expect("written");
    assert!(kubeconfig.contains("kind: Config"), "{kubeconfig}");
}

/// Runs the program for a machine of a cluster, as somebody who read this fingerprint.
async fn install(
    cluster: &SimCluster,
    machine: &SimNode,
    fingerprint: &str,
) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let (talosconfig, configuration) = (folder.path().join("talosconfig"), folder.path().join("node.yaml"));
    cluster
        .talosconfig_builder()
        .write_to(&talosconfig)
        .expect("written");
    fs::write(&configuration, machine.generated_machine_config()).expect("written");
    let place = format!("{},{fingerprint},{}", machine.endpoint(), configuration.display());
    tokio::task::spawn_blocking(move || {
        let text = |path: &std::path::Path| path.to_str().expect("text").to_owned();
        let (talosconfig, folder) = (text(&talosconfig), text(folder.path()));
        run(&[
            "--talosconfig",
            &talosconfig,
            "--folder",
            &folder,
            "--control-plane",
            &place,
            "--timeout",
            "5",
        ])
    })
    .await
    .expect("not panicked")
}

#[tokio::test]
async fn a_machine_with_another_fingerprint_gets_no_secrets() {
    let cluster = SimCluster::builder()
        .maintenance(..)
        .start()
        .await
        .expect("started");
    let machine = cluster.node(0);
    let other = "pnduMqbUZ/sQyDW1o4kP6c1u1PoB2gRQu8KEV38guAM=";
    let (code, stdout, stderr) = install(&cluster, &machine, other).await;
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stderr.contains("fingerprint"), "{stderr}");
    assert!(machine.is_in_maintenance());
    assert_eq!(cluster.requests().attempts("ApplyConfiguration"), 0);
}
