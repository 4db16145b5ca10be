//! What an upgrade has done.

use std::{fmt, time::Duration};

use talos_transport::NodeName;

use super::{PlannedNode, UpgradePlan};

/// What an upgrade has done, node by node in the order of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UpgradeReport {
    /// The release to go to.
    pub target: String,
    /// The nodes.
    pub nodes: Vec<NodeReport>,
}

/// What was done with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeReport {
    /// The node.
    pub node: NodeName,
    /// Its host name, if it is known.
    pub hostname: Option<String>,
    /// The release that it ran before.
    pub from: String,
    /// What came of it.
    pub outcome: NodeOutcome,
    /// Whether the hook before the reboot was called, and the one after the upgrade has not succeeded: the Kubernetes node
    /// may still be cordoned.
    pub prepared: bool,
}

/// What came of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeOutcome {
    /// It was not touched.
    NotStarted,
    /// It ran the release already.
    AlreadyThere,
    /// It runs the release now.
    Upgraded {
        /// How long it took.
        took: Duration,
    },
    /// It was begun with and failed; the error says why.
    Failed {
        /// The error in one line.
        reason: String,
    },
}

impl UpgradeReport {
    pub(super) fn of(plan: &UpgradePlan, resumed: Option<&Self>) -> Self {
        let prepared = |planned: &PlannedNode| {
            let before = resumed.iter().flat_map(|report| &report.nodes);
            before
                .filter(|node| node.node == *planned.node.name())
                .any(|node| node.prepared)
        };
        Self {
            target: plan.target.clone(),
            nodes: plan
                .nodes
                .iter()
                .map(|planned| NodeReport {
                    node: planned.node.name().clone(),
                    hostname: planned.hostname.clone(),
                    from: planned.from.clone(),
                    outcome: NodeOutcome::NotStarted,
                    prepared: prepared(planned),
                })
                .collect(),
        }
    }

    /// The nodes that are not there yet.
    pub fn left(&self) -> impl Iterator<Item = &NodeReport> {
        self.nodes
            .iter()
            .filter(|node| matches!(node.outcome, NodeOutcome::NotStarted | NodeOutcome::Failed { .. }))
    }
}

/// As text for people, one line a node.
impl fmt::Display for UpgradeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "upgrade to {}", self.target)?;
        for node in &self.nodes {
            write!(f, "{} from {}: {}", node.node, node.from, node.outcome)?;
            writeln!(f, "{}", if node.prepared { ", may be cordoned" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for NodeOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted => f.write_str("not started"),
            Self::AlreadyThere => f.write_str("was there already"),
            Self::Upgraded { took } => write!(f, "upgraded in {} s", took.as_secs()),
            Self::Failed { reason } => write!(f, "failed: {reason}"),
        }
    }
}
