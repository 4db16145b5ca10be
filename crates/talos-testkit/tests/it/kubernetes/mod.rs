//! The Kubernetes API, seen by a client that knows nothing but HTTP and JSON.

mod access;
mod client;
mod evictions;
mod faults;
mod lists;
mod machines;
mod nodes;
mod robustness;
mod watches;

use talos_testkit::kubernetes::{KubePod, PodOwner};
use talos_testkit::{SimCluster, SimClusterBuilder};

/// One control plane node and two workers.
fn builder() -> SimClusterBuilder {
    SimCluster::builder().workers(2).kubernetes(true)
}

async fn small() -> SimCluster {
    builder().start().await.unwrap()
}

/// A pod of the ReplicaSet `web`.
fn web(name: &str, node: &str) -> KubePod {
    KubePod::new("default", name)
        .owned_by(PodOwner::ReplicaSet, "web")
        .label("app", "web")
        .on_node(node)
}
