//! `machine.MDService`: removal of software RAID arrays.

use talos_proto::{
    machine::{self as proto, md_service_client::MdServiceClient},
    methods::machine::md_service as methods,
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

use crate::{Node, call::Target, error::Result};

impl Target {
    fn md(&self) -> MdServiceClient<Channel> {
        MdServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    pub(crate) async fn destroy_md_array(&self, device: String) -> Result<()> {
        let method = &methods::DESTROY;
        if device.strip_prefix("/dev/").is_none_or(str::is_empty) {
            return Err(self.invalid_input(method, format!("array {device:?} is not a path below /dev")));
        }
        self.plain(method, proto::MdDestroyRequest { device }, |request| async {
            self.md().destroy(request).await
        })
        .await
    }
}

impl Node {
    /// Stops a software RAID array and erases it from its members, by its full path, such as `/dev/md0`.
    /// **Everything on it is lost.**
    ///
    /// # Errors
    ///
    /// `InvalidInput` for what is not a path below `/dev`; nothing is sent then. `NotFound` where there is no such
    /// array, `FailedPrecondition` where it is in use, `Unimplemented` on nodes before Talos 1.14, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the array may be removed although nobody waits for the answer.
    ///
    /// Upstream: `machine.MDService/Destroy` · talosctl wipe md · since Talos 1.14 · role os:admin · unsafe
    pub async fn destroy_md_array(&self, device: impl Into<String>) -> Result<()> {
        self.target().destroy_md_array(device.into()).await
    }
}
