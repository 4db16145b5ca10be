//! The etcd of a cluster, by way of the member on one of its control plane nodes.
//!
//! Everything is behind [`Node::etcd`], since each call is about the member of one node, or changes the
//! cluster by way of it. Worker nodes answer `Unimplemented`.
//!
//! ```no_run
//! # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
//! for member in node.etcd().members().send().await? {
//!     println!("{} {}", member.id(), member.hostname());
//! }
//! let saved = node.etcd().snapshot().to_file("etcd.snapshot").await?;
//! println!("{} bytes", saved.bytes());
//! # Ok(())
//! # }
//! ```

mod alarms;
mod downgrade;
mod members;
mod recover;
mod snapshot;
mod status;
mod verify;

use crate::{Node, call::Target};

pub use self::{
    alarms::{EtcdAlarm, EtcdAlarmKind},
    downgrade::{EtcdVersion, EtcdVersionError},
    members::{EtcdMember, EtcdMemberId, EtcdMemberIdError, EtcdMembersRequest},
    recover::EtcdRecoverRequest,
    snapshot::{EtcdSnapshot, EtcdSnapshotFileRequest, EtcdSnapshotRequest, SavedSnapshot},
    status::EtcdStatus,
};
#[cfg(feature = "workflows")]
pub(crate) use verify::Verifier;

/// The etcd member of a node; made by [`Node::etcd`].
#[derive(Clone, Debug)]
pub struct Etcd {
    target: Target,
}

impl Node {
    /// The etcd member that runs on this node. Nothing is sent.
    pub fn etcd(&self) -> Etcd {
        Etcd {
            target: self.target().clone(),
        }
    }
}
