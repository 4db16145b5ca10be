//! How far a bootstrap is.

use std::fmt;

use talos_transport::NodeName;

/// A part of the way, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum BootstrapStep {
    /// Machines get their configurations.
    Configure,
    /// All nodes boot, or run.
    Boot,
    /// etcd is bootstrapped, unless it is already.
    Bootstrap,
    /// Every control plane node has a member of etcd that is healthy.
    Etcd,
    /// Every node runs and is ready: its services, its static pods, and its Kubernetes node.
    Kubernetes,
    /// The kubeconfig is fetched.
    Kubeconfig,
}

/// Something that happened on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BootstrapProgress {
    /// A step begins.
    Begins(BootstrapStep),
    /// A machine has taken its configuration.
    Configured {
        /// The node.
        node: NodeName,
        /// What it warns of.
        warnings: Vec<String>,
    },
    /// A machine has a configuration already; what it says is not compared.
    ConfiguredBefore {
        /// The node.
        node: NodeName,
    },
    /// etcd was bootstrapped.
    Bootstrapped {
        /// By this node.
        node: NodeName,
    },
    /// etcd was bootstrapped before, or the cluster is configured not to have it.
    BootstrappedBefore,
    /// Something is not there yet.
    Waiting {
        /// In which step.
        step: BootstrapStep,
        /// For what.
        reason: String,
    },
}

impl fmt::Display for BootstrapStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Configure => "configuring machines",
            Self::Boot => "waiting for nodes to boot",
            Self::Bootstrap => "bootstrapping etcd",
            Self::Etcd => "waiting for etcd",
            Self::Kubernetes => "waiting for nodes to be ready",
            Self::Kubeconfig => "fetching the kubeconfig",
        })
    }
}

impl fmt::Display for BootstrapProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Begins(step) => fmt::Display::fmt(step, f),
            Self::Configured { node, warnings } => {
                write!(f, "{node} has its configuration")?;
                for warning in warnings {
                    write!(f, "; it warns: {warning}")?;
                }
                Ok(())
            }
            Self::ConfiguredBefore { node } => write!(f, "{node} had a configuration already"),
            Self::Bootstrapped { node } => write!(f, "{node} has bootstrapped etcd"),
            Self::BootstrappedBefore => f.write_str("etcd needs no bootstrap"),
            Self::Waiting { step, reason } => write!(f, "{step}: {reason}"),
        }
    }
}
