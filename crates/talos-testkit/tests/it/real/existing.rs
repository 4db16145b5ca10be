//! A cluster that is found by its talosconfig.

use talos_testkit::real::{RealCluster, RealError};
use talos_testkit::{MachineRole, SimCluster};

// covers: machine.MachineService/Version
// covers: cosi.resource.State/Get
// covers: cosi.resource.State/List
#[tokio::test]
async fn a_talosconfig_leads_to_the_nodes_of_a_cluster() {
    let sim = crate::four_nodes().start().await.unwrap();
    let cluster = RealCluster::from_talosconfig(&sim.talosconfig()).await.unwrap();
    assert_eq!(cluster.name(), "sim");
    assert_eq!(cluster.endpoints(), sim.endpoints());
    let nodes: Vec<_> = cluster
        .nodes()
        .iter()
        .map(|node| {
            (
                node.name.as_str(),
                node.address.as_str(),
                node.endpoint.as_str(),
                node.role,
            )
        })
        .collect();
    assert_eq!(
        nodes,
        [
            (
                "sim-controlplane-1",
                "10.5.0.2",
                "10.5.0.2:50000",
                MachineRole::ControlPlane
            ),
            (
                "sim-controlplane-2",
                "10.5.0.3",
                "10.5.0.3:50000",
                MachineRole::ControlPlane
            ),
            (
                "sim-controlplane-3",
                "10.5.0.4",
                "10.5.0.4:50000",
                MachineRole::ControlPlane
            ),
            ("sim-worker-1", "10.5.0.5", "10.5.0.5:50000", MachineRole::Worker),
        ]
    );
    cluster.destroy().await.unwrap();
    assert!(
        sim.node(0).is_running(),
        "a cluster that is not ours is left alone"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_does_not_answer_is_an_error_after_a_while() {
    let sim = SimCluster::builder().start().await.unwrap();
    sim.node(0).kill();
    let error = RealCluster::from_talosconfig(&sim.talosconfig())
        .await
        .unwrap_err();
    let RealError::NotReady { last, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(last.starts_with("Unavailable: "), "{last}");
}
