//! Why a cluster does not come up.

use std::time::Duration;

use talos_transport::NodeName;

use super::BootstrapStep;
use crate::error::Error;

/// Why a cluster does not come up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BootstrapError {
    /// There is no control plane node.
    #[error("a cluster needs at least one control plane node")]
    NoControlPlane,
    /// A machine does not take its configuration.
    #[error("{node} does not take its configuration")]
    Configuration {
        /// The node.
        node: NodeName,
        /// Why: `InvalidArgument` has all that the node finds wrong in it.
        #[source]
        source: Box<Error>,
    },
    /// etcd cannot be bootstrapped, and that does not pass.
    #[error("{node} does not bootstrap etcd")]
    Bootstrap {
        /// The node.
        node: NodeName,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The kubeconfig cannot be had.
    #[error("{node} does not give the kubeconfig")]
    Kubeconfig {
        /// The node.
        node: NodeName,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The time is over.
    #[error("{step}: not done after {timeout:?}: {reason}")]
    Timeout {
        /// What it was waiting for.
        step: BootstrapStep,
        /// What was missing last.
        reason: String,
        /// The time there was for everything.
        timeout: Duration,
    },
}
