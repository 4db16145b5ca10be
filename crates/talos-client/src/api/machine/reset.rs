//! Wiping a node.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::Accepted;
use crate::{
    Node,
    call::{Target, request},
    error::Result,
};

/// What [`Node::reset`] wipes. **Everything on it is lost.**
///
/// Only combinations that nodes accept can be written.
///
/// ```
/// use talos_client::api::machine::{SystemWipe, Wipe};
///
/// let everything: Wipe = SystemWipe::disk().into();
/// let back_to_maintenance: Wipe = SystemWipe::partitions(["STATE", "EPHEMERAL"]).into();
/// let data_only = Wipe::user_disks(["/dev/sdb"]);
/// let both = SystemWipe::disk().and_user_disks(["/dev/sdb"]);
/// # let _ = (everything, back_to_maintenance, data_only, both);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Wipe {
    system: Option<SystemWipe>,
    user_disks: Option<Vec<String>>,
}

/// What of the system disk [`Node::reset`] wipes; a [`Wipe`] by itself, or with
/// [`SystemWipe::and_user_disks`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct SystemWipe {
    /// `None` is the whole disk; on the wire, that is an empty list.
    partitions: Option<Vec<String>>,
}

impl SystemWipe {
    /// The whole disk that Talos is installed on. The node cannot boot from it afterwards.
    pub fn disk() -> Self {
        Self { partitions: None }
    }

    /// Only these partitions of it, by label, such as `STATE` (machine configuration) and `EPHEMERAL` (`/var`,
    /// with etcd and images). At least one: an empty list is refused, because nodes take it for the whole disk.
    pub fn partitions(labels: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            partitions: Some(labels.into_iter().map(Into::into).collect()),
        }
    }

    /// And these other disks as a whole, by path, such as `/dev/sdb`.
    pub fn and_user_disks(self, disks: impl IntoIterator<Item = impl Into<String>>) -> Wipe {
        Wipe {
            system: Some(self),
            user_disks: Some(disks.into_iter().map(Into::into).collect()),
        }
    }
}

impl Wipe {
    /// Only these disks as a whole, by path, such as `/dev/sdb`; the system disk stays as it is.
    pub fn user_disks(disks: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            system: None,
            user_disks: Some(disks.into_iter().map(Into::into).collect()),
        }
    }

    /// What is wrong with it, if anything.
    fn problem(&self) -> Option<String> {
        let partitions = self
            .system
            .as_ref()
            .and_then(|system| system.partitions.as_deref());
        if partitions.is_some_and(<[_]>::is_empty) {
            return Some(
                "no partition to wipe is named, and the node would take that for the whole disk".into(),
            );
        }
        if partitions.into_iter().flatten().any(String::is_empty) {
            return Some("the label of a partition is empty".into());
        }
        if self.user_disks.as_deref().is_some_and(<[_]>::is_empty) {
            return Some("no user disk to wipe is named".into());
        }
        let wrong = |disk: &&String| disk.strip_prefix("/dev/").is_none_or(str::is_empty);
        let disk = self.user_disks.iter().flatten().find(wrong)?;
        Some(format!("user disk {disk:?} is not a path below /dev"))
    }

    fn into_message(self) -> proto::ResetRequest {
        use proto::reset_request::WipeMode;

        let mode = match (&self.system, &self.user_disks) {
            (Some(_), None) => WipeMode::SystemDisk,
            (None, _) => WipeMode::UserDisks,
            (Some(_), Some(_)) => WipeMode::All,
        };
        let labels = self
            .system
            .and_then(|system| system.partitions)
            .unwrap_or_default();
        proto::ResetRequest {
            graceful: true,
            reboot: false,
            system_partitions_to_wipe: labels
                .into_iter()
                .map(|label| proto::ResetPartitionSpec { label, wipe: true })
                .collect(),
            user_disks_to_wipe: self.user_disks.unwrap_or_default(),
            mode: mode.into(),
        }
    }
}

impl From<SystemWipe> for Wipe {
    fn from(system: SystemWipe) -> Self {
        Self {
            system: Some(system),
            user_disks: None,
        }
    }
}

/// What is to be wiped, and how.
#[derive(Clone, Debug)]
pub(crate) struct ResetMessage {
    wipe: Wipe,
    graceful: bool,
    reboot: bool,
}

request! {
    /// How to reset a node; made by [`Node::reset`].
    pub struct ResetRequest(ResetMessage) {
        /// Cordons and drains the Kubernetes node, and takes a control plane node out of etcd before. Needs a
        /// cluster that works. Default: true.
        fn graceful(message, graceful: bool) {
            message.graceful = graceful;
        }

        /// Reboots afterwards; without it the node shuts down. Default: false.
        fn reboot(message, reboot: bool) {
            message.reboot = reboot;
        }
    }

    /// Tells the node to wipe itself. **What is wiped is lost.** The node answers before it begins.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty list of partitions or disks, an empty label, and a disk that is not a path
    /// below `/dev`; nothing is sent then. `Unknown` where the node knows no such disk or partition or cannot
    /// wipe it, and every [`ErrorKind`](crate::ErrorKind) of a call. A node that is busy is no error, see
    /// [`Accepted`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the node may wipe itself although nobody waits for its answer.
    send(target, message) -> Accepted {
        target.reset(message).await
    }
}

impl Target {
    async fn reset(&self, message: ResetMessage) -> Result<Accepted> {
        let method = &methods::RESET;
        if let Some(problem) = message.wipe.problem() {
            return Err(self.invalid_input(method, problem));
        }
        let request = proto::ResetRequest {
            graceful: message.graceful,
            reboot: message.reboot,
            ..message.wipe.into_message()
        };
        let message = self
            .single(method, request, |request| async {
                self.machine().reset(request).await
            })
            .await?;
        Ok(Accepted::new(message.actor_id))
    }
}

impl ResetRequest {
    /// Whether the node comes up again.
    #[cfg(feature = "workflows")]
    pub(crate) fn reboots(&self) -> bool {
        self.message.reboot
    }

    pub(crate) fn of(target: &Target, wipe: Wipe) -> Self {
        let message = ResetMessage {
            wipe,
            graceful: true,
            reboot: false,
        };
        Self::new(target, message)
    }
}

impl Node {
    /// Wipes the node. **Machine configuration, etcd data, volumes and user data on what is wiped are lost.**
    ///
    /// ```
    /// use talos_client::api::machine::SystemWipe;
    ///
    /// # use talos_client::{Client, config::Talosconfig};
    /// #
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = talos_testkit::SimCluster::builder().start().await?;
    /// # let client = Client::builder().talosconfig(Talosconfig::parse(cluster.talosconfig())?).build()?;
    /// # let node = client.node(cluster.node(0).name())?;
    /// // Back to maintenance mode, with Talos still installed.
    /// let wipe = SystemWipe::partitions(["STATE", "EPHEMERAL"]);
    /// node.reset(wipe).reboot(true).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `machine.MachineService/Reset` · talosctl reset · since Talos 1.7 or older · role os:admin ·
    /// unsafe
    pub fn reset(&self, wipe: impl Into<Wipe>) -> ResetRequest {
        ResetRequest::of(self.target(), wipe.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nodes_would_misunderstand_or_refuse_is_a_problem() {
        let none: [&str; 0] = [];
        let wrong = [
            SystemWipe::partitions(none).into(),
            SystemWipe::partitions(["STATE", ""]).into(),
            Wipe::user_disks(none),
            Wipe::user_disks(["sdb"]),
            Wipe::user_disks(["/dev/"]),
            SystemWipe::disk().and_user_disks(["/dev/sdb", ""]),
        ];
        for wipe in wrong {
            assert!(wipe.problem().is_some(), "{wipe:?}");
        }
        let right = [
            SystemWipe::disk().into(),
            SystemWipe::partitions(["STATE"]).into(),
            Wipe::user_disks(["/dev/disk/by-id/x"]),
            SystemWipe::partitions(["STATE"]).and_user_disks(["/dev/sdb"]),
        ];
        for wipe in right {
            assert_eq!(wipe.problem(), None, "{wipe:?}");
        }
    }
}
