//! Kubernetes beside Talos, against the simulated API over real TLS.

mod access;
mod drain;
mod health;
mod pod;
#[cfg(feature = "support-bundle")]
mod support;
mod upgrade;

use std::time::Duration;

use talos_client::workflow::kubernetes::{DrainOptions, Kubernetes};
use talos_testkit::{SimCluster, SimClusterBuilder, kubernetes::SimKubernetes};

use crate::support::Sim;

/// Three control plane nodes and two workers, with Kubernetes.
fn five() -> SimClusterBuilder {
    SimCluster::builder()
        .control_planes(3)
        .workers(2)
        .kubernetes(true)
}

fn kubernetes(sim: &Sim) -> SimKubernetes {
    sim.cluster.kubernetes().expect("Kubernetes is on")
}

fn access(sim: &Sim) -> Kubernetes {
    Kubernetes::of(&sim.client)
}

/// As quick as simulated pods.
fn quick() -> DrainOptions {
    DrainOptions::new()
        .timeout(Duration::from_secs(20))
        .ready_timeout(Duration::from_secs(20))
        .interval(Duration::from_millis(20))
}

/// Whether a node takes no pods.
fn is_cordoned(sim: &Sim, node: &str) -> bool {
    kubernetes(sim).node(node).expect("is a node").unschedulable
}
