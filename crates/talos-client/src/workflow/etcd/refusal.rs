//! Why something is not done to etcd.

use super::EtcdQuorum;
use crate::{
    api::etcd::EtcdMemberId,
    error::{Error, ErrorKind, Origin},
};

/// Why a change of etcd was not begun. The source of an error of kind
/// [`FailedPrecondition`](ErrorKind::FailedPrecondition) whose origin is this machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdRefusal {
    /// Too few members answer even now, so that etcd cannot agree on anything.
    #[error("etcd has lost its quorum: {quorum}")]
    NoQuorum {
        /// As it is.
        quorum: EtcdQuorum,
    },
    /// Too few members would be left.
    #[error("without member {member}, etcd would lose its quorum: {quorum}")]
    WouldLoseQuorum {
        /// The member that would be missing.
        member: EtcdMemberId,
        /// As it would be.
        quorum: EtcdQuorum,
    },
    /// It is the only member with a vote: with it, all data would be gone.
    #[error("member {member} is the last one that votes, and all data would be gone with it")]
    LastMember {
        /// The member.
        member: EtcdMemberId,
    },
    /// Members disagree about the data. Clearing this alarm hides it and mends nothing.
    #[error("data of etcd are corrupt, says the alarm of {}", list(.members))]
    Corrupt {
        /// Who raised the alarm.
        members: Vec<EtcdMemberId>,
    },
}

impl From<EtcdRefusal> for Error {
    fn from(refusal: EtcdRefusal) -> Self {
        Self::new(ErrorKind::FailedPrecondition, Origin::Local)
            .with_message(refusal.to_string())
            .with_source(refusal)
    }
}

fn list(members: &[EtcdMemberId]) -> String {
    if members.is_empty() {
        return "a member without id".to_owned();
    }
    let members: Vec<_> = members.iter().map(ToString::to_string).collect();
    members.join(", ")
}
