//! Values of the META partition.

use std::fmt;

use bytes::Bytes;
use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{Node, error::Result};

/// A key of the META partition: a number from 0 to 255, most of which Talos uses itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MetaKey(pub u8);

impl MetaKey {
    /// Network configuration of machines on bare metal, in YAML.
    pub const METAL_NETWORK_CONFIG: Self = Self(0x0a);
    /// The code in the URL from which the machine configuration is downloaded.
    pub const DOWNLOAD_URL_CODE: Self = Self(0x0b);
    /// For the user's own purposes.
    pub const USER_RESERVED_1: Self = Self(0x0c);
    /// For the user's own purposes.
    pub const USER_RESERVED_2: Self = Self(0x0d);
    /// For the user's own purposes.
    pub const USER_RESERVED_3: Self = Self(0x0e);
    /// The UUID of the machine, in place of what its firmware says.
    pub const UUID_OVERRIDE: Self = Self(0x0f);
    /// The token by which the machine joins a SideroLink.
    pub const UNIQUE_MACHINE_TOKEN: Self = Self(0x10);
}

impl From<u8> for MetaKey {
    fn from(key: u8) -> Self {
        Self(key)
    }
}

/// Hexadecimal, as in the ids of the `MetaKeys` resources: `0x0c`.
impl fmt::Display for MetaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02x}", self.0)
    }
}

impl Node {
    /// Writes a value to the META partition, over the one that is there.
    ///
    /// **The keys that [`MetaKey`] does not name are Talos' own**: a wrong value under one can keep a node from
    /// booting.
    ///
    /// # Errors
    ///
    /// `ResourceExhausted` where the value does not fit, `FailedPrecondition` in a container, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the value may be written although nobody waits for the answer.
    ///
    /// Upstream: `machine.MachineService/MetaWrite` · talosctl meta write · since Talos 1.7 or older · role
    /// os:meta:writer · idempotent
    pub async fn meta_write(&self, key: impl Into<MetaKey>, value: impl Into<Bytes>) -> Result<()> {
        let target = self.target();
        let request = proto::MetaWriteRequest {
            key: key.into().0.into(),
            value: value.into(),
        };
        target
            .ack(&methods::META_WRITE, request, |request| async {
                target.machine().meta_write(request).await
            })
            .await
    }

    /// Removes a value from the META partition.
    ///
    /// # Errors
    ///
    /// `NotFound` where there is none, `FailedPrecondition` in a container, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the value may be removed although nobody waits for the answer.
    ///
    /// Upstream: `machine.MachineService/MetaDelete` · talosctl meta delete · since Talos 1.7 or older · role
    /// os:meta:writer · unsafe
    pub async fn meta_delete(&self, key: impl Into<MetaKey>) -> Result<()> {
        let target = self.target();
        let request = proto::MetaDeleteRequest {
            key: key.into().0.into(),
        };
        target
            .ack(&methods::META_DELETE, request, |request| async {
                target.machine().meta_delete(request).await
            })
            .await
    }
}
