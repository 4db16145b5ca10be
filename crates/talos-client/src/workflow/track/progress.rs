//! What followers hear.

use std::{fmt, time::Duration};

use talos_transport::NodeName;

use crate::api::{
    events::{MachineStage, UnmetCondition},
    machine::ActorId,
};

/// How far an action is.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrackProgress {
    /// The node.
    pub node: NodeName,
    /// What happened.
    pub step: TrackStep,
    /// The stage that the machine was last seen in.
    pub stage: Option<MachineStage>,
    /// How much of the way is done, from 0 to 100, by milestones such as that the node is down. Never goes back.
    pub percent: u8,
}

/// Something that happened on the way.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TrackStep {
    /// The node's events are subscribed to; nothing was asked for yet.
    Subscribed,
    /// The node has taken the action on.
    Accepted {
        /// The id in the events about it.
        actor: Option<ActorId>,
    },
    /// The answer of the node was lost. What it does will show whether it has taken the action on.
    InDoubt,
    /// A sequence began or ended.
    Sequence {
        /// Such as `reboot`.
        name: String,
        /// Whether it ended.
        over: bool,
    },
    /// A task of a sequence began or ended.
    Task {
        /// Such as `stopAllServices`.
        name: String,
        /// The phase it belongs to, as far as is known.
        phase: Option<String>,
        /// Whether it ended.
        over: bool,
    },
    /// The stage of the machine is another one, or whether it is ready.
    Stage {
        /// What the machine does.
        stage: MachineStage,
        /// Whether nothing is amiss.
        ready: bool,
        /// What is amiss.
        unmet: Vec<UnmetCondition>,
    },
    /// The node cannot be reached any more.
    Unreachable,
    /// The node can be reached again.
    Reachable,
    /// It is another boot than before.
    Rebooted,
    /// The node is as it should be.
    Done,
}

impl fmt::Display for TrackProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({}%)", self.node, self.step, self.percent)
    }
}

impl fmt::Display for TrackStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |over: &bool| if *over { "done" } else { "begins" };
        match self {
            Self::Subscribed => f.write_str("events are subscribed to"),
            Self::Accepted { actor: Some(actor) } => write!(f, "accepted as {actor}"),
            Self::Accepted { actor: None } => f.write_str("accepted"),
            Self::InDoubt => f.write_str("the answer is lost, looking at what the node does"),
            Self::Sequence { name, over } => write!(f, "sequence {name} {}", end(over)),
            Self::Task {
                name,
                phase: Some(phase),
                over,
            } => write!(f, "task {phase}/{name} {}", end(over)),
            Self::Task { name, over, .. } => write!(f, "task {name} {}", end(over)),
            Self::Stage { stage, ready, unmet } => {
                write!(f, "{stage}")?;
                if *ready {
                    return Ok(());
                }
                f.write_str(", not ready")?;
                for (index, condition) in unmet.iter().enumerate() {
                    let separator = if index == 0 { ": " } else { ", " };
                    write!(f, "{separator}{} ({})", condition.name, condition.reason)?;
                }
                Ok(())
            }
            Self::Unreachable => f.write_str("not reachable"),
            Self::Reachable => f.write_str("reachable"),
            Self::Rebooted => f.write_str("rebooted"),
            Self::Done => f.write_str("done"),
        }
    }
}

/// How a node was found when its action was over.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Tracked {
    /// The node.
    pub node: NodeName,
    /// The id in the events about it, if it is known.
    pub actor: Option<ActorId>,
    /// Whether it is another boot than before.
    pub rebooted: bool,
    /// The boot id now; `None` for a node that is off, and for a role that may not read it.
    pub boot_id: Option<String>,
    /// Whether the node has no configuration any more and waits for one.
    pub in_maintenance: bool,
    /// How long it took.
    pub took: Duration,
}
