//! How far a drain is, and what came of it.

use std::fmt;

use super::{PodName, PodSkipReason};

/// How far a drain is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DrainProgress {
    /// No more pods come to the node.
    Cordoned {
        /// The node, as Kubernetes calls it.
        name: String,
        /// Whether that was so already.
        before: bool,
    },
    /// A pod stays.
    Staying(PodSkip),
    /// The API has accepted that a pod goes, and it is ending.
    Evicting(PodName),
    /// A pod cannot go yet.
    Blocked {
        /// The pod.
        pod: PodName,
        /// Why, in the words of the API.
        reason: String,
    },
    /// A pod is gone.
    Gone {
        /// The pod.
        pod: PodName,
        /// How many are left.
        left: usize,
    },
    /// The API is away; what it was asked for is asked for again.
    Again {
        /// What failed.
        reason: String,
    },
    /// The machine is no node of Kubernetes, so that nothing is to be done.
    NotRegistered,
}

/// A pod that stays.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct PodSkip {
    /// The pod.
    pub pod: PodName,
    /// Why it stays.
    pub reason: PodSkipReason,
}

/// What came of a drain.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// The node, as Kubernetes calls it; `None` if the machine does not register there, and nothing was done.
    pub name: Option<String>,
    /// Whether the node was cordoned before.
    pub was_cordoned: bool,
    /// The pods that are gone.
    pub evicted: Vec<PodName>,
    /// The pods that stay.
    pub staying: Vec<PodSkip>,
}

impl fmt::Display for DrainProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cordoned { name, before: false } => write!(f, "node {name} is cordoned"),
            Self::Cordoned { name, before: true } => write!(f, "node {name} was cordoned already"),
            Self::Staying(skip) => write!(f, "pod {skip} and stays"),
            Self::Evicting(pod) => write!(f, "pod {pod} is ending"),
            Self::Blocked { pod, reason } => write!(f, "pod {pod} cannot go yet: {reason}"),
            Self::Gone { pod, left } => write!(f, "pod {pod} is gone, {left} left"),
            Self::Again { reason } => write!(f, "trying again: {reason}"),
            Self::NotRegistered => f.write_str("the machine is no node of Kubernetes"),
        }
    }
}

impl fmt::Display for PodSkip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pod, self.reason)
    }
}
