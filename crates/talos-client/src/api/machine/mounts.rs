//! Mounted file systems of a node.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{Node, api::wire::wraps, error::Result};

wraps! {
    /// A mounted file system.
    pub struct Mount(proto::MountStat);
}

impl Mount {
    /// What is mounted: a device, or a name such as `tmpfs`.
    pub fn source(&self) -> &str {
        &self.raw.filesystem
    }

    /// Where.
    pub fn mounted_on(&self) -> &str {
        &self.raw.mounted_on
    }

    /// Its size, in bytes; 0 for pseudo file systems.
    pub fn size(&self) -> u64 {
        self.raw.size
    }

    /// What programs without privileges can still write, in bytes.
    pub fn available(&self) -> u64 {
        self.raw.available
    }

    /// What is taken, in bytes: size less available.
    pub fn used(&self) -> u64 {
        self.raw.size.saturating_sub(self.raw.available)
    }
}

impl Node {
    /// Every mounted file system of the node, in the order in which they were mounted.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Mounts` · talosctl mounts · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub async fn mounts(&self) -> Result<Vec<Mount>> {
        let target = self.target();
        let message = target
            .single(&methods::MOUNTS, (), |request| async {
                target.machine().mounts(request).await
            })
            .await?;
        Ok(message.stats.into_iter().map(Mount::from).collect())
    }
}
