//! Why an upgrade stopped.

use std::{error::Error as StdError, time::Duration};

use talos_transport::NodeName;

use super::{PathRefusal, QuorumRefusal, UpgradeReport};
use crate::{error::Error, workflow::track::TrackError};

/// Why an upgrade of a cluster did not begin, or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Nobody could say which nodes there are.
    #[error("the nodes of the cluster are not known")]
    Discover(#[source] Box<Error>),
    /// There are no nodes to upgrade.
    #[error("there are no nodes to upgrade")]
    NoNodes,
    /// The image does not say by its tag which release it is, and nobody else did.
    #[error("the tag of {image:?} is no release, so the release has to be given")]
    UnknownTarget {
        /// The image.
        image: String,
    },
    /// A node could not be asked before anything was done.
    #[error("{node} cannot be asked")]
    Look {
        /// The node.
        node: NodeName,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// A node cannot be made that release in one step. Nothing was done.
    #[error("{node} runs {from}, from which {to} is not allowed")]
    PathNotAllowed {
        /// The node.
        node: NodeName,
        /// The release that it runs.
        from: String,
        /// The release that it should run.
        to: String,
        /// Why.
        #[source]
        source: PathRefusal,
    },
    /// etcd would lose its quorum. The node that would be away was not touched.
    #[error("{} is not upgraded", source.node)]
    Quorum {
        /// Why.
        #[source]
        source: QuorumRefusal,
        /// What was done before.
        report: Box<UpgradeReport>,
    },
    /// A node failed. Those after it were not touched.
    #[error("the upgrade of {node} failed")]
    Node {
        /// The node.
        node: NodeName,
        /// Why.
        #[source]
        source: NodeUpgradeError,
        /// What was done, and what is left.
        report: Box<UpgradeReport>,
    },
}

impl UpgradeError {
    /// What was done; `None` if nothing was begun.
    pub fn report(&self) -> Option<&UpgradeReport> {
        match self {
            Self::Quorum { report, .. } | Self::Node { report, .. } => Some(report),
            _ => None,
        }
    }
}

/// Why the upgrade of a node failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NodeUpgradeError {
    /// The node could not be asked.
    #[error("the node cannot be asked")]
    Look(#[source] Box<Error>),
    /// The image could not be pulled.
    #[error("the image cannot be pulled")]
    Pull(#[source] Box<Error>),
    /// The image is being pulled, and nothing more of it comes.
    #[error("no more of the image has come for {after:?}, {percent} % were there")]
    PullStalled {
        /// How long nothing came.
        after: Duration,
        /// How much was there, as far as is known.
        percent: u8,
    },
    /// The installer failed. The node runs on as it was.
    #[error("the installer failed")]
    Install(#[source] Box<Error>),
    /// The node did not reboot, or did not come back.
    #[error("the reboot failed")]
    Reboot(#[source] Box<TrackError>),
    /// The node is back with another release: its boot loader went back to what ran before, or the image has another
    /// release than its tag says.
    #[error("the node runs {found} and not {expected}")]
    OtherRelease {
        /// The release that it should run.
        expected: String,
        /// The release that it runs.
        found: String,
    },
    /// The member of etcd is not healthy again.
    #[error("the member of etcd is not healthy after {after:?}")]
    Etcd {
        /// How long that was waited for.
        after: Duration,
    },
    /// The pods of the node could not be moved away. It has the new Talos, and has not rebooted.
    #[cfg(feature = "kube")]
    #[error("the pods are not moved away")]
    Drain(#[source] Box<crate::workflow::kubernetes::DrainError>),
    /// The node runs the new Talos, and pods could not be let in again.
    #[cfg(feature = "kube")]
    #[error("the node is still cordoned")]
    Uncordon(#[source] Box<crate::workflow::kubernetes::KubernetesError>),
    /// A hook failed.
    #[error("the hook {hook} failed")]
    Hook {
        /// `before_reboot` or `after_upgrade`.
        hook: &'static str,
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}
