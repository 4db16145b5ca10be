//! Clusters of stand-ins for Talos in containers of a real engine: everything that surrounds the nodes.

use std::sync::mpsc;
use std::time::Duration;

use talos_testkit::MachineRole;
use talos_testkit::real::{Privileges, RealCluster, RealClusterBuilder, RealError};

use super::{dial, version};

/// A cluster of the image that the environment variable names; it needs no privileges.
fn stand_in() -> RealClusterBuilder {
    let image = std::env::var("TALOS_TESTKIT_STAND_IN");
    RealCluster::docker()
        .image(image.expect("TALOS_TESTKIT_STAND_IN names the image, see scripts/docker-harness"))
        .privileges(Privileges::Capabilities(Vec::new()))
        .size(1, 128)
        .patience(Duration::from_secs(60))
}

/// How many containers a cluster still had.
async fn left_of(name: &str) -> usize {
    RealCluster::destroy_named(None, name).await.unwrap()
}

// covers: machine.MachineService/Version
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine and the stand-in image"]
async fn a_cluster_is_created_used_and_destroyed() {
    let cluster = stand_in().control_planes(3).start().await.unwrap();
    let name = cluster.name().to_owned();
    let roles: Vec<_> = cluster.nodes().iter().map(|node| node.role).collect();
    assert_eq!(roles, [MachineRole::ControlPlane; 3]);
    assert_eq!(cluster.nodes()[2].name, format!("{name}-controlplane-3"));
    for node in cluster.nodes() {
        assert!(node.endpoint.starts_with("127.0.0.1:"), "{}", node.endpoint);
        assert!(
            version(&dial(&cluster, node).await, None)
                .await
                .starts_with("v1.")
        );
    }
    let found = RealCluster::from_talosconfig(cluster.talosconfig())
        .await
        .unwrap();
    assert_eq!(found.endpoints(), cluster.endpoints());
    found.destroy().await.unwrap();
    cluster.destroy().await.unwrap();
    assert_eq!(left_of(&name).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine and the stand-in image"]
async fn clusters_side_by_side_have_networks_of_their_own() {
    let (one, two) = (
        stand_in().start().await.unwrap(),
        stand_in().start().await.unwrap(),
    );
    assert_ne!(one.nodes()[0].address, two.nodes()[0].address);
    let error = stand_in().cluster_name(one.name()).start().await.unwrap_err();
    assert!(matches!(error, RealError::Exists { .. }), "{error}");
    version(&dial(&one, &one.nodes()[0]).await, None).await;
    one.destroy().await.unwrap();
    two.destroy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine and the stand-in image"]
async fn a_subnet_that_is_taken_is_an_error_and_leaves_nothing() {
    let one = stand_in().subnet("10.5.200.0/24").start().await.unwrap();
    assert_eq!(one.nodes()[0].address, "10.5.200.2");
    let taken = stand_in()
        .subnet("10.5.200.0/25")
        .cluster_name("talos-testkit-taken");
    let error = taken.start().await.unwrap_err();
    assert!(matches!(error, RealError::Engine { .. }), "{error}");
    assert_eq!(left_of("talos-testkit-taken").await, 0);
    one.destroy().await.unwrap();
}

#[test]
#[ignore = "needs a Docker engine and the stand-in image"]
fn a_panic_leaves_nothing() {
    let (sender, receiver) = mpsc::channel();
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let test = std::thread::spawn(move || {
        runtime().block_on(async {
            let cluster = stand_in().start().await.unwrap();
            sender.send(cluster.name().to_owned()).unwrap();
            panic!("as a test that fails");
        });
    });
    assert!(test.join().is_err());
    let name = receiver.recv().expect("the cluster was started");
    assert_eq!(runtime().block_on(left_of(&name)), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine and the stand-in image"]
async fn a_node_that_stops_is_an_error_with_its_log_and_leaves_nothing() {
    // A worker has no stand-in.
    let builder = stand_in().workers(1).cluster_name("talos-testkit-stops");
    let error = builder.start().await.unwrap_err();
    let RealError::Exited {
        node, exit_code, log, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((node.as_str(), *exit_code), ("talos-testkit-stops-worker-1", 1));
    assert!(log.contains("a worker has no key of the authority"), "{log}");
    assert_eq!(left_of("talos-testkit-stops").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine and the stand-in image"]
async fn what_is_leaked_is_a_left_over() {
    let cluster = stand_in()
        .cluster_name("talos-testkit-leaked")
        .start()
        .await
        .unwrap();
    let node = cluster.nodes()[0].clone();
    let talosconfig = cluster.talosconfig().to_owned();
    cluster.leak();
    let found = RealCluster::from_talosconfig(&talosconfig).await.unwrap();
    assert!(version(&dial(&found, &node).await, None).await.starts_with("v1."));
    // The harness runs one test at a time: nothing else is left over.
    assert_eq!(RealCluster::destroy_leftovers(None).await.unwrap(), 1);
    assert_eq!(left_of("talos-testkit-leaked").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine and the stand-in image"]
async fn an_image_that_nobody_has_is_an_error_and_leaves_nothing() {
    let builder = stand_in()
        .image("localhost:1/no/such:image")
        .cluster_name("talos-testkit-imageless");
    let error = builder.start().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "pulling the image localhost:1/no/such:image failed"
    );
    assert_eq!(left_of("talos-testkit-imageless").await, 0);
}
