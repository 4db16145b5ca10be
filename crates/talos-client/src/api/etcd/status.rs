//! How a member does.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::{Etcd, EtcdMemberId};
use crate::error::Result;

/// How an etcd member does.
#[derive(Clone, Debug, PartialEq)]
pub struct EtcdStatus {
    raw: proto::EtcdMemberStatus,
}

impl EtcdStatus {
    /// The member's id; `None` where it says none.
    pub fn member_id(&self) -> Option<EtcdMemberId> {
        EtcdMemberId::new(self.raw.member_id)
    }

    /// The leader's id; `None` while there is no leader.
    pub fn leader(&self) -> Option<EtcdMemberId> {
        EtcdMemberId::new(self.raw.leader)
    }

    /// Whether this member is the leader.
    pub fn is_leader(&self) -> bool {
        self.leader().is_some() && self.leader() == self.member_id()
    }

    /// Whether it does not vote yet.
    pub fn is_learner(&self) -> bool {
        self.raw.is_learner
    }

    /// Size of the database file, in bytes. What the node says below zero counts as zero.
    pub fn db_size(&self) -> u64 {
        self.raw.db_size.try_into().unwrap_or(0)
    }

    /// How much of the file is in use, in bytes; [`Etcd::defragment`] frees the rest.
    pub fn db_size_in_use(&self) -> u64 {
        self.raw.db_size_in_use.try_into().unwrap_or(0)
    }

    /// Version of etcd, such as `3.6.4`.
    pub fn version(&self) -> &str {
        &self.raw.protocol_version
    }

    /// Version of the format of its data, such as `3.6.0`.
    pub fn storage_version(&self) -> &str {
        &self.raw.storage_version
    }

    /// Raft's index, term, and the index up to which this member has applied.
    pub fn raft(&self) -> (u64, u64, u64) {
        let raw = &self.raw;
        (raw.raft_index, raw.raft_term, raw.raft_applied_index)
    }

    /// What the member complains about, alarms among it.
    pub fn errors(&self) -> &[String] {
        &self.raw.errors
    }

    /// The message as it came.
    pub fn into_inner(self) -> proto::EtcdMemberStatus {
        self.raw
    }
}

impl Etcd {
    /// How this node's member does.
    ///
    /// # Errors
    ///
    /// `Unimplemented` on worker nodes, `Malformed` for a reply without a status, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/EtcdStatus` · talosctl etcd status · since Talos 1.7 or older · role
    /// os:reader or os:etcd:backup · read-only
    pub async fn status(&self) -> Result<EtcdStatus> {
        let target = &self.target;
        let (reply, call) = target
            .single_of(&methods::ETCD_STATUS, (), |request| async {
                target.machine().etcd_status(request).await
            })
            .await?;
        match reply.member_status {
            Some(raw) => Ok(EtcdStatus { raw }),
            None => Err(call.malformed("the reply has no status")),
        }
    }

    /// Makes this node's member give back the space that it does not use. **It answers nobody meanwhile**, so do
    /// it on one node at a time.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the member goes on.
    ///
    /// Upstream: `machine.MachineService/EtcdDefragment` · talosctl etcd defrag · since Talos 1.7 or older ·
    /// role os:operator · unsafe
    pub async fn defragment(&self) -> Result<()> {
        let target = &self.target;
        target
            .ack(&methods::ETCD_DEFRAGMENT, (), |request| async {
                target.machine().etcd_defragment(request).await
            })
            .await
    }
}
