//! The simulator seen from outside, over real TLS, by clients that share no code with it but the protos.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bootstrap;
mod certificates;
mod config;
mod control;
mod events;
mod faults;
mod files;
mod lifecycle;
mod logs;
mod maintenance;
mod meta;
mod power;
mod resource_control;
mod resource_server;
mod resources;
mod roles;
mod routing;
mod service_control;
mod serving;
mod several_nodes;
mod system;
mod upgrade;
mod wire;

use talos_testkit::{SimCluster, SimClusterBuilder};

/// Three control plane nodes and a worker.
fn four_nodes() -> SimClusterBuilder {
    SimCluster::builder().control_planes(3).workers(1)
}

/// One control plane node.
async fn single() -> SimCluster {
    SimCluster::builder().start().await.unwrap()
}
