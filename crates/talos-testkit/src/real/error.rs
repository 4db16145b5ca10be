//! What can go wrong with a real cluster.

use std::error::Error;
use std::time::Duration;

use crate::pki::PkiError;

/// Why a real cluster could not be started, found or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RealError {
    /// The cluster was asked to have no control plane node.
    #[error("a cluster needs at least one control plane node")]
    NoControlPlane,
    /// The name cannot be one of a network and of host names.
    #[error(
        "the cluster name {name:?} must be 1 to 40 lower-case letters, digits and dashes, a letter first"
    )]
    Name {
        /// The name asked for.
        name: String,
    },
    /// The text is no IPv4 network.
    #[error("{text:?} is no IPv4 network such as 10.5.0.0/24")]
    Subnet {
        /// The text.
        text: String,
    },
    /// The network has too few addresses.
    #[error("{nodes} nodes do not fit into {subnet}")]
    TooManyNodes {
        /// Number of nodes asked for.
        nodes: usize,
        /// The network.
        subnet: String,
    },
    /// No subnet was asked for, and all that the testkit takes are in use on the engine.
    #[error("every network from 10.5.0.0/24 to 10.5.63.0/24 overlaps with one of the engine's")]
    NoFreeSubnet,
    /// There is a cluster with this name.
    #[error("the engine has a cluster called {name} already")]
    Exists {
        /// Name of the cluster.
        name: String,
    },
    /// The Docker engine cannot be reached, or refused a request.
    #[error("{doing} failed")]
    Engine {
        /// What was tried.
        doing: String,
        /// What the engine, or the connection to it, said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A container stopped before it was ready.
    #[error(
        "{node} stopped with exit code {exit_code} before it was ready (engine with Linux {kernel}); last lines of its log:\n{log}"
    )]
    Exited {
        /// Name of the container.
        node: String,
        /// Exit code of its init.
        exit_code: i64,
        /// Kernel of the engine. Talos 1.14 does not start in a container on Linux 6.12 and older.
        kernel: String,
        /// The end of its log.
        log: String,
    },
    /// A node did not get ready in time.
    #[error("{node} is not ready after {waited:?}: {last}; last lines of its log:\n{log}")]
    NotReady {
        /// Name of the node.
        node: String,
        /// How long it was waited for.
        waited: Duration,
        /// Outcome of the last attempt.
        last: String,
        /// The end of its log; empty for a node that is no container of ours.
        log: String,
    },
    /// The call that starts etcd failed for good.
    #[error("bootstrapping etcd on {node} failed: {status}")]
    Bootstrap {
        /// Name of the node.
        node: String,
        /// Code and message.
        status: String,
    },
    /// A talosconfig cannot be used.
    #[error("unusable talosconfig: {reason}")]
    Talosconfig {
        /// What is wrong; says nothing of keys.
        reason: String,
    },
    /// Keys or certificates could not be made.
    #[error("making the cluster's certificates failed")]
    Pki(#[from] PkiError),
}

impl RealError {
    pub(super) fn talosconfig(reason: impl Into<String>) -> Self {
        Self::Talosconfig {
            reason: reason.into(),
        }
    }
}
