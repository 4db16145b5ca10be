//! Whether etcd lets a control plane node be upgraded: one at a time, and only if the others do without it.

use std::sync::Arc;

use super::{EtcdCluster, EtcdError, running, runs};
use crate::node::Node;
use crate::node::sequence::plan::Sequence;

/// Why a node is not to be upgraded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum UpgradeRefusal {
    /// The mutex cannot be asked for.
    Etcd(EtcdError),
    /// Another node has it.
    Locked,
    /// The cluster would suffer; with the reason.
    Unsafe(String),
}

impl EtcdCluster {
    /// Says whether `node` may be upgraded. Whoever may, has to start its sequence before anything else
    /// happens: a node holds the mutex as long as that runs.
    pub(crate) fn allow_upgrade(&self, node: &Node) -> Result<(), UpgradeRefusal> {
        let nodes: Vec<Arc<Node>> = node.cluster.control_planes();
        let Some(asked) = nodes.iter().find(|peer| runs(peer)) else {
            return Err(UpgradeRefusal::Etcd(EtcdError::Down(node.identity.address)));
        };
        self.quorum(asked).map_err(UpgradeRefusal::Etcd)?;
        let holds = |peer: &Arc<Node>| {
            let upgrading = [Sequence::Upgrade, Sequence::StageUpgrade].map(Some);
            peer.identity.hostname != node.identity.hostname && upgrading.contains(&peer.sequencer.running())
        };
        if nodes.iter().any(holds) {
            return Err(UpgradeRefusal::Locked);
        }
        let members = self.members();
        if members.len() == 2 {
            return Err(UpgradeRefusal::Unsafe(format!(
                "etcd member count({}) is insufficient to maintain quorum if upgrade commences",
                members.len()
            )));
        }
        let running = running(node);
        let down = members.iter().find(|member| !running.contains(&member.name));
        down.map_or(Ok(()), |member| {
            let reason = format!("etcd member {:016x} is not healthy", member.id);
            Err(UpgradeRefusal::Unsafe(reason))
        })
    }
}
