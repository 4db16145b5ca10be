//! Why a node is not drained.

use std::{fmt, time::Duration};

use super::PodName;
use crate::workflow::kubernetes::KubernetesError;

/// Why a node is not drained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DrainError {
    /// Kubernetes could not be asked, or the node is not known there.
    #[error("the node cannot be drained")]
    Kubernetes(#[from] KubernetesError),
    /// The options do not allow to evict some of the pods. None was.
    #[error("node {name} has pods that are not to be evicted: {}", list(.pods))]
    NotAllowed {
        /// The node, as Kubernetes calls it.
        name: String,
        /// The pods.
        pods: Vec<PodLeft>,
    },
    /// The API refuses to evict a pod, and not for the moment only.
    #[error("pod {pod} cannot be evicted from node {name}")]
    Refused {
        /// The node.
        name: String,
        /// The pod.
        pod: PodName,
        /// What the API says.
        #[source]
        source: Box<KubernetesError>,
    },
    /// The time is over, and pods are left.
    #[error("node {name} is not drained after {after:?}: {}", list(.pods))]
    TimedOut {
        /// The node.
        name: String,
        /// How much time there was.
        after: Duration,
        /// The pods that are left, and why.
        pods: Vec<PodLeft>,
    },
}

/// A pod that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PodLeft {
    /// The pod.
    pub pod: PodName,
    /// Why.
    pub problem: PodProblem,
}

/// Why a pod is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PodProblem {
    /// Nobody would make it again, and the options do not allow to lose it.
    Unmanaged,
    /// It has data in a volume of the kind `emptyDir`, and the options do not allow to lose them.
    EmptyDirData,
    /// A PodDisruptionBudget does not allow it to go, or the API has too much to do.
    Blocked {
        /// In the words of the API.
        reason: String,
    },
    /// It was told to end and has not.
    Ending,
    /// The API could not be asked.
    NotAsked {
        /// Why.
        reason: String,
    },
}

impl DrainError {
    /// The pods that are in the way; empty if it is something else.
    pub fn pods(&self) -> &[PodLeft] {
        match self {
            Self::NotAllowed { pods, .. } | Self::TimedOut { pods, .. } => pods,
            Self::Kubernetes(_) | Self::Refused { .. } => &[],
        }
    }
}

/// As many as can be read, and how many more there are.
fn list(pods: &[PodLeft]) -> String {
    const SHOWN: usize = 10;
    let mut shown: Vec<String> = pods.iter().take(SHOWN).map(ToString::to_string).collect();
    if pods.len() > SHOWN {
        shown.push(format!("and {} more", pods.len() - SHOWN));
    }
    shown.join("; ")
}

impl fmt::Display for PodLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {} {}", self.pod, self.problem)
    }
}

impl fmt::Display for PodProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unmanaged => f.write_str("would not be made again"),
            Self::EmptyDirData => f.write_str("would lose its data"),
            Self::Blocked { reason } => write!(f, "may not go: {reason}"),
            Self::Ending => f.write_str("has not ended"),
            Self::NotAsked { reason } => write!(f, "is there as far as is known: {reason}"),
        }
    }
}
