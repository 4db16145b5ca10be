//! `storage.StorageService`: disks, and wiping them.

use talos_proto::{
    methods::storage::storage_service as methods,
    storage::{self as proto, storage_service_client::StorageServiceClient},
};
use talos_transport::{Channel, MAX_MESSAGE_SIZE};

use crate::{
    Node,
    api::wire::{wire_enum, wraps},
    call::{Target, request},
    error::Result,
};

wire_enum! {
    /// What kind of disk it is, as far as its transport tells; a guess for virtual disks.
    pub enum DiskType {
        /// The node cannot tell.
        Unknown = 0 as "unknown",
        /// Without moving parts, of no kind of its own.
        Ssd = 1 as "ssd",
        /// With rotating platters.
        Hdd = 2 as "hdd",
        /// Attached by NVMe.
        Nvme = 3 as "nvme",
        /// A memory card.
        Sd = 4 as "sd",
        /// Optical; cannot be wiped.
        Cd = 5 as "cd",
    }
}

wraps! {
    /// A disk of a node.
    pub struct Disk(proto::Disk);
}

impl Disk {
    /// Its path, such as `/dev/sda`.
    pub fn path(&self) -> &str {
        &self.raw.device_name
    }

    /// Its id, as [`BlockDevice`] wants it: the path without `/dev/`.
    pub fn id(&self) -> &str {
        let path = self.path();
        path.strip_prefix("/dev/").unwrap_or(path)
    }

    /// Its size, in bytes.
    pub fn size(&self) -> u64 {
        self.raw.size
    }

    /// What kind of disk it is.
    pub fn disk_type(&self) -> DiskType {
        DiskType::from_wire(self.raw.r#type)
    }

    /// The maker's name for it.
    pub fn model(&self) -> &str {
        &self.raw.model
    }

    /// Its serial number; `None` where it has none.
    pub fn serial(&self) -> Option<&str> {
        Some(self.raw.serial.as_str()).filter(|text| !text.is_empty())
    }

    /// Its world-wide id; `None` where it has none.
    pub fn wwid(&self) -> Option<&str> {
        Some(self.raw.wwid.as_str()).filter(|text| !text.is_empty())
    }

    /// Whether Talos is installed on it.
    pub fn is_system_disk(&self) -> bool {
        self.raw.system_disk
    }

    /// Whether it cannot be written.
    pub fn is_read_only(&self) -> bool {
        self.raw.readonly
    }
}

/// A disk or partition to be wiped. **Everything on it is lost.**
///
/// ```
/// use talos_client::api::storage::BlockDevice;
///
/// let disk = BlockDevice::new("vdb").overwrite(true);
/// let partition = BlockDevice::new("vdc1").drop_partition(true);
/// # let _ = (disk, partition);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct BlockDevice {
    message: proto::BlockDeviceWipeDescriptor,
}

impl BlockDevice {
    /// A disk or partition by its id, such as `vdb` or `vdb1`; a path is taken, too, if it is right below `/dev`.
    ///
    /// By default only the signatures are erased by which the contents are known, and devices in use are refused.
    pub fn new(device: impl AsRef<str>) -> Self {
        let device = device.as_ref();
        Self {
            message: proto::BlockDeviceWipeDescriptor {
                // The API wants ids, and finds nothing under a path.
                device: device.strip_prefix("/dev/").unwrap_or(device).to_owned(),
                ..Default::default()
            },
        }
    }

    /// Overwrites all of it with zeroes, which takes as long as the device is large; give the call the time for
    /// that. Default: false.
    pub fn overwrite(mut self, overwrite: bool) -> Self {
        use proto::block_device_wipe_descriptor::Method;

        let method = if overwrite { Method::Zeroes } else { Method::Fast };
        self.message.method = method.into();
        self
    }

    /// Even if a Talos volume is on it. A device that is mounted is refused nevertheless. Default: false.
    pub fn skip_volume_check(mut self, skip: bool) -> Self {
        self.message.skip_volume_check = skip;
        self
    }

    /// Even if something else is built on it: LVM, RAID, encryption. Nodes before Talos 1.11 do not know it.
    /// Default: false.
    pub fn skip_secondary_check(mut self, skip: bool) -> Self {
        self.message.skip_secondary_check = skip;
        self
    }

    /// Removes a partition from the table as well. Nodes before Talos 1.10 do not know it. Default: false.
    pub fn drop_partition(mut self, drop: bool) -> Self {
        self.message.drop_partition = drop;
        self
    }
}

impl From<&str> for BlockDevice {
    fn from(device: &str) -> Self {
        Self::new(device)
    }
}

impl From<String> for BlockDevice {
    fn from(device: String) -> Self {
        Self::new(device)
    }
}

request! {
    /// What to wipe; made by [`Node::wipe_block_devices`].
    pub struct WipeRequest(proto::BlockDeviceWipeRequest) {}

    /// Wipes the devices. **Everything on them is lost.** The node checks all of them before it wipes the first.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for no devices, and for an id that is empty or a path; nothing is sent then. `NotFound` for a
    /// device that does not exist; `FailedPrecondition` for one that is read-only, optical, mounted, or in use;
    /// `InvalidArgument` for one that is neither a disk nor a partition; and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the node may wipe the devices although nobody waits for its answer.
    send(target, message) -> () {
        let method = &methods::BLOCK_DEVICE_WIPE;
        if message.devices.is_empty() {
            return Err(target.invalid_input(method, "no device to wipe is named"));
        }
        for device in &message.devices {
            target.require(method, "the id of a device", &device.device)?;
            if device.device.contains('/') {
                let problem = format!("{:?} is not the id of a device, such as vdb1", device.device);
                return Err(target.invalid_input(method, problem));
            }
        }
        target
            .ack(method, message, |request| async {
                target.storage().block_device_wipe(request).await
            })
            .await
    }
}

impl WipeRequest {
    pub(crate) fn of(target: &Target, devices: impl IntoIterator<Item = impl Into<BlockDevice>>) -> Self {
        let devices = devices.into_iter().map(|device| device.into().message).collect();
        Self::new(target, proto::BlockDeviceWipeRequest { devices })
    }
}

impl Target {
    pub(crate) fn storage(&self) -> StorageServiceClient<Channel> {
        StorageServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_MESSAGE_SIZE)
    }

    pub(crate) async fn disks(&self) -> Result<Vec<Disk>> {
        let message = self
            .single(&methods::DISKS, (), |request| async {
                self.storage().disks(request).await
            })
            .await?;
        Ok(message.disks.into_iter().map(Disk::from).collect())
    }
}

impl Node {
    /// Every disk of the node.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `storage.StorageService/Disks` · talosctl get disks · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub async fn disks(&self) -> Result<Vec<Disk>> {
        self.target().disks().await
    }

    /// Wipes disks and partitions. **Everything on them is lost.**
    ///
    /// ```
    /// use talos_client::api::storage::BlockDevice;
    ///
    /// # use talos_client::{Client, config::Talosconfig};
    /// #
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = talos_testkit::SimCluster::builder().start().await?;
    /// # let client = Client::builder().talosconfig(Talosconfig::parse(cluster.talosconfig())?).build()?;
    /// # let node = client.node(cluster.node(0).name())?;
    /// node.wipe_block_devices([BlockDevice::new("vdb").overwrite(true)]).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `storage.StorageService/BlockDeviceWipe` · talosctl wipe disk · since Talos 1.9 · role os:admin ·
    /// unsafe
    pub fn wipe_block_devices(
        &self,
        devices: impl IntoIterator<Item = impl Into<BlockDevice>>,
    ) -> WipeRequest {
        WipeRequest::of(self.target(), devices)
    }
}
