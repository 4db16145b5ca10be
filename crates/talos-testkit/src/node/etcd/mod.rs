//! The etcd cluster that the control plane nodes have in common.
//!
//! A member runs as long as its node does and the node's service `etcd` is running; a node has data as long
//! as it has the folder `/var/lib/etcd/member`. So what other parts do to services, files and power is what
//! etcd sees.

mod bootstrap;
mod data;
mod downgrade;
mod error;
mod image;
mod member;
mod recovery;
mod upgrade;

use std::sync::Arc;

use crate::node::files::source::Source;
use crate::node::services::{self, ServiceState};
use crate::node::{Identity, MachineRole, Node};
use crate::rng::SimRng;
use crate::sync::Guarded;
use data::{DATA, DATABASE_IN_USE, DATABASE_SIZE};
pub(crate) use data::{has_data, write_files};
pub(crate) use downgrade::{MinorVersion, storage_version, version};
pub(crate) use error::EtcdError;
pub(crate) use image::DatabaseImage;
pub use member::EtcdAlarm;
use member::State;
pub(crate) use member::{Member, MemberStatus};
pub(crate) use recovery::{Recover, RecoverError, SNAPSHOT_PATH};
pub(crate) use upgrade::UpgradeRefusal;

/// The cluster of all control plane nodes; without members until it is bootstrapped.
#[derive(Debug, Default)]
pub(crate) struct EtcdCluster {
    state: Guarded<State>,
}

impl EtcdCluster {
    /// Makes a machine a member, as if it had joined, or been the first one. Its files are written by
    /// [`write_files`].
    pub(crate) fn enroll(&self, identity: &Identity, rng: &SimRng) {
        let mut state = self.state.lock();
        let stale = state.of(&identity.hostname).map(|member| member.id);
        stale.and_then(|id| state.members.remove(&id));
        let mut member = Member {
            // The lowest bit keeps it from being 0, which means "no member".
            id: rng.fork("etcd member").next_u64() | 1,
            name: identity.hostname.clone(),
            address: identity.address,
            learner: false,
            database: (DATABASE_SIZE, DATABASE_IN_USE),
            // What the others have got comes with the first messages.
            contents: state.members.values().find_map(|peer| peer.contents.clone()),
            alarms: Vec::new(),
        };
        if let Some(contents) = &member.contents {
            member.database = (contents.len() as u64, contents.len() as u64);
        }
        if state.members.is_empty() {
            state.leader = member.id;
            state.term = 2;
            state.index = 5;
        }
        state.index += 2;
        state.members.insert(member.id, member);
    }

    /// What the start of etcd on `node` does: a node without data joins the cluster.
    pub(crate) fn join(&self, node: &Node) {
        if !has_data(node) || self.member(node).is_none() {
            self.enroll(&node.identity, &node.next_rng());
            write_files(node);
        }
    }

    /// All members in the order of their ids, as the local member of `node` knows them.
    pub(crate) fn local_members(&self, node: &Node) -> Result<Vec<Member>, EtcdError> {
        self.ask(node)?;
        Ok(self.members())
    }

    pub(crate) fn members(&self) -> Vec<Member> {
        self.state.lock().members.values().cloned().collect()
    }

    /// The member that `node` is.
    pub(crate) fn member(&self, node: &Node) -> Option<Member> {
        self.state.lock().of(&node.identity.hostname).cloned()
    }

    /// The hostname of the leader, after an election if one is due; `None` without a quorum.
    pub(crate) fn leader(&self, node: &Node) -> Option<String> {
        let running = running(node);
        let mut state = self.state.lock();
        state.settle(&running);
        state.members.get(&state.leader).map(|member| member.name.clone())
    }

    /// Fails unless enough members run, as any request that must be agreed on.
    pub(crate) fn quorum(&self, node: &Node) -> Result<(), EtcdError> {
        self.ask(node)?;
        let running = running(node);
        self.state.lock().quorum(&running)
    }

    /// Removes the member with `id`, asked by way of `node`.
    pub(crate) fn remove(&self, node: &Node, id: u64) -> Result<(), EtcdError> {
        self.ask(node)?;
        let running = running(node);
        let mut state = self.state.lock();
        state.quorum(&running)?;
        let member = state.members.get(&id).ok_or(EtcdError::NotFound)?;
        if !member.learner && running.contains(&member.name) {
            let active = state
                .voters()
                .filter(|voter| running.contains(&voter.name))
                .count();
            if active - 1 < 1 + (state.voters().count() - 1) / 2 {
                return Err(EtcdError::Unhealthy);
            }
        }
        let removed = state.members.remove(&id);
        state.settle(&running);
        drop(state);
        if let Some(removed) = removed.filter(|removed| removed.name != node.identity.hostname) {
            evict(node, &removed.name);
        }
        Ok(())
    }

    /// Hands leadership over if `node` has it, and says to whom.
    pub(crate) fn forfeit(&self, node: &Node) -> Result<Option<String>, EtcdError> {
        self.ask(node)?;
        let running = running(node);
        let mut state = self.state.lock();
        state.quorum(&running)?;
        if state.members.len() == 1 {
            return Err(EtcdError::OnlyMember);
        }
        let me = state.of(&node.identity.hostname).map_or(0, |member| member.id);
        if state.leader != me {
            return Ok(None);
        }
        let next = state
            .voters()
            .find(|voter| voter.id != me && running.contains(&voter.name));
        let Some((id, name)) = next.map(|voter| (voter.id, voter.name.clone())) else {
            return Err(EtcdError::Unhealthy);
        };
        state.leader = id;
        state.term += 1;
        Ok(Some(name))
    }

    /// Takes `node` out of the cluster, stops its service and empties its data folder.
    pub(crate) fn leave(&self, node: &Node) -> Result<(), EtcdError> {
        self.forfeit(node)?;
        let id = self.member(node).map_or(0, |member| member.id);
        self.remove(node, id)?;
        let stopping = services::stopping("etcd", node.services.pid("etcd"));
        node.service_moves("etcd", ServiceState::Stopping, &stopping);
        node.service_moves("etcd", ServiceState::Finished, "Service finished successfully");
        node.files.empty(DATA);
        node.publish_etcd_member();
        Ok(())
    }

    /// Forgets the data on `node` without asking anybody, as a wipe of its disk does. The others keep the
    /// member until somebody removes it; when nobody has data any more, there is no cluster.
    pub(crate) fn wipe(&self, node: &Node) {
        node.files.remove(DATA);
        if !node.cluster.control_planes().iter().any(|peer| has_data(peer)) {
            *self.state.lock() = State::default();
            node.cluster.bootstrapped.send_replace(false);
        }
        node.publish_etcd_member();
    }

    pub(crate) fn status(&self, node: &Node) -> Result<MemberStatus, EtcdError> {
        self.ask(node)?;
        let running = running(node);
        let mut state = self.state.lock();
        let has_leader = state.settle(&running);
        let member = state.of(&node.identity.hostname).cloned();
        let member = member.ok_or(EtcdError::Down(node.identity.address))?;
        let mut errors: Vec<String> = state
            .members
            .values()
            .flat_map(|member| member.alarms.iter().map(|alarm| (member.id, alarm.as_str())))
            .map(|(id, alarm)| format!("memberID:{id} alarm:{alarm} "))
            .collect();
        if !has_leader {
            errors.push("etcdserver: no leader".to_owned());
        }
        Ok(MemberStatus {
            member,
            leader: state.leader,
            term: state.term,
            index: state.index,
            downgrade: state.downgrade,
            errors,
        })
    }

    /// All alarms of all members, by member id; cleared if `disarm` is set.
    pub(crate) fn alarms(&self, node: &Node, disarm: bool) -> Result<Vec<(u64, EtcdAlarm)>, EtcdError> {
        self.quorum(node)?;
        let mut state = self.state.lock();
        let mut alarms = Vec::new();
        for member in state.members.values_mut() {
            alarms.extend(member.alarms.iter().map(|alarm| (member.id, *alarm)));
            if disarm {
                member.alarms.clear();
            }
        }
        Ok(alarms)
    }

    /// Gives unused space of the member's database back.
    pub(crate) fn defragment(&self, node: &Node) -> Result<(), EtcdError> {
        self.ask(node)?;
        self.change(node, |member| member.database.0 = member.database.1);
        Ok(())
    }

    /// Changes the member that `node` is, and its files with it; says whether it is one.
    pub(crate) fn change(&self, node: &Node, change: impl FnOnce(&mut Member)) -> bool {
        let mut state = self.state.lock();
        let id = state.of(&node.identity.hostname).map(|member| member.id);
        let Some(member) = id.and_then(|id| state.members.get_mut(&id)) else {
            return false;
        };
        change(member);
        data::write(node, member);
        true
    }

    /// The database of the local member.
    pub(crate) fn database(&self, node: &Node) -> Result<Source, EtcdError> {
        self.ask(node)?;
        let member = self.member(node);
        member
            .map(|member| node.open(&data::contents(&member)))
            .ok_or(EtcdError::Down(node.identity.address))
    }

    /// Fails unless the local member of `node` runs.
    fn ask(&self, node: &Node) -> Result<(), EtcdError> {
        if runs(node) {
            Ok(())
        } else {
            Err(EtcdError::Down(node.identity.address))
        }
    }
}

/// Whether the member of `node` answers.
pub(crate) fn runs(node: &Node) -> bool {
    node.machine_role() == Some(MachineRole::ControlPlane)
        && node.life().is_some()
        && node.services.state("etcd") == Some(ServiceState::Running)
        && has_data(node)
        && node.cluster.etcd.member(node).is_some()
}

/// Names of the members that run.
fn running(node: &Node) -> Vec<String> {
    let nodes = node.cluster.control_planes();
    let running = nodes.iter().filter(|peer| runs(peer));
    running.map(|peer| peer.identity.hostname.clone()).collect()
}

/// What happens to a member that the others have removed: it ends, and is started again in vain.
fn evict(node: &Node, name: &str) {
    let nodes: Vec<Arc<Node>> = node.cluster.control_planes();
    let Some(evicted) = nodes.iter().find(|peer| peer.identity.hostname == name) else {
        return;
    };
    evicted.publish_etcd_member();
    if evicted.services.state("etcd") == Some(ServiceState::Running) {
        evicted.service_moves(
            "etcd",
            ServiceState::Waiting,
            "Error running Containerd(etcd), going to restart forever: task \"etcd\" failed: exit code 1",
        );
    }
}
