//! Starting etcd for the first time.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{Node, call::request};

/// What [`BootstrapRequest::recover_etcd`] demands of the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SnapshotHash {
    /// The SHA-256 sum at the end of the snapshot must be there and right, as in every snapshot that a node
    /// made.
    Verify,
    /// None: for a database file that was copied out of a data folder and has no sum.
    Skip,
}

request! {
    /// How to bootstrap; made by [`Node::bootstrap`].
    pub struct BootstrapRequest(proto::BootstrapRequest) {
        /// Starts from the snapshot that was uploaded to this node before, in place of an empty database.
        fn recover_etcd(message, hash: SnapshotHash) {
            message.recover_etcd = true;
            message.recover_skip_hash_check = hash == SnapshotHash::Skip;
        }
    }

    /// Bootstraps etcd, and returns when its data folder is set up.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` where etcd has data, which also is the outcome of a second bootstrap of the same node;
    /// `FailedPrecondition` while the node is not ready for it or its clock is not in sync: try again;
    /// `InvalidArgument` where the machine configuration has no etcd; `Unimplemented` on worker nodes; and
    /// every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the node may bootstrap although nobody waits for its answer.
    send(target, message) -> () {
        target
            .ack(&methods::BOOTSTRAP, message, |request| async {
                target.machine().bootstrap(request).await
            })
            .await
    }
}

impl Node {
    /// Starts etcd, and with it the Kubernetes control plane, for the first time.
    ///
    /// **On exactly one control plane node of a cluster, once**: a second one would begin a cluster of its own.
    ///
    /// Upstream: `machine.MachineService/Bootstrap` · talosctl bootstrap · since Talos 1.7 or older · role
    /// os:admin · unsafe
    pub fn bootstrap(&self) -> BootstrapRequest {
        BootstrapRequest::new(self.target(), proto::BootstrapRequest::default())
    }
}
