//! How far an upgrade is.

use std::fmt;

use talos_transport::NodeName;

use crate::workflow::track::TrackProgress;

/// How far an upgrade is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpgradeProgress {
    /// The node that it is about.
    pub node: NodeName,
    /// Which one of how many nodes that is, from 1 on.
    pub position: (usize, usize),
    /// What happens.
    pub step: UpgradeStep,
}

/// A step of the upgrade of a node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum UpgradeStep {
    /// The node runs the release already, nothing is to be done.
    AlreadyThere,
    /// etcd has to get healthy before the node may be away, or after it is back.
    WaitingForEtcd {
        /// What is missing.
        reason: String,
    },
    /// The image is being pulled.
    Pulling {
        /// How much of its layers is there, as far as their sizes are known.
        percent: Option<u8>,
    },
    /// The installer printed a line.
    Installer {
        /// The line.
        line: String,
    },
    /// A step is being made again, since the connection broke.
    Again {
        /// What failed.
        reason: String,
    },
    /// A hook runs.
    Hook {
        /// `before_reboot` or `after_upgrade`.
        name: &'static str,
    },
    /// Its pods are moved away.
    #[cfg(feature = "kube")]
    Draining(crate::workflow::kubernetes::DrainProgress),
    /// Kubernetes has to say that the node is ready again.
    #[cfg(feature = "kube")]
    WaitingForKubernetes {
        /// What is missing.
        reason: String,
    },
    /// Pods may come to the node again.
    #[cfg(feature = "kube")]
    Uncordoned,
    /// The node reboots, or does all of it by one call.
    Rebooting(TrackProgress),
    /// The node runs the release.
    Done,
}

impl fmt::Display for UpgradeProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (position, nodes) = self.position;
        if let UpgradeStep::Rebooting(progress) = &self.step {
            return write!(f, "[{position}/{nodes}] {progress}");
        }
        write!(f, "[{position}/{nodes}] {}: {}", self.node, self.step)
    }
}

impl fmt::Display for UpgradeStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyThere => f.write_str("runs the release already"),
            Self::WaitingForEtcd { reason } => write!(f, "waiting for etcd: {reason}"),
            Self::Pulling {
                percent: Some(percent),
            } => write!(f, "pulling the image ({percent}%)"),
            Self::Pulling { percent: None } => f.write_str("pulling the image"),
            Self::Installer { line } => write!(f, "installer: {line}"),
            Self::Again { reason } => write!(f, "trying again: {reason}"),
            Self::Hook { name } => write!(f, "hook {name}"),
            #[cfg(feature = "kube")]
            Self::Draining(progress) => write!(f, "draining: {progress}"),
            #[cfg(feature = "kube")]
            Self::WaitingForKubernetes { reason } => write!(f, "waiting for Kubernetes: {reason}"),
            #[cfg(feature = "kube")]
            Self::Uncordoned => f.write_str("uncordoned"),
            Self::Rebooting(progress) => fmt::Display::fmt(progress, f),
            Self::Done => f.write_str("done"),
        }
    }
}
