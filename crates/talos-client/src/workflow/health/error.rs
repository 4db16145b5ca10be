//! Why a cluster is not known to be healthy.

use std::time::Duration;

use super::{Check, HealthReport};
use crate::error::Error;

/// Why a cluster is not known to be healthy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HealthError {
    /// Nobody could say which nodes there are.
    #[error("the nodes of the cluster are not known")]
    Discover(#[source] Box<Error>),
    /// There is no control plane node to ask.
    #[error("there is no control plane node among the nodes to check")]
    NoControlPlane,
    /// A check does not hold, and the time is over.
    #[error("waiting for {check}: not met after {timeout:?}: {reason}")]
    NotMet {
        /// The first check that does not hold.
        check: Check,
        /// Why not, with the node.
        reason: String,
        /// The time there was for all checks.
        timeout: Duration,
        /// The checks before it.
        report: HealthReport,
    },
    /// A node refuses to say, because of the role or the certificate.
    #[error("waiting for {check}: the node refuses to answer")]
    Refused {
        /// The check.
        check: Check,
        /// What the node says.
        #[source]
        source: Box<Error>,
        /// The checks before it.
        report: HealthReport,
    },
}

impl HealthError {
    /// The check that could not be passed, if it got that far.
    pub fn check(&self) -> Option<Check> {
        match self {
            Self::NotMet { check, .. } | Self::Refused { check, .. } => Some(*check),
            Self::Discover(_) | Self::NoControlPlane => None,
        }
    }
}
