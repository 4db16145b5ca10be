//! The simulator seen from outside, over real TLS, by clients that share no code with it but the protos.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod apply_config;
mod bootstrap;
mod capture;
mod certificates;
mod client_config;
mod containers;
mod control;
mod debug;
mod etcd;
mod events;
mod faults;
mod fidelity;
mod files;
mod health;
mod images;
mod kernel;
#[cfg(feature = "kubernetes")]
mod kubernetes;
mod lifecycle;
#[cfg(unix)]
mod local;
mod logs;
mod maintenance;
mod meta;
mod omni;
mod power;
#[cfg(feature = "real")]
mod real;
mod resource_control;
mod resource_server;
mod resources;
mod robustness;
mod roles;
mod routing;
mod scale;
#[cfg(feature = "scenario")]
mod scenario;
mod service_control;
mod serving;
mod several_nodes;
#[cfg(feature = "sim")]
mod sim;
mod storage;
mod system;
mod time;
mod tree;
mod trustd;
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
