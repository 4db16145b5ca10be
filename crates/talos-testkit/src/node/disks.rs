//! Disks of a node, their partitions, and what stands in the way of wiping them.

use std::sync::LazyLock;

use super::Node;
use crate::sync::Guarded;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;

/// How a disk is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum DiskTransport {
    /// Virtual.
    #[default]
    Virtio,
    /// NVMe.
    Nvme,
    /// SATA.
    Sata,
    /// A memory card.
    Mmc,
    /// Unknown to the node.
    Unknown,
}

impl DiskTransport {
    /// The spelling in resources.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Virtio => "virtio",
            Self::Nvme => "nvme",
            Self::Sata => "sata",
            Self::Mmc => "mmc",
            Self::Unknown => "",
        }
    }
}

/// A disk. See [`SimNode::set_disks`](crate::SimNode::set_disks).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimDisk {
    /// Name without `/dev/`, such as `vdb`.
    pub id: String,
    /// Size in bytes.
    pub size: u64,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// World wide id.
    pub wwid: String,
    /// How it is attached. Default: virtio.
    pub transport: DiskTransport,
    /// Whether it has rotating platters. Default: no.
    pub rotational: bool,
    /// Default: no.
    pub readonly: bool,
    /// Default: no.
    pub cdrom: bool,
    /// Whether Talos is installed on it. Default: no.
    pub system_disk: bool,
    /// What is on it if it is not partitioned, such as `xfs`; empty if nothing is.
    pub filesystem: String,
    /// Partitions in order.
    pub partitions: Vec<SimPartition>,
    /// Names of block devices made of it, such as `dm-0`.
    pub used_by: Vec<String>,
    /// Name of the volume on it; empty if there is none.
    pub volume: String,
    /// Whether the kernel keeps it open, so that a wipe fails when it begins. Default: no.
    pub busy: bool,
}

/// A partition of a [`SimDisk`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimPartition {
    /// Name without `/dev/`, such as `vdb1`.
    pub id: String,
    /// Label.
    pub label: String,
    /// Size in bytes.
    pub size: u64,
    /// What is on it, such as `xfs`; empty if nothing is.
    pub filesystem: String,
    /// Name of the volume on it, such as `EPHEMERAL`; empty if there is none.
    pub volume: String,
    /// Names of block devices made of it, such as `dm-0`.
    pub used_by: Vec<String>,
    /// Whether the kernel keeps it open. Default: no.
    pub busy: bool,
}

impl SimDisk {
    /// An empty disk of `size` bytes.
    #[must_use]
    pub fn new(id: impl Into<String>, size: u64) -> Self {
        let id = id.into();
        Self {
            serial: format!("SIM-{id}"),
            wwid: format!("sim.{id}"),
            model: "Simulated disk".to_owned(),
            id,
            size,
            transport: DiskTransport::Virtio,
            rotational: false,
            readonly: false,
            cdrom: false,
            system_disk: false,
            filesystem: String::new(),
            partitions: Vec::new(),
            used_by: Vec::new(),
            volume: String::new(),
            busy: false,
        }
    }

    /// Makes it the system disk, with the partitions of Talos and nothing else on it.
    pub(super) fn with_talos(mut self) -> Self {
        let ephemeral = self.size.saturating_sub(2 * GIB);
        self.filesystem.clear();
        self.volume.clear();
        self.partitions.clear();
        self.system_disk = true;
        self.partition("EFI", 100 * MIB, "vfat", "")
            .partition("BIOS", MIB, "", "")
            .partition("BOOT", 1000 * MIB, "xfs", "")
            .partition("META", MIB, "talosmeta", "META")
            .partition("STATE", 100 * MIB, "xfs", "STATE")
            .partition("EPHEMERAL", ephemeral, "xfs", "EPHEMERAL")
    }

    /// Adds a partition, numbered on, with a file system and perhaps a volume on it.
    #[must_use]
    pub fn partition(mut self, label: &str, size: u64, filesystem: &str, volume: &str) -> Self {
        let number = self.partitions.len() + 1;
        let separator = if self.id.ends_with(|last: char| last.is_ascii_digit()) {
            "p"
        } else {
            ""
        };
        self.partitions.push(SimPartition {
            id: format!("{}{separator}{number}", self.id),
            label: label.to_owned(),
            size,
            filesystem: filesystem.to_owned(),
            volume: volume.to_owned(),
            used_by: Vec::new(),
            busy: false,
        });
        self
    }
}

/// The disks of a node after an installation: one with Talos, and an empty one.
static DEFAULT: LazyLock<Vec<SimDisk>> = LazyLock::new(|| {
    vec![
        SimDisk::new("vda", 10 * GIB).with_talos(),
        SimDisk::new("vdb", 10 * GIB),
    ]
});

/// The disks; `None` for those every node has.
#[derive(Debug, Default)]
pub(crate) struct DiskTable(Guarded<Option<Vec<SimDisk>>>);

/// What is to be wiped.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wipe<'a> {
    pub(crate) device: &'a str,
    pub(crate) skip_volume_check: bool,
    pub(crate) skip_secondary_check: bool,
    pub(crate) drop_partition: bool,
}

/// Why a device cannot be wiped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WipeError {
    NotFound(String),
    Unsupported(String, &'static str),
    /// With the text of the precondition.
    Refused(String),
}

impl Node {
    pub(crate) fn disks(&self) -> Vec<SimDisk> {
        self.disk_table
            .0
            .lock()
            .clone()
            .unwrap_or_else(|| DEFAULT.clone())
    }

    pub(crate) fn set_disks(&self, disks: Vec<SimDisk>) {
        *self.disk_table.0.lock() = Some(disks);
        self.publish_disks();
    }

    /// Empties whole disks, given by their paths, whatever is on them.
    pub(crate) fn wipe_disks(&self, paths: &[String]) {
        let mut disks = self.disks();
        for disk in &mut disks {
            if paths.contains(&format!("/dev/{}", disk.id)) {
                disk.partitions.clear();
                disk.filesystem.clear();
                disk.volume.clear();
            }
        }
        self.set_disks(disks);
    }

    /// Wipes all devices, or none if one of them must not be wiped. A device that turns out to be in use when
    /// its turn comes leaves those before it wiped.
    pub(crate) fn wipe(&self, wipes: &[Wipe<'_>]) -> Result<(), WipeError> {
        let mut disks = self.disks();
        for wipe in wipes {
            check(&disks, wipe)?;
        }
        let mut outcome = Ok(());
        for wipe in wipes {
            outcome = erase(&mut disks, wipe);
            if outcome.is_err() {
                break;
            }
        }
        self.set_disks(disks);
        outcome
    }
}

/// What is known of a device, be it a disk or a partition.
struct Device<'a> {
    disk: &'a SimDisk,
    used_by: &'a [String],
    volume: &'a str,
}

fn find<'a>(disks: &'a [SimDisk], id: &str) -> Option<Device<'a>> {
    for disk in disks {
        if disk.id == id {
            return Some(Device {
                disk,
                used_by: &disk.used_by,
                volume: &disk.volume,
            });
        }
        if let Some(partition) = disk.partitions.iter().find(|partition| partition.id == id) {
            return Some(Device {
                disk,
                used_by: &partition.used_by,
                volume: &partition.volume,
            });
        }
    }
    None
}

fn check(disks: &[SimDisk], wipe: &Wipe<'_>) -> Result<(), WipeError> {
    let id = wipe.device;
    let refused = |reason: &str| Err(WipeError::Refused(format!("blockdevice \"{id}\" {reason}")));
    let Some(device) = find(disks, id) else {
        // Device mapper and the like are devices, but no disks.
        let made_of_others = disks.iter().any(|disk| {
            let parts = disk.partitions.iter().flat_map(|partition| &partition.used_by);
            disk.used_by.iter().chain(parts).any(|user| user == id)
        });
        return Err(if made_of_others {
            WipeError::Unsupported(id.to_owned(), "dm")
        } else {
            WipeError::NotFound(id.to_owned())
        });
    };
    if device.disk.readonly {
        return refused("is read-only");
    }
    if device.disk.cdrom {
        return refused("is a CD-ROM");
    }
    if let Some(user) = device.used_by.first().filter(|_| !wipe.skip_secondary_check) {
        let kind = if disks.iter().any(|disk| disk.id == *user) {
            "disk"
        } else {
            "blockdevice"
        };
        return refused(&format!("is in use by {kind} \"{user}\""));
    }
    if !wipe.skip_volume_check {
        let on_partitions = device
            .disk
            .partitions
            .iter()
            .map(|partition| partition.volume.as_str());
        let whole_disk = device.disk.id == id;
        let volumes = std::iter::once(device.volume).chain(on_partitions.filter(|_| whole_disk));
        if let Some(volume) = volumes.into_iter().find(|volume| !volume.is_empty()) {
            return refused(&format!("is in use by volume \"{volume}\""));
        }
    }
    Ok(())
}

fn erase(disks: &mut [SimDisk], wipe: &Wipe<'_>) -> Result<(), WipeError> {
    let id = wipe.device;
    for disk in disks {
        let whole = disk.id == id;
        let Some(index) = disk
            .partitions
            .iter()
            .position(|partition| partition.id == id || whole)
        else {
            if whole {
                busy(id, disk.busy)?;
                disk.filesystem.clear();
                disk.volume.clear();
            }
            continue;
        };
        if whole {
            busy(
                id,
                disk.busy || disk.partitions.iter().any(|partition| partition.busy),
            )?;
            disk.partitions.clear();
            disk.filesystem.clear();
            disk.volume.clear();
        } else {
            busy(id, disk.partitions[index].busy)?;
            if wipe.drop_partition {
                disk.partitions.remove(index);
            } else {
                disk.partitions[index].filesystem.clear();
                disk.partitions[index].volume.clear();
            }
        }
    }
    Ok(())
}

fn busy(id: &str, busy: bool) -> Result<(), WipeError> {
    if busy {
        return Err(WipeError::Refused(format!(
            "block device \"{id}\" is mounted or in use"
        )));
    }
    Ok(())
}
