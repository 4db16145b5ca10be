//! Clusters of real Talos nodes: started in containers, or running somewhere already.
//!
//! The same tests that run against [`SimCluster`](crate::SimCluster) in milliseconds can run against Talos
//! itself, in a slower job. [`RealCluster::docker`] starts nodes through the Docker Engine API, as
//! `talosctl cluster create docker` does; [`RealCluster::from_talosconfig`] takes a cluster that is there. Both
//! give a talosconfig, endpoints and nodes.
//!
//! ```no_run
//! use talos_testkit::real::RealCluster;
//!
//! # async fn example() -> Result<(), talos_testkit::real::RealError> {
//! let cluster = RealCluster::docker().control_planes(1).workers(1).start().await?;
//! // Hand this to the program under test.
//! let talosconfig = cluster.talosconfig();
//! # let _ = talosconfig;
//! cluster.destroy().await?;
//! # Ok(())
//! # }
//! ```

mod builder;
mod cleanup;
mod connection;
mod credentials_file;
mod engine;
mod error;
mod existing;
mod ready;
mod recipe;
mod stand_in;
mod subnet;

use crate::node::MachineRole;
use cleanup::Cleanup;
use engine::Engine;

pub use builder::RealClusterBuilder;
pub use error::RealError;
pub use recipe::Privileges;
pub use stand_in::{StandInError, start_stand_in};

/// A cluster of real nodes.
///
/// One that was started here is removed when this is dropped, also while a test panics: dropping then takes as
/// long as stopping the containers. [`RealCluster::destroy`] does the same and reports failures.
#[derive(Debug)]
#[must_use]
pub struct RealCluster {
    name: String,
    talosconfig: String,
    endpoints: Vec<String>,
    nodes: Vec<RealNode>,
    /// How to remove what was started here.
    origin: Option<(Engine, Cleanup)>,
}

/// A node of a [`RealCluster`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RealNode {
    /// Host name; also that of the container, if there is one.
    pub name: String,
    /// The value of `node` metadata: its address inside the cluster.
    pub address: String,
    /// What kind of node it is.
    pub role: MachineRole,
    /// Host and port of its own API: where the engine publishes it, or port 50000 of the address.
    pub endpoint: String,
}

impl RealCluster {
    /// Describes a cluster to start through the Docker Engine API.
    pub fn docker() -> RealClusterBuilder {
        RealClusterBuilder::default()
    }

    /// Name of the cluster: the context in its talosconfig.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A talosconfig with the role `os:admin`, or the one that was given.
    #[must_use]
    pub fn talosconfig(&self) -> &str {
        &self.talosconfig
    }

    /// What to dial: the published APIs of the control plane nodes, or the endpoints of the talosconfig.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// All nodes, control planes first.
    #[must_use]
    pub fn nodes(&self) -> &[RealNode] {
        &self.nodes
    }

    /// Stops and removes the containers of the cluster, their volumes and the network. Does nothing to a cluster
    /// that was not started here.
    ///
    /// # Errors
    ///
    /// [`RealError::Engine`] with the first failure; the rest is removed all the same.
    pub async fn destroy(mut self) -> Result<(), RealError> {
        match self.origin.take() {
            Some((engine, cleanup)) => cleanup.run(&engine).await,
            None => Ok(()),
        }
    }

    /// Leaves the containers running, for a look at them after a failed test. Remove them with
    /// [`RealCluster::destroy_named`].
    pub fn leak(mut self) {
        if let Some((_, cleanup)) = &mut self.origin {
            cleanup.disarm();
        }
    }

    /// Removes the cluster with this name, if there is one, from the engine (see [`RealClusterBuilder::engine`]).
    /// Gives the number of containers that were removed.
    ///
    /// # Errors
    ///
    /// [`RealError::Engine`] with the first failure.
    pub async fn destroy_named(engine: Option<&str>, name: &str) -> Result<usize, RealError> {
        let engine = Engine::connect(engine).await?;
        engine.remove(&recipe::cluster_filter(name)).await
    }

    /// Removes every cluster that the testkit started on the engine, whoever uses it: what is left when a process
    /// was killed. Clusters of `talosctl` stay. Gives the number of containers that were removed.
    ///
    /// # Errors
    ///
    /// [`RealError::Engine`] with the first failure.
    pub async fn destroy_leftovers(engine: Option<&str>) -> Result<usize, RealError> {
        let engine = Engine::connect(engine).await?;
        engine.remove(&recipe::our_filter()).await
    }
}
