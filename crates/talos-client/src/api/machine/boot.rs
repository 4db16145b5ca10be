//! Which boot of a node this is.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{
    Node,
    call::{Kind, Target},
    error::Result,
};

impl Target {
    /// The id that the kernel drew at boot.
    pub(crate) async fn boot_id(&self) -> Result<String> {
        #[cfg(feature = "cosi")]
        if let Ok(id) = self.boot_id_resource().await {
            return Ok(id);
        }
        let request = proto::ReadRequest {
            path: "/proc/sys/kernel/random/boot_id".to_owned(),
        };
        let stream = self.open_bytes(Kind::Transfer, &methods::READ, request).await?;
        let call = stream.call().clone();
        let text = stream.collect_up_to(MAX_LENGTH).await?;
        match std::str::from_utf8(&text).map(str::trim) {
            Ok(id) if !id.is_empty() => Ok(id.to_owned()),
            _ => Err(call.malformed("the boot id is empty or no text")),
        }
    }

    /// The same for readers, from Talos 1.14 on.
    #[cfg(feature = "cosi")]
    async fn boot_id_resource(&self) -> Result<String> {
        use prost::Message as _;
        use talos_proto::{
            cosi::resource::{GetRequest, state_client::StateClient},
            methods::cosi::resource::state as methods,
        };

        /// `talos.resource.definitions.runtime.BootIDSpec`, which is there with `def-runtime` only.
        #[derive(Clone, PartialEq, prost::Message)]
        struct BootId {
            #[prost(string, tag = "1")]
            boot_id: String,
        }

        let request = GetRequest {
            namespace: "runtime".to_owned(),
            r#type: "BootIDs.runtime.talos.dev".to_owned(),
            id: "boot-id".to_owned(),
            options: None,
        };
        let mut state = StateClient::new(self.channel.clone());
        let (reply, call) = self
            .call(&methods::GET, request, |request| async move {
                state.get(request).await
            })
            .await?;
        let malformed = || call.malformed("the boot id cannot be read");
        let spec = reply
            .resource
            .and_then(|resource| resource.spec)
            .ok_or_else(malformed)?;
        let id = BootId::decode(spec.proto_spec).map_err(|error| malformed().with_source(error))?;
        Some(id.boot_id).filter(|id| !id.is_empty()).ok_or_else(malformed)
    }
}

impl Node {
    /// The id of this boot of the node: a UUID that its kernel draws anew each time.
    ///
    /// Two that differ are the only proof that a node rebooted in between. With the feature `cosi` and Talos 1.14
    /// it is read from the resource `BootIDs`, for which the role `os:reader` is enough; else from
    /// `/proc/sys/kernel/random/boot_id`, which wants `os:admin`.
    ///
    /// # Errors
    ///
    /// `PermissionDenied` without `os:admin` on nodes before Talos 1.14, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    pub async fn boot_id(&self) -> Result<String> {
        self.target().boot_id().await
    }
}

/// It is 37 bytes long.
const MAX_LENGTH: usize = 256;
