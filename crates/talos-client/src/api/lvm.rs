//! `machine.LVMService`: removal of logical volumes.

use talos_proto::{
    machine::{self as proto, lvm_service_client::LvmServiceClient},
    methods::machine::lvm_service as methods,
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

use crate::{Node, call::Target, error::Result};

impl Target {
    fn lvm(&self) -> LvmServiceClient<Channel> {
        LvmServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    pub(crate) async fn remove_logical_volume(
        &self,
        volume_group: String,
        logical_volume: String,
    ) -> Result<()> {
        let method = &methods::LOGICAL_VOLUME_REMOVE;
        self.require(method, "volume group", &volume_group)?;
        self.require(method, "logical volume", &logical_volume)?;
        let request = proto::LvmServiceLogicalVolumeRemoveRequest {
            volume_group,
            logical_volume,
        };
        self.plain(method, request, |request| async {
            self.lvm().logical_volume_remove(request).await
        })
        .await
    }

    pub(crate) async fn remove_volume_group(&self, volume_group: String) -> Result<()> {
        let method = &methods::VOLUME_GROUP_REMOVE;
        self.require(method, "volume group", &volume_group)?;
        let request = proto::LvmServiceVolumeGroupRemoveRequest { volume_group };
        self.plain(method, request, |request| async {
            self.lvm().volume_group_remove(request).await
        })
        .await
    }

    pub(crate) async fn remove_physical_volume(&self, device: String) -> Result<()> {
        let method = &methods::PHYSICAL_VOLUME_REMOVE;
        self.require(method, "device", &device)?;
        let request = proto::LvmServicePhysicalVolumeRemoveRequest { device };
        self.plain(method, request, |request| async {
            self.lvm().physical_volume_remove(request).await
        })
        .await
    }
}

impl Node {
    /// Removes a logical volume. **Everything on it is lost.**
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty name; nothing is sent then. `NotFound` where there is no such volume,
    /// `FailedPrecondition` where it is in use, `Unimplemented` on nodes before Talos 1.14, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the volume may be removed although nobody waits for the answer.
    ///
    /// Upstream: `machine.LVMService/LogicalVolumeRemove` · talosctl wipe lv · since Talos 1.14 · role os:admin ·
    /// unsafe
    pub async fn remove_logical_volume(
        &self,
        volume_group: impl Into<String>,
        logical_volume: impl Into<String>,
    ) -> Result<()> {
        self.target()
            .remove_logical_volume(volume_group.into(), logical_volume.into())
            .await
    }

    /// Removes a volume group that has no logical volumes.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty name; nothing is sent then. `NotFound` where there is no such group,
    /// `FailedPrecondition` where it is in use or not empty, `Unimplemented` on nodes before Talos 1.14, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the group may be removed although nobody waits for the answer.
    ///
    /// Upstream: `machine.LVMService/VolumeGroupRemove` · talosctl wipe vg · since Talos 1.14 · role os:admin · unsafe
    pub async fn remove_volume_group(&self, volume_group: impl Into<String>) -> Result<()> {
        self.target().remove_volume_group(volume_group.into()).await
    }

    /// Makes a device no physical volume any more, by its full path, such as `/dev/sdb1`.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty path; nothing is sent then. `NotFound` where it is no physical volume,
    /// `FailedPrecondition` where it belongs to a group, `Unimplemented` on nodes before Talos 1.14, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, it may be removed although nobody waits for the answer.
    ///
    /// Upstream: `machine.LVMService/PhysicalVolumeRemove` · talosctl wipe pv · since Talos 1.14 · role os:admin ·
    /// unsafe
    pub async fn remove_physical_volume(&self, device: impl Into<String>) -> Result<()> {
        self.target().remove_physical_volume(device.into()).await
    }
}
