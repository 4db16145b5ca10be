//! Runs the program on simulated machines.

use std::fs;

use example_testing::{Lines, Outcome, Program, assert_recorded};
use talos_testkit::{SimCluster, SimNode};

fn program() -> Program {
    Program::at(env!("CARGO_BIN_EXE_maintenance-install"))
}

#[test]
fn machines_become_a_cluster_with_a_kubeconfig() {
    let folder = tempfile::tempdir().expect("a folder");
    let below = folder.path().join("new");
    let outcome = program().run(&["--folder", below.to_str().expect("text")]);
    assert_eq!(outcome.code, Some(0), "{outcome}");
    assert_eq!(outcome.count("has its configuration"), 4, "{outcome}");
    assert_eq!(outcome.count("10.5.0.2 has bootstrapped etcd"), 1, "{outcome}");
    assert_eq!(
        outcome.count("4 machines configured, etcd bootstrapped"),
        1,
        "{outcome}"
    );
    let kubeconfig = fs::read_to_string(below.join("kubeconfig")).expect("written");
    assert!(kubeconfig.contains("kind: Config"), "{kubeconfig}");
}

/// Runs the program for a machine of a cluster, as somebody who read this fingerprint.
async fn install(cluster: &SimCluster, machine: &SimNode, fingerprint: &str) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let (talosconfig, configuration) = (folder.path().join("talosconfig"), folder.path().join("node.yaml"));
    cluster
        .talosconfig_builder()
        .write_to(&talosconfig)
        .expect("written");
    fs::write(&configuration, machine.generated_machine_config()).expect("written");
    let place = format!("{},{fingerprint},{}", machine.endpoint(), configuration.display());
    let text = |path: &std::path::Path| path.to_str().expect("text").to_owned();
    let (talosconfig, below) = (text(&talosconfig), text(folder.path()));
    let arguments = [
        "--talosconfig",
        &talosconfig,
        "--folder",
        &below,
        "--control-plane",
        &place,
        "--timeout",
        "5",
    ];
    program().run_beside(&arguments).await
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
    let outcome = install(&cluster, &machine, other).await;
    assert_eq!(outcome.code, Some(1), "{outcome}");
    assert!(outcome.stderr.contains("fingerprint"), "{outcome}");
    assert!(machine.is_in_maintenance());
    assert_eq!(cluster.requests().attempts("ApplyConfiguration"), 0);
}

#[test]
fn what_it_prints_is_as_recorded() {
    let printed = program().run(&[]).succeeded();
    // What is waited for is told where there is time to see it.
    let incidental = [
        "configuring machines: ",
        "waiting for nodes to boot: ",
        "bootstrapping etcd: ",
        "waiting for etcd: ",
        "waiting for nodes to be ready: ",
        "fetching the kubeconfig: ",
    ];
    assert_recorded("maintenance-install", &printed, Lines::InAnyOrder, &incidental);
}
