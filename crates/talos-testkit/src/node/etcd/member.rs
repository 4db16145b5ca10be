//! Members of etcd, and what they agree on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;

use super::downgrade::MinorVersion;
use super::error::EtcdError;

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
    pub(super) const fn as_str(self) -> &'static str {
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
    /// What is in the database, if that matters: after a recovery.
    pub(crate) contents: Option<Bytes>,
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

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) members: BTreeMap<u64, Member>,
    pub(super) leader: u64,
    pub(super) term: u64,
    pub(super) index: u64,
    pub(super) downgrade: Option<MinorVersion>,
}

impl State {
    pub(super) fn of(&self, name: &str) -> Option<&Member> {
        self.members.values().find(|member| member.name == name)
    }

    pub(super) fn voters(&self) -> impl Iterator<Item = &Member> {
        self.members.values().filter(|member| !member.learner)
    }

    /// Elects a leader if the current one is gone and enough members run; says whether there is one.
    pub(super) fn settle(&mut self, running: &[String]) -> bool {
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

    pub(super) fn quorum(&mut self, running: &[String]) -> Result<(), EtcdError> {
        if self.settle(running) {
            self.index += 1;
            Ok(())
        } else {
            Err(EtcdError::TimedOut)
        }
    }
}
