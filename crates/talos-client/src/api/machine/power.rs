//! Reboot, shutdown and rollback.

use std::fmt;

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{Node, call::request, error::Result};

/// How a node goes down and comes up again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RebootMode {
    /// By kexec where that is possible, which skips the firmware.
    #[default]
    Default,
    /// Through the firmware, as if power had been off.
    PowerCycle,
    /// At once: pods are not stopped and volumes not unmounted, so **what is not on disk yet is lost**.
    ///
    /// Nodes older than Talos 1.12 do not know it and reboot as with [`RebootMode::Default`].
    Force,
}

impl RebootMode {
    pub(super) fn to_wire(self) -> i32 {
        match self {
            Self::Default => 0,
            Self::PowerCycle => 1,
            Self::Force => 2,
        }
    }
}

/// The id of an action that a node has begun, such as a reboot: events about it carry the same id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActorId(String);

impl ActorId {
    /// The id as the node sent it, a UUID today.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl AsRef<str> for ActorId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<ActorId> for String {
    fn from(id: ActorId) -> Self {
        id.0
    }
}

/// A node has taken on an action, and works on it from now on.
///
/// That does not mean that it will be done: a node that is busy with something else answers the same and
/// says in its events that it is locked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Accepted {
    /// The id in the events about it. `None` where the node gave none.
    pub actor_id: Option<ActorId>,
}

impl Accepted {
    pub(crate) fn new(actor_id: String) -> Self {
        Self {
            actor_id: Some(actor_id).filter(|id| !id.is_empty()).map(ActorId),
        }
    }
}

request! {
    /// How to reboot; made by [`Node::reboot`].
    pub struct RebootRequest(proto::RebootRequest) {
        /// The way down and up. Default: [`RebootMode::Default`].
        fn mode(message, mode: RebootMode) {
            message.mode = mode.to_wire();
        }
    }

    /// Tells the node to reboot. It answers before it goes down.
    ///
    /// # Errors
    ///
    /// `FailedPrecondition` in a container, and every [`ErrorKind`](crate::ErrorKind) of a call. A node that is
    /// busy is no error, see [`Accepted`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the node may reboot although nobody waits for its answer.
    send(target, message) -> Accepted {
        let message = target
            .single(&methods::REBOOT, message, |request| async {
                target.machine().reboot(request).await
            })
            .await?;
        Ok(Accepted::new(message.actor_id))
    }
}

request! {
    /// How to shut down; made by [`Node::shutdown`].
    pub struct ShutdownRequest(proto::ShutdownRequest) {
        /// Does not cordon and drain the Kubernetes node before. Default: false.
        fn force(message, force: bool) {
            message.force = force;
        }
    }

    /// Tells the node to shut down. It answers before it goes down, whatever else it is doing.
    ///
    /// # Errors
    ///
    /// `FailedPrecondition` in a container, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the node may shut down although nobody waits for its answer.
    send(target, message) -> Accepted {
        let message = target
            .single(&methods::SHUTDOWN, message, |request| async {
                target.machine().shutdown(request).await
            })
            .await?;
        Ok(Accepted::new(message.actor_id))
    }
}

impl Node {
    /// Reboots the node.
    ///
    /// ```
    /// use talos_client::api::machine::RebootMode;
    ///
    /// # use talos_client::{Client, config::Talosconfig};
    /// #
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = talos_testkit::SimCluster::builder().start().await?;
    /// # let client = Client::builder().talosconfig(Talosconfig::parse(cluster.talosconfig())?).build()?;
    /// # let node = client.node(cluster.node(0).name())?;
    /// let accepted = node.reboot().mode(RebootMode::PowerCycle).send().await?;
    /// println!("follow {:?} in the events", accepted.actor_id);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `machine.MachineService/Reboot` · talosctl reboot · since Talos 1.7 or older · role os:operator ·
    /// unsafe
    pub fn reboot(&self) -> RebootRequest {
        RebootRequest::new(self.target(), proto::RebootRequest::default())
    }

    /// Shuts the node down: it is off until somebody switches it on again.
    ///
    /// Upstream: `machine.MachineService/Shutdown` · talosctl shutdown · since Talos 1.7 or older · role
    /// os:operator · unsafe
    pub fn shutdown(&self) -> ShutdownRequest {
        ShutdownRequest::new(self.target(), proto::ShutdownRequest::default())
    }

    /// Boots the node into the Talos release that was installed before the present one.
    ///
    /// The node reboots, whatever else it is doing. It gives no id by which that could be followed.
    ///
    /// # Errors
    ///
    /// `FailedPrecondition` in a container and where Talos is not installed, `Unknown` with the words of the
    /// boot loader where there is nothing to go back to, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the node may roll back although nobody waits for its answer.
    ///
    /// Upstream: `machine.MachineService/Rollback` · talosctl rollback · since Talos 1.7 or older · role os:admin ·
    /// unsafe
    pub async fn rollback(&self) -> Result<()> {
        let target = self.target();
        target
            .ack(&methods::ROLLBACK, proto::RollbackRequest {}, |request| async {
                target.machine().rollback(request).await
            })
            .await
    }
}
