//! Whether etcd keeps its quorum while a node is away.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use talos_transport::NodeName;

use crate::{
    Node,
    api::etcd::{EtcdMemberId, EtcdStatus},
    error::{Error, Result},
};

/// Why etcd would lose its quorum.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "etcd would lose its quorum while {node} is away: of {voters} voting members {healthy} are healthy, and {needed} have to \
     stay"
)]
#[non_exhaustive]
pub struct QuorumRefusal {
    /// The node that would be away.
    pub node: NodeName,
    /// How many members have a vote.
    pub voters: usize,
    /// How many of them are healthy now.
    pub healthy: usize,
    /// How many of them have to be healthy.
    pub needed: usize,
}

/// The members of etcd, as control plane nodes know them.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    /// The ids of those with a vote.
    voters: Vec<EtcdMemberId>,
    /// The healthy ones by node.
    healthy: BTreeMap<String, EtcdMemberId>,
    leader: Option<EtcdMemberId>,
}

impl Members {
    /// Asks all control plane nodes.
    ///
    /// # Errors
    ///
    /// The first one, where no node knows the members.
    pub(super) async fn ask(control_planes: &[Node]) -> Result<Self> {
        let lists = control_planes.iter().map(|node| async move {
            let etcd = node.etcd();
            let members = etcd.members().query_local(true).send().await;
            (node, members, etcd.status().await)
        });
        let mut members = Self::default();
        let mut first: Option<Error> = None;
        for (node, list, status) in join_all(lists).await {
            match list {
                // All of them agree, or a check of health says that they do not.
                Ok(list) if members.voters.is_empty() => {
                    let voters = list.iter().filter(|member| !member.is_learner());
                    members.voters = voters.map(|member| member.id()).collect();
                }
                Ok(_) => {}
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
            if let Ok(status) = status {
                members.leader = members.leader.or_else(|| status.leader());
                if let Some(id) = healthy(&status) {
                    members.healthy.insert(node.name().to_string(), id);
                }
            }
        }
        match first {
            Some(error) if members.voters.is_empty() => Err(error),
            _ => Ok(members),
        }
    }

    pub(super) fn is_leader(&self, node: &NodeName) -> bool {
        self.leader.is_some() && self.healthy.get(node.as_str()) == self.leader.as_ref()
    }

    pub(super) fn is_healthy(&self, node: &NodeName) -> bool {
        self.healthy.contains_key(node.as_str())
    }

    /// Whether a node can be away.
    fn without(&self, node: &NodeName) -> Result<(), QuorumRefusal> {
        let voters = self.voters.len();
        let needed = voters / 2 + 1;
        let votes = |(_, id): &(&String, &EtcdMemberId)| self.voters.contains(id);
        let healthy = self.healthy.iter().filter(votes).count();
        let own = self.healthy.get(node.as_str());
        let lost = usize::from(own.is_some_and(|id| self.voters.contains(id)));
        if healthy - lost >= needed || voters == 0 {
            return Ok(());
        }
        Err(QuorumRefusal {
            node: node.clone(),
            voters,
            healthy,
            needed,
        })
    }

    /// Whether each of these can be away, one at a time.
    pub(super) fn without_each(&self, nodes: &[NodeName]) -> Result<(), QuorumRefusal> {
        nodes.iter().try_for_each(|node| self.without(node))
    }

    /// Whether no health of the members would be enough.
    pub(super) fn is_too_small(&self) -> bool {
        self.voters.len() == 1 || self.voters.len() == 2
    }
}

/// A member that has a leader and no complaints.
fn healthy(status: &EtcdStatus) -> Option<EtcdMemberId> {
    let well = status.leader().is_some() && status.errors().is_empty() && !status.is_learner();
    status.member_id().filter(|_| well)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(voters: u64, healthy: &[u64]) -> Members {
        let id = |number| EtcdMemberId::new(number).expect("not zero");
        Members {
            voters: (1..=voters).map(id).collect(),
            healthy: healthy
                .iter()
                .map(|number| (format!("cp-{number}"), id(*number)))
                .collect(),
            leader: None,
        }
    }

    #[test]
    fn a_node_may_be_away_if_most_of_the_others_are_healthy() {
        let node = |number: u64| -> NodeName { format!("cp-{number}").parse().expect("a name") };
        let may = |members: &Members, number| members.without(&node(number)).is_ok();
        assert!(may(&members(3, &[1, 2, 3]), 1));
        assert!(!may(&members(3, &[1, 2]), 1), "one would be left");
        assert!(may(&members(3, &[1, 2]), 3), "it is away already");
        assert!(may(&members(5, &[1, 2, 3, 4]), 1));
        assert!(!may(&members(5, &[1, 2, 3]), 1));
        assert!(!may(&members(1, &[1]), 1));
        assert!(!may(&members(2, &[1, 2]), 1));
        assert!(may(&members(3, &[1, 2, 3]), 9), "a worker");
        let refusal = members(3, &[1, 2]).without(&node(1)).expect_err("refused");
        assert_eq!((refusal.voters, refusal.healthy, refusal.needed), (3, 2, 2));
    }
}
