//! All members at once.

use std::fmt;

use talos_transport::NodeName;

use crate::{
    Client, MemberRole, Node, Nodes,
    api::etcd::{EtcdMember, EtcdMemberId, EtcdStatus},
    error::{Error, ErrorKind, Origin, Result},
};

/// The control plane nodes of a cluster, as the members of its etcd.
///
/// It holds handles only; what the members are is asked anew by every workflow.
#[derive(Clone, Debug)]
#[must_use = "nothing is sent before a method is called"]
pub struct EtcdMembers {
    nodes: Nodes,
}

impl EtcdMembers {
    /// These nodes. A member whose node is not among them counts as one that does not answer.
    pub fn of(nodes: Nodes) -> Self {
        Self { nodes }
    }

    /// The control plane nodes that [`Client::discover`] finds.
    ///
    /// # Errors
    ///
    /// As for [`Client::discover`], and `NotFound` where it knows no control plane node.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn discover(client: &Client) -> Result<Self> {
        let (members, _) = client.discover().await?;
        let nodes: Nodes = members
            .into_iter()
            .filter(|member| member.role == MemberRole::ControlPlane)
            .map(|member| member.node)
            .collect();
        if nodes.is_empty() {
            return Err(
                Error::new(ErrorKind::NotFound, Origin::Local).with_message("no control plane node is known")
            );
        }
        Ok(Self::of(nodes))
    }

    /// The handles of the nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// Asks who the members are and how each of them does, all at the same time.
    ///
    /// # Errors
    ///
    /// The error of the first node where none can tell who the members are. A node that does not answer is no
    /// error, see [`EtcdSurvey::failures`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn survey(&self) -> Result<EtcdSurvey> {
        let answers = self
            .nodes
            .clone()
            .each(|node| async move {
                let status = node.etcd().status().await;
                (node, status)
            })
            .await;
        let mut failures = Vec::new();
        let mut statuses = Vec::new();
        for (name, (node, status)) in answers {
            match status {
                Ok(status) => statuses.push((node, status)),
                Err(error) => failures.push((name, error)),
            }
        }
        let asked = statuses.iter().map(|(node, _)| node);
        let members = who_is_there(asked).await;
        let members = match members {
            Some(Ok(members)) => members,
            Some(Err(error)) => return Err(error),
            None => {
                let none = || {
                    Error::new(ErrorKind::InvalidInput, Origin::Local)
                        .with_message("there are no nodes to ask")
                };
                return Err(failures.into_iter().next().map_or_else(none, |(_, error)| error));
            }
        };
        let of_member = |member: EtcdMember| {
            let found = statuses
                .iter()
                .position(|(_, status)| status.member_id() == Some(member.id()));
            let found = found.map(|at| statuses.swap_remove(at));
            let (node, status) = found.map_or((None, None), |(node, status)| (Some(node), Some(status)));
            EtcdMemberHealth { member, node, status }
        };
        Ok(EtcdSurvey {
            members: map_in_order(members, of_member),
            failures,
        })
    }
}

fn map_in_order<T, U>(items: Vec<T>, mut make: impl FnMut(T) -> U) -> Vec<U> {
    let mut made = Vec::with_capacity(items.len());
    for item in items {
        made.push(make(item));
    }
    made
}

/// Asks these nodes in turn, first for what the cluster agrees on, then for what each one knows by itself.
async fn who_is_there<'a>(nodes: impl Iterator<Item = &'a Node> + Clone) -> Option<Result<Vec<EtcdMember>>> {
    let mut first = None;
    for local in [false, true] {
        for node in nodes.clone() {
            match node.etcd().members().query_local(local).send().await {
                Ok(members) => return Some(Ok(members)),
                Err(error) => first = first.or(Some(Err(error))),
            }
        }
    }
    first
}

/// How the members of etcd do.
#[derive(Debug)]
#[non_exhaustive]
pub struct EtcdSurvey {
    /// The members, in the order of etcd.
    pub members: Vec<EtcdMemberHealth>,
    /// The nodes that did not answer, and why.
    pub failures: Vec<(NodeName, Error)>,
}

/// How a member does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EtcdMemberHealth {
    /// The member.
    pub member: EtcdMember,
    /// The node it runs on; `None` where none of the nodes that answered is this member.
    pub node: Option<Node>,
    /// What it says about itself; `None` where it does not answer.
    pub status: Option<EtcdStatus>,
}

impl EtcdMemberHealth {
    /// Whether it answers and has a leader, and so can take part in what is agreed on.
    pub fn takes_part(&self) -> bool {
        self.status
            .as_ref()
            .is_some_and(|status| status.leader().is_some())
    }

    /// Whether it has a vote.
    pub fn votes(&self) -> bool {
        !self.member.is_learner()
    }

    /// Whether it leads.
    pub fn is_leader(&self) -> bool {
        self.status.as_ref().is_some_and(EtcdStatus::is_leader)
    }
}

/// How many members vote, and how many of them take part.
///
/// Changes of etcd need the votes of more than half of the members, whether these run or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EtcdQuorum {
    /// Members with a vote.
    pub voters: usize,
    /// Those of them that take part.
    pub active: usize,
}

impl EtcdQuorum {
    /// How many have to take part: more than half.
    pub const fn needed(self) -> usize {
        self.voters / 2 + 1
    }

    /// Whether enough take part.
    pub const fn is_there(self) -> bool {
        self.active >= self.needed()
    }

    /// How many more may fail.
    pub const fn spare(self) -> usize {
        self.active.saturating_sub(self.needed())
    }
}

impl fmt::Display for EtcdQuorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} members take part, {} are needed",
            self.active,
            self.voters,
            self.needed()
        )
    }
}

impl EtcdSurvey {
    /// As it is.
    pub fn quorum(&self) -> EtcdQuorum {
        self.quorum_of(|_| true)
    }

    /// As it would be without this member.
    pub fn quorum_without(&self, id: EtcdMemberId) -> EtcdQuorum {
        self.quorum_of(|member| member.member.id() != id)
    }

    /// As it would be while this member does not answer, but is still a member.
    pub fn quorum_while_busy(&self, id: EtcdMemberId) -> EtcdQuorum {
        let without = self.quorum_without(id);
        EtcdQuorum {
            voters: self.quorum().voters,
            ..without
        }
    }

    /// The member with this id.
    pub fn member(&self, id: EtcdMemberId) -> Option<&EtcdMemberHealth> {
        self.members.iter().find(|member| member.member.id() == id)
    }

    fn quorum_of(&self, counts: impl Fn(&EtcdMemberHealth) -> bool) -> EtcdQuorum {
        let voters = || {
            self.members
                .iter()
                .filter(|member| member.votes() && counts(member))
        };
        EtcdQuorum {
            voters: voters().count(),
            active: voters().filter(|member| member.takes_part()).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_half_are_needed() {
        for (voters, needed) in [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)] {
            let quorum = EtcdQuorum {
                voters,
                active: voters,
            };
            assert_eq!(quorum.needed(), needed);
            assert_eq!(quorum.is_there(), voters > 0);
        }
        let quorum = EtcdQuorum { voters: 5, active: 3 };
        assert_eq!((quorum.is_there(), quorum.spare()), (true, 0));
        assert_eq!(quorum.to_string(), "3 of 5 members take part, 3 are needed");
    }
}
