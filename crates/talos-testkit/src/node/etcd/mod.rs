//! The etcd cluster that the control plane nodes have in common.
//!
//! A member runs as long as its node does and the node's service `etcd` is running; a node has data as long
//! as it has the folder `/var/lib/etcd/member`. So what other parts do to services, files and power is what
//! etcd sees.

mod downgrade;
mod error;
mod image;
#[allow(dead_code, reason = "for the Bootstrap and Upgrade RPCs")]
mod recovery;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::node::files::entry::{Contents, Entry};
use crate::node::services::{self, ServiceState};
use crate::node::{Identity, MachineRole, Node};
use crate::rng::SimRng;
use crate::sync::Guarded;
pub(crate) use downgrade::{MinorVersion, storage_version, version};
pub(crate) use error::EtcdError;
pub(crate) use image::DatabaseImage;
pub(crate) use recovery::{RecoverError, SNAPSHOT_PATH, verify_snapshot};

/// Folder of etcd's data.
const DATA: &str = "/var/lib/etcd";
/// What of it is there if and only if the node is or was a member.
const MEMBER_DATA: &str = "/var/lib/etcd/member";
const DATABASE: &str = "/var/lib/etcd/member/snap/db";

/// Size of a database, and how much of it is used, unless told otherwise.
const DATABASE_SIZE: u64 = 2 << 20;
const DATABASE_IN_USE: u64 = 1 << 20;

/// An alarm of an etcd member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EtcdAlarm {
    /// The database has reached its quota.
    NoSpace,
    /// Members disagree about the data.
    Corrupt,
}

impl EtcdAlarm {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NoSpace => "NOSPACE",
            Self::Corrupt => "CORRUPT",
        }
    }
}

/// A member of the cluster.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) id: u64,
    /// Also the hostname of its node.
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) learner: bool,
    /// Size of the database in bytes, and how much of that is used.
    pub(crate) database: (u64, u64),
    pub(crate) alarms: Vec<EtcdAlarm>,
}

/// What a member says about itself.
#[derive(Debug, Clone)]
pub(crate) struct MemberStatus {
    pub(crate) member: Member,
    /// Id of the leader, 0 while there is none.
    pub(crate) leader: u64,
    pub(crate) term: u64,
    pub(crate) index: u64,
    pub(crate) downgrade: Option<MinorVersion>,
    pub(crate) errors: Vec<String>,
}

/// The cluster of all control plane nodes; without members until it is bootstrapped.
#[derive(Debug, Default)]
pub(crate) struct EtcdCluster {
    state: Guarded<State>,
}

#[derive(Debug, Default)]
struct State {
    members: BTreeMap<u64, Member>,
    leader: u64,
    term: u64,
    index: u64,
    downgrade: Option<MinorVersion>,
}

impl State {
    fn of(&self, name: &str) -> Option<&Member> {
        self.members.values().find(|member| member.name == name)
    }

    fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| !member.learner)
    }

    /// Elects a leader if the current one is gone and enough members run; says whether there is one.
    fn settle(&mut self, running: &[String]) -> bool {
        let up = |member: &&Member| running.contains(&member.name);
        let voters = self.voters().count();
        if self.voters().filter(up).count() < voters / 2 + 1 || voters == 0 {
            self.leader = 0;
            return false;
        }
        if !self.voters().filter(up).any(|member| member.id == self.leader) {
            let next = self.voters().find(up).map_or(0, |member| member.id);
            self.leader = next;
            self.term += 1;
        }
        true
    }

    fn quorum(&mut self, running: &[String]) -> Result<(), EtcdError> {
        if self.settle(running) {
            self.index += 1;
            Ok(())
        } else {
            Err(EtcdError::TimedOut)
        }
    }
}

impl EtcdCluster {
    /// Makes a machine a member, as if it had joined, or been the first one. Its files are written by
    /// [`write_files`].
    pub(crate) fn enroll(&self, identity: &Identity, rng: &SimRng) {
        let mut state = self.state.lock();
        let stale = state.of(&identity.hostname).map(|member| member.id);
        stale.and_then(|id| state.members.remove(&id));
        let member = Member {
            // The lowest bit keeps it from being 0, which means "no member".
            id: rng.fork("etcd member").next_u64() | 1,
            name: identity.hostname.clone(),
            address: identity.address,
            learner: false,
            database: (DATABASE_SIZE, DATABASE_IN_USE),
            alarms: Vec::new(),
        };
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

    /// Whether there are members.
    #[allow(dead_code, reason = "for the Bootstrap and Upgrade RPCs")]
    pub(crate) fn is_bootstrapped(&self) -> bool {
        !self.state.lock().members.is_empty()
    }

    /// Makes `node` the first and only member of a new cluster, from the uploaded snapshot if `recover` is
    /// set. The service is the caller's business, and so is the check of [`has_data`].
    #[allow(dead_code, reason = "for the Bootstrap and Upgrade RPCs")]
    pub(crate) fn bootstrap(&self, node: &Node, recover: Option<Recover>) -> Result<(), RecoverError> {
        if let Some(Recover { skip_hash_check }) = recover {
            verify_snapshot(node, skip_hash_check)?;
        }
        *self.state.lock() = State::default();
        self.enroll(&node.identity, &node.next_rng());
        write_files(node);
        Ok(())
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

    /// Why an upgrade of `node` would be refused, in Talos's words.
    #[allow(dead_code, reason = "for the Bootstrap and Upgrade RPCs")]
    pub(crate) fn upgrade_refusal(&self, node: &Node) -> Option<String> {
        let members = self.members();
        if members.len() == 2 {
            return Some(format!(
                "etcd member count({}) is insufficient to maintain quorum if upgrade commences",
                members.len()
            ));
        }
        let running = running(node);
        let down = members.iter().find(|member| !running.contains(&member.name));
        down.map(|member| format!("etcd member {:016x} is not healthy", member.id))
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
        write_data(node, member);
        true
    }

    /// The database of the local member.
    pub(crate) fn database(&self, node: &Node) -> Result<DatabaseImage, EtcdError> {
        self.ask(node)?;
        self.member(node)
            .map(|member| database_image(&member))
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

/// How to bootstrap from an uploaded snapshot.
#[allow(dead_code, reason = "for the Bootstrap and Upgrade RPCs")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Recover {
    /// Take a file that has no checksum at its end, such as a database copied from a member.
    pub(crate) skip_hash_check: bool,
}

/// Whether `node` has data of etcd, so that it cannot be bootstrapped.
pub(crate) fn has_data(node: &Node) -> bool {
    node.files.exists(MEMBER_DATA)
}

/// Whether the member of `node` answers.
pub(crate) fn runs(node: &Node) -> bool {
    node.identity.role == MachineRole::ControlPlane
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

/// Writes the data of the member that `node` is, if it is one.
pub(crate) fn write_files(node: &Node) {
    if let Some(member) = node.cluster.etcd.member(node) {
        write_data(node, &member);
    }
    node.publish_etcd_member();
}

fn database_image(member: &Member) -> DatabaseImage {
    DatabaseImage::new(
        SimRng::new(member.id).fork("database").next_u64(),
        member.database.0,
    )
}

fn write_data(node: &Node, member: &Member) {
    if !node.files.exists(DATA) {
        node.files.put(DATA, Entry::directory().with_mode(0o700));
    }
    let database = Entry::regular(Contents::Database(database_image(member))).with_mode(0o600);
    node.files.put(DATABASE, database);
}
