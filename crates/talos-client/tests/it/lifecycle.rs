//! Installers on a node, while the caller listens.

use std::error::Error as _;

use talos_client::{
    ErrorKind, Node, Origin,
    api::{containerd::Containerd, lifecycle::InstallerExit},
    proto::machine as proto,
};
use talos_testkit::SimCluster;

use crate::support::{Sim, message};

const UPGRADE: &str = "/machine.LifecycleService/Upgrade";
const IMAGE: &str = "ghcr.io/siderolabs/installer:v1.14.2";

/// Fetches the installer, and returns its pinned name.
async fn pulled(node: &Node) -> String {
    let images = node.images().of(Containerd::System);
    let pull = images.pull(IMAGE).send().await.expect("begun");
    pull.finish().await.expect("it is there")
}

// covers: machine.LifecycleService/Upgrade
#[tokio::test]
async fn an_upgrade_is_written_while_it_is_listened_to_and_counts_from_the_next_boot_on() {
    let sim = Sim::of(SimCluster::builder()).await;
    let (node, simulated) = (sim.node(0), sim.cluster.node(0));
    let image = pulled(&node).await;
    let boot_id = simulated.boot_id();
    let mut installer = node.lifecycle().upgrade(&image).send().await.expect("begun");
    let mut lines = 0;
    while let Some(line) = installer.next_line().await {
        let line = line.expect("it succeeds");
        assert!(!line.ends_with('\n'), "{line:?}");
        lines += 1;
    }
    assert!(lines > 1);
    let request: proto::LifecycleServiceUpgradeRequest = sim.received_by(0, UPGRADE);
    assert_eq!(request.source.expect("an image").image_name, image);
    let store = request.containerd.expect("a store");
    assert_eq!((store.driver, store.namespace), (1, 1));
    assert_eq!(simulated.boot_id(), boot_id, "nothing restarts");
    node.reboot().send().await.expect("accepted");
    simulated.wait_until_ready_after(&boot_id).await;
    assert_eq!(node.version().await.expect("answered").tag(), "v1.14.2");
}

// covers: machine.LifecycleService/Upgrade
#[tokio::test]
async fn an_installer_that_fails_is_an_error_with_its_exit_code() {
    let sim = Sim::of(SimCluster::builder()).await;
    let node = sim.node(0);
    let image = pulled(&node).await;
    sim.cluster
        .node(0)
        .set_next_installer_exit(6, "the disk is on fire\ngiving up");
    let mut installer = node.lifecycle().upgrade(&image).send().await.expect("begun");
    let mut last = String::new();
    let error = loop {
        match installer.next_line().await.expect("no success") {
            Ok(line) => last = line,
            Err(error) => break error,
        }
    };
    assert_eq!(last, "giving up");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Internal, Origin::Node),
        "{error:#}"
    );
    let exit = error
        .source()
        .and_then(|source| source.downcast_ref::<InstallerExit>());
    assert_eq!(exit.map(|exit| exit.code()), Some(6));
    assert!(installer.next_line().await.is_none());

    let error = node.lifecycle().upgrade("example.org/nope:1").send().await;
    let error = match error {
        Ok(installer) => installer.finish().await.expect_err("it is not there"),
        Err(error) => error,
    };
    assert!(
        error.to_string().contains("not found in containerd store"),
        "{error:#}"
    );
    let calls = sim.cluster.requests().of(UPGRADE);
    let images: Vec<_> = calls
        .iter()
        .map(message::<proto::LifecycleServiceUpgradeRequest>)
        .filter_map(|request| request.source)
        .map(|source| source.image_name)
        .collect();
    assert_eq!(images, [image, "example.org/nope:1".to_owned()]);
}

// covers: machine.LifecycleService/Install
#[tokio::test]
async fn a_node_that_is_installed_is_not_installed_again() {
    let sim = Sim::of(SimCluster::builder()).await;
    let node = sim.node(0);
    let image = pulled(&node).await;
    let error = match node.lifecycle().install(&image, "/dev/vda").send().await {
        Ok(installer) => installer.finish().await.expect_err("installed"),
        Err(error) => error,
    };
    assert_eq!(error.kind(), ErrorKind::AlreadyExists, "{error:#}");
    let request: proto::LifecycleServiceInstallRequest =
        sim.received_by(0, "/machine.LifecycleService/Install");
    assert_eq!(request.destination.expect("a disk").disk, "/dev/vda");
}
