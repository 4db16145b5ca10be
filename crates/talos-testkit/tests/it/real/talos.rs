//! Clusters of Talos itself.

use talos_testkit::MachineRole;
use talos_testkit::real::RealCluster;

use super::{dial, version};

/// The default image, or the one that the environment variable names.
fn talos() -> talos_testkit::real::RealClusterBuilder {
    let builder = RealCluster::docker();
    match std::env::var("TALOS_TESTKIT_TALOS_IMAGE") {
        Ok(image) => builder.image(image),
        Err(_) => builder,
    }
}

// covers: machine.MachineService/Version
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a Docker engine with full privileges, and Talos's image"]
async fn nodes_answer_by_themselves_and_through_each_other() {
    let cluster = talos().control_planes(1).workers(1).start().await.unwrap();
    let [plane, worker] = cluster.nodes() else {
        panic!("{:?}", cluster.nodes());
    };
    assert_eq!(
        (plane.role, worker.role),
        (MachineRole::ControlPlane, MachineRole::Worker)
    );
    let wire = dial(&cluster, plane).await;
    let own = version(&wire, None).await;
    assert_eq!(version(&wire, Some(&worker.address)).await, own);
    assert_eq!(version(&dial(&cluster, worker).await, None).await, own);
    cluster.destroy().await.unwrap();
}
