//! What an upgrade of a cluster is going to do.

use std::fmt;

use super::{PathRefusal, QuorumRefusal, TalosVersion};
use crate::{MemberRole, Node};

/// What an upgrade of a cluster is going to do, in order; made by [`ClusterUpgrade::plan`](super::ClusterUpgrade::plan),
/// which changes nothing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct UpgradePlan {
    /// The installer image.
    pub image: String,
    /// The release in it, as nodes will say it.
    pub target: String,
    /// The nodes in the order in which they are upgraded: control plane nodes first, the leader of etcd last among them,
    /// then workers.
    pub nodes: Vec<PlannedNode>,
    /// Why etcd would not survive it. Such a plan is carried out only by force.
    pub quorum: Option<QuorumRefusal>,
}

/// A node in a plan.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlannedNode {
    /// The handle for it.
    pub node: Node,
    /// Its host name, if it is known.
    pub hostname: Option<String>,
    /// What it is in the cluster.
    pub role: MemberRole,
    /// The release that it runs.
    pub from: String,
    /// The Kubernetes that it runs, from the tag of the kubelet's image, if it is known.
    pub kubernetes: Option<String>,
    /// Whether its member leads etcd.
    pub leads_etcd: bool,
    /// What is to be done with it.
    pub step: PlannedStep,
}

/// What is to be done with a node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PlannedStep {
    /// Nothing, it runs the release already.
    AlreadyThere,
    /// Pull the image, run the installer, reboot.
    Upgrade,
    /// One call that does all of it, for nodes before Talos 1.13.
    LegacyUpgrade,
    /// It cannot be done in one step.
    Refused(PathRefusal),
}

impl UpgradePlan {
    /// How many nodes are to be upgraded.
    pub fn len(&self) -> usize {
        self.nodes.iter().filter(|node| node.is_to_be_upgraded()).count()
    }

    /// Whether all nodes run the release already.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a node runs.
pub(super) struct Runs {
    pub(super) talos: String,
    pub(super) kubernetes: Option<String>,
}

impl PlannedNode {
    pub(super) fn new(
        node: Node,
        hostname: Option<String>,
        role: MemberRole,
        runs: Runs,
        target: &str,
    ) -> Self {
        let Runs {
            talos: from,
            kubernetes,
        } = runs;
        let step = if from == target {
            PlannedStep::AlreadyThere
        } else {
            match (from.parse::<TalosVersion>(), target.parse::<TalosVersion>()) {
                (Ok(from), Ok(to)) => match from.may_become(to).and_then(|()| {
                    kubernetes
                        .as_deref()
                        .map_or(Ok(()), |found| to.takes_kubernetes(found))
                }) {
                    Err(refusal) => PlannedStep::Refused(refusal),
                    Ok(()) if from.has_lifecycle() => PlannedStep::Upgrade,
                    Ok(()) => PlannedStep::LegacyUpgrade,
                },
                // A build without a release; its installer is to say.
                _ => PlannedStep::Upgrade,
            }
        };
        Self {
            node,
            hostname,
            role,
            from,
            kubernetes,
            leads_etcd: false,
            step,
        }
    }

    pub(super) fn is_to_be_upgraded(&self) -> bool {
        matches!(self.step, PlannedStep::Upgrade | PlannedStep::LegacyUpgrade)
    }

    pub(super) fn is_control_plane(&self) -> bool {
        self.role == MemberRole::ControlPlane
    }

    /// Where it stands in the order.
    pub(super) fn rank(&self) -> (bool, bool, String, String) {
        (
            !self.is_control_plane(),
            self.leads_etcd,
            self.hostname.clone().unwrap_or_default(),
            self.node.name().to_string(),
        )
    }
}

/// As text for people, one line a node.
impl fmt::Display for UpgradePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "upgrade to {} by {}", self.target, self.image)?;
        for (index, node) in self.nodes.iter().enumerate() {
            writeln!(f, "{}. {node}", index + 1)?;
        }
        if let Some(refusal) = &self.quorum {
            writeln!(f, "refused unless forced: {refusal}")?;
        }
        Ok(())
    }
}

impl fmt::Display for PlannedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.node.name())?;
        if let Some(hostname) = &self.hostname {
            write!(f, " ({hostname})")?;
        }
        f.write_str(match self.role {
            MemberRole::ControlPlane if self.leads_etcd => ", control plane, leader of etcd",
            MemberRole::ControlPlane => ", control plane",
            MemberRole::Worker => ", worker",
            MemberRole::Unknown => "",
        })?;
        match &self.step {
            PlannedStep::AlreadyThere => write!(f, ": runs {} already", self.from),
            PlannedStep::Upgrade => write!(f, ": from {}: pull, install, reboot", self.from),
            PlannedStep::LegacyUpgrade => write!(f, ": from {}: upgrade by the old call", self.from),
            PlannedStep::Refused(refusal) => write!(f, ": from {}: not possible, {refusal}", self.from),
        }
    }
}
