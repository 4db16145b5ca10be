//! The upgrade of nodes older than Talos 1.13.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::{Accepted, RebootMode};
use crate::{Node, call::request};

request! {
    /// How to upgrade by the old call; made by [`Node::legacy_upgrade`].
    pub struct LegacyUpgradeRequest(proto::UpgradeRequest) {
        /// Only prepares the upgrade, which is made during a reboot that follows at once. Default: false.
        fn stage(message, stage: bool) {
            message.stage = stage;
        }

        /// Skips the checks of etcd's health that control plane nodes make before. Default: false.
        fn force(message, force: bool) {
            message.force = force;
        }

        /// Keeps the data on the ephemeral partition. As with [`LegacyUpgradeRequest::force`], the checks of etcd
        /// are skipped. Default: false.
        fn preserve(message, preserve: bool) {
            message.preserve = preserve;
        }

        /// How to reboot into the new release. [`RebootMode::Force`] does not exist here and counts as
        /// [`RebootMode::Default`]. Default: [`RebootMode::Default`].
        fn reboot_mode(message, mode: RebootMode) {
            message.reboot_mode = match mode {
                RebootMode::PowerCycle => 1,
                RebootMode::Default | RebootMode::Force => 0,
            };
        }
    }

    /// Tells the node to upgrade. It fetches and checks the image before it answers, and upgrades and reboots
    /// afterwards.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty image name. `FailedPrecondition` in a container and where Talos is not
    /// installed, `Unknown` where the image cannot be fetched or etcd would not survive, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the node may upgrade although nobody waits for its answer.
    send(target, message) -> Accepted {
        let method = &methods::UPGRADE;
        target.require(method, "image", &message.image)?;
        let message = target
            .single(method, message, |request| async {
                #[expect(deprecated, reason = "so is the method that leads here")]
                target.machine().upgrade(request).await
            })
            .await?;
        Ok(Accepted::new(message.actor_id))
    }
}

impl Node {
    /// Upgrades the node to the release in an installer image, by the call that releases before Talos 1.13 have.
    ///
    /// The node drains itself, installs, and reboots, all by itself.
    ///
    /// Upstream: `machine.MachineService/Upgrade` · talosctl upgrade --legacy · since Talos 1.7 or older · role
    /// os:admin · unsafe · deprecated, removed in Talos 1.18
    #[deprecated(
        note = "removed in Talos 1.18, use ImageService/Pull, LifecycleService/Upgrade and `reboot` for nodes since 1.13"
    )]
    pub fn legacy_upgrade(&self, image: impl Into<String>) -> LegacyUpgradeRequest {
        let message = proto::UpgradeRequest {
            image: image.into(),
            ..Default::default()
        };
        LegacyUpgradeRequest::new(self.target(), message)
    }
}
