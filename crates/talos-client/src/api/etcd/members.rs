//! Who is in the cluster, and taking members out.

use std::{fmt, str::FromStr};

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::Etcd;
use crate::{call::request, error::Result};

/// The id of an etcd member, which is written as 16 hexadecimal digits.
///
/// etcd's own tools leave leading zeros out; both forms are read.
///
/// ```
/// use talos_client::api::etcd::EtcdMemberId;
///
/// let id: EtcdMemberId = "d41ab9270cbad38".parse()?;
/// assert_eq!(id.to_string(), "0d41ab9270cbad38");
/// # Ok::<_, talos_client::api::etcd::EtcdMemberIdError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EtcdMemberId(u64);

/// A text is not an [`EtcdMemberId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("{input:?} is not an etcd member id, which has 1 to 16 hexadecimal digits and is not zero")]
pub struct EtcdMemberIdError {
    /// The rejected text, or the beginning of a long one.
    pub input: String,
}

impl EtcdMemberId {
    /// From the number; `None` for zero, which is nobody's id.
    pub const fn new(id: u64) -> Option<Self> {
        match id {
            0 => None,
            id => Some(Self(id)),
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for EtcdMemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for EtcdMemberId {
    type Err = EtcdMemberIdError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let hex = (1..=16).contains(&input.len()) && input.bytes().all(|byte| byte.is_ascii_hexdigit());
        hex.then(|| u64::from_str_radix(input, 16).ok())
            .flatten()
            .and_then(Self::new)
            .ok_or_else(|| EtcdMemberIdError {
                input: input.chars().take(40).collect(),
            })
    }
}

/// A member of the etcd cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct EtcdMember {
    id: EtcdMemberId,
    raw: proto::EtcdMember,
}

impl EtcdMember {
    /// Its id.
    pub fn id(&self) -> EtcdMemberId {
        self.id
    }

    /// Its name, which is the host name that its node had when it joined. Empty until it has started.
    pub fn hostname(&self) -> &str {
        &self.raw.hostname
    }

    /// Where other members reach it.
    pub fn peer_urls(&self) -> &[String] {
        &self.raw.peer_urls
    }

    /// Where its clients reach it. Empty until it has started.
    pub fn client_urls(&self) -> &[String] {
        &self.raw.client_urls
    }

    /// Whether it does not vote yet.
    pub fn is_learner(&self) -> bool {
        self.raw.is_learner
    }

    /// The message as it came.
    pub fn into_inner(self) -> proto::EtcdMember {
        self.raw
    }
}

request! {
    /// Which members to list; made by [`Etcd::members`].
    pub struct EtcdMembersRequest(proto::EtcdMemberListRequest) {
        /// Asks the node's own member what it knows, even if it has no quorum. Default: false, any member that
        /// the node can reach is asked.
        fn query_local(message, local: bool) {
            message.query_local = local;
        }
    }

    /// Asks for the list, which comes in the order of etcd.
    ///
    /// # Errors
    ///
    /// `Unimplemented` on worker nodes, `Malformed` for a member without id, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    send(target, message) -> Vec<EtcdMember> {
        let (reply, call) = target
            .single_of(&methods::ETCD_MEMBER_LIST, message, |request| async {
                target.machine().etcd_member_list(request).await
            })
            .await?;
        let member = |raw: proto::EtcdMember| match EtcdMemberId::new(raw.id) {
            Some(id) => Ok(EtcdMember { id, raw }),
            None => Err(call.malformed("a member has no id")),
        };
        reply.members.into_iter().map(member).collect()
    }
}

impl Etcd {
    /// The members of the cluster.
    ///
    /// Upstream: `machine.MachineService/EtcdMemberList` · talosctl etcd members · since Talos 1.7 or older ·
    /// role os:reader or os:etcd:backup · read-only
    pub fn members(&self) -> EtcdMembersRequest {
        EtcdMembersRequest::new(&self.target, proto::EtcdMemberListRequest::default())
    }

    /// Takes a member out of the cluster, by way of this node's member.
    ///
    /// **For members whose node is gone.** A node that runs is to leave by itself, see [`Etcd::leave`]: one that
    /// is taken out goes on with data that is of no use any more.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is no such member, `Unknown` with etcd's words where it refuses, such as
    /// `etcdserver: unhealthy cluster`, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the member may be out all the same.
    ///
    /// Upstream: `machine.MachineService/EtcdRemoveMemberByID` · talosctl etcd remove-member · since Talos 1.7
    /// or older · role os:admin · unsafe
    pub async fn remove_member(&self, id: EtcdMemberId) -> Result<()> {
        let target = &self.target;
        let message = proto::EtcdRemoveMemberByIdRequest { member_id: id.get() };
        target
            .ack(&methods::ETCD_REMOVE_MEMBER_BY_ID, message, |request| async {
                target.machine().etcd_remove_member_by_id(request).await
            })
            .await
    }

    /// Makes this node's member leave the cluster. **The node stops etcd and deletes its data.**
    ///
    /// Answered when that is done; a member without quorum tries for up to five minutes.
    ///
    /// # Errors
    ///
    /// `Unknown` with `failed to leave cluster: …`, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the member may leave all the same.
    ///
    /// Upstream: `machine.MachineService/EtcdLeaveCluster` · talosctl etcd leave · since Talos 1.7 or older ·
    /// role os:admin · unsafe
    pub async fn leave(&self) -> Result<()> {
        let target = &self.target;
        target
            .ack(
                &methods::ETCD_LEAVE_CLUSTER,
                proto::EtcdLeaveClusterRequest {},
                |request| async { target.machine().etcd_leave_cluster(request).await },
            )
            .await
    }

    /// Makes this node's member give the leadership to another one. Returns the name of that one, or `None`
    /// where this member is not the leader.
    ///
    /// # Errors
    ///
    /// `Unknown` with `… cannot forfeit leadership, only one member` where there is nobody else, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the leadership may move all the same.
    ///
    /// Upstream: `machine.MachineService/EtcdForfeitLeadership` · talosctl etcd forfeit-leadership · since Talos
    /// 1.7 or older · role os:admin · unsafe
    pub async fn forfeit_leadership(&self) -> Result<Option<String>> {
        let target = &self.target;
        let reply = target
            .single(
                &methods::ETCD_FORFEIT_LEADERSHIP,
                proto::EtcdForfeitLeadershipRequest {},
                |request| async { target.machine().etcd_forfeit_leadership(request).await },
            )
            .await?;
        Ok(Some(reply.member).filter(|member| !member.is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ids_are_read_as_they_are_written(id in 1_u64..) {
            let id = EtcdMemberId::new(id).expect("not zero");
            prop_assert_eq!(id.to_string().parse(), Ok(id));
            prop_assert_eq!(format!("{:x}", id.get()).parse(), Ok(id));
            prop_assert_eq!(id.to_string().len(), 16);
        }
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for input in [
            "",
            "0",
            "0000000000000000",
            "+1",
            "-1",
            "0x1",
            " 1",
            "g",
            "12345678901234567",
            "cp-1",
        ] {
            let error = input.parse::<EtcdMemberId>().expect_err(input);
            assert_eq!(error.input, input);
        }
        let long = "z".repeat(1000).parse::<EtcdMemberId>().expect_err("long");
        assert_eq!(long.input.len(), 40);
    }
}
