//! The simulator seen from outside, over real TLS, by clients that share no code with it but the protos.

mod routing;
mod wire;

use talos_testkit::{SimCluster, SimClusterBuilder};

/// Three control plane nodes and a worker.
fn four_nodes() -> SimClusterBuilder {
    SimCluster::builder().control_planes(3).workers(1)
}
