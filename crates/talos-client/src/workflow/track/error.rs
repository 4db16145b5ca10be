//! Why following an action ends without it being over.

use std::{fmt, time::Duration};

use talos_transport::NodeName;

use super::Action;
use crate::{
    api::events::{MachineStage, SequenceFailureKind, UnmetCondition},
    error::Error,
};

/// Why following an action ended before it was over.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrackError {
    /// The action was not begun: the node could not be asked, or refused. If the answer was lost, the node has shown no
    /// sign of it for a while, so that it may be asked again.
    #[error("the {action} of {node} was not begun")]
    NotBegun {
        /// The node.
        node: NodeName,
        /// What was wanted.
        action: Action,
        /// Why.
        #[source]
        source: Box<Error>,
    },
    /// The node is in the middle of something else, and has not begun.
    #[error("the {action} of {node} was not begun, as it is busy: {message}")]
    Busy {
        /// The node.
        node: NodeName,
        /// What was wanted.
        action: Action,
        /// In Talos' words.
        message: String,
    },
    /// The node began, and failed. It cleans up and reboots by itself then.
    #[error("the {action} of {node} failed: {message}")]
    Failed {
        /// The node.
        node: NodeName,
        /// What was wanted.
        action: Action,
        /// Of what kind the failure is.
        kind: SequenceFailureKind,
        /// In Talos' words.
        message: String,
    },
    /// The time is over. The node may still get there.
    #[error("the {action} of {node} is not over after {timeout:?}: {seen}")]
    Timeout {
        /// The node.
        node: NodeName,
        /// What was wanted.
        action: Action,
        /// The time there was.
        timeout: Duration,
        /// What was last seen of the node.
        seen: Box<Seen>,
    },
}

impl TrackError {
    /// The node.
    pub fn node(&self) -> &NodeName {
        match self {
            Self::NotBegun { node, .. }
            | Self::Busy { node, .. }
            | Self::Failed { node, .. }
            | Self::Timeout { node, .. } => node,
        }
    }

    /// Whether the node has certainly, or most likely, not begun, so that asking again is the thing to do.
    pub fn is_not_begun(&self) -> bool {
        matches!(self, Self::NotBegun { .. } | Self::Busy { .. })
    }

    /// Whether the time was over.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Timeout { .. })
    }
}

/// What was seen of a node.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Seen {
    /// Whether the node has said that it takes the action on, or has shown it.
    pub begun: bool,
    /// Whether the node could be reached last.
    pub reachable: bool,
    /// Whether it is another boot than before.
    pub rebooted: bool,
    /// The stage that the machine was last seen in.
    pub stage: Option<MachineStage>,
    /// Whether nothing was amiss in that stage.
    pub ready: bool,
    /// What was amiss.
    pub unmet: Vec<UnmetCondition>,
    /// The last phase and the last task of the action that were seen.
    pub phase: Option<String>,
    /// See [`Seen::phase`].
    pub task: Option<String>,
    /// What looking at the node failed with last.
    pub failure: Option<Error>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stage {
            Some(stage) => write!(f, "last seen {stage}")?,
            None => f.write_str("its stage was never seen")?,
        }
        if !self.ready {
            for condition in &self.unmet {
                write!(f, ", {} not met ({})", condition.name, condition.reason)?;
            }
        }
        if let Some(task) = &self.task {
            write!(f, ", task {task}")?;
        }
        f.write_str(if self.rebooted {
            ", rebooted"
        } else {
            ", not rebooted"
        })?;
        match (&self.failure, self.reachable) {
            (Some(failure), false) => write!(f, ", not reachable: {failure}"),
            (None, false) => f.write_str(", not reachable"),
            (_, true) => Ok(()),
        }
    }
}
