//! What a machine says about its disks, and what is on them.

mod discovered;

use talos_proto::definitions::block::{DeviceSpec, DiskSpec, SystemDiskSpec, VolumeStatusSpec};
use talos_proto::definitions::enums::{BlockFilesystemType, BlockVolumePhase, BlockVolumeType};

use super::specs::draft;
use super::{Draft, ResourceKind};
use crate::node::Node;
use crate::node::disks::{SimDisk, SimPartition};
use crate::yaml::Yaml;

const DISK: ResourceKind = ResourceKind {
    name: "Disks.block.talos.dev",
    namespace: "runtime",
    owner: "block.DisksController",
};
const BLOCK_DEVICE: ResourceKind = ResourceKind {
    name: "BlockDevices.block.talos.dev",
    namespace: "runtime",
    owner: "block.DevicesController",
};
const SYSTEM_DISK: ResourceKind = ResourceKind {
    name: "SystemDisks.block.talos.dev",
    namespace: "runtime",
    owner: "block.SystemDiskController",
};
const VOLUME_STATUS: ResourceKind = ResourceKind {
    name: "VolumeStatuses.block.talos.dev",
    namespace: "runtime",
    owner: "block.VolumeManagerController",
};

const SECTOR: u64 = 512;
/// Where the first partition begins.
const FIRST_OFFSET: u64 = 1 << 20;
/// The volumes that every machine has, or is to have.
const VOLUMES: [&str; 3] = ["META", "STATE", "EPHEMERAL"];
/// Major number of block devices.
const MAJOR: i64 = 253;

impl Node {
    /// Brings the resources of disks in line with the disks there are.
    pub(crate) fn publish_disks(&self) {
        let disks = self.disks();
        self.publish_all_of(&DISK, disks.iter().map(disk).collect());
        self.publish_all_of(&BLOCK_DEVICE, block_devices(&disks));
        self.publish_all_of(&discovered::KIND, discovered::all(&disks));
        let system = disks.iter().find(|disk| disk.system_disk);
        self.publish_all_of(&SYSTEM_DISK, system.map(system_disk).into_iter().collect());
        for volume in VOLUMES {
            self.resources.put(volume_status(volume, &disks));
        }
    }

    /// Puts these resources, and removes all others of the kind.
    fn publish_all_of(&self, kind: &'static ResourceKind, drafts: Vec<Draft>) {
        let collection = self.resources.collection(kind.namespace, kind.name);
        for stale in collection.snapshot().resources {
            let id = super::collection::id_of(&stale);
            if !drafts.iter().any(|draft| draft.id == id) {
                collection.remove(id);
            }
        }
        drafts.into_iter().for_each(|draft| self.resources.put(draft));
    }
}

fn disk(disk: &SimDisk) -> Draft {
    let spec = DiskSpec {
        size: disk.size,
        io_size: SECTOR,
        sector_size: SECTOR,
        readonly: disk.readonly,
        model: disk.model.clone(),
        serial: disk.serial.clone(),
        wwid: disk.wwid.clone(),
        bus_path: format!("/virtual/{}", disk.id),
        sub_system: "/sys/class/block".to_owned(),
        transport: disk.transport.as_str().to_owned(),
        rotational: disk.rotational,
        cdrom: disk.cdrom,
        dev_path: format!("/dev/{}", disk.id),
        pretty_size: pretty(disk.size),
        secondary_disks: disk.used_by.clone(),
        ..DiskSpec::default()
    };
    let mut yaml = Yaml::default();
    yaml.entry("dev_path", &spec.dev_path);
    yaml.raw("size", &spec.size.to_string());
    yaml.entry("pretty_size", &spec.pretty_size);
    yaml.raw("io_size", &spec.io_size.to_string());
    yaml.raw("sector_size", &spec.sector_size.to_string());
    yaml.raw("readonly", &spec.readonly.to_string());
    yaml.raw("cdrom", &spec.cdrom.to_string());
    let texts = [
        ("model", &spec.model),
        ("serial", &spec.serial),
        ("wwid", &spec.wwid),
        ("bus_path", &spec.bus_path),
        ("sub_system", &spec.sub_system),
        ("transport", &spec.transport),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        yaml.entry(key, text);
    }
    if spec.rotational {
        yaml.raw("rotational", "true");
    }
    if !spec.secondary_disks.is_empty() {
        yaml.list("secondary_disks", &spec.secondary_disks);
    }
    draft(&DISK, &disk.id, &spec, yaml.finish())
}

fn block_devices(disks: &[SimDisk]) -> Vec<Draft> {
    let mut devices = Vec::new();
    let mut add = |id: &str, spec: DeviceSpec| {
        let spec = DeviceSpec {
            major: MAJOR,
            minor: i64::try_from(devices.len()).unwrap_or_default(),
            generation: 1,
            ..spec
        };
        let mut yaml = Yaml::default();
        yaml.entry("type", &spec.r#type);
        yaml.raw("major", &spec.major.to_string());
        yaml.raw("minor", &spec.minor.to_string());
        if !spec.parent.is_empty() {
            yaml.entry("partitionName", &spec.partition_name);
            yaml.raw("partitionNumber", &spec.partition_number.to_string());
        }
        yaml.entry("devicePath", &spec.device_path);
        yaml.raw("generation", &spec.generation.to_string());
        if !spec.parent.is_empty() {
            yaml.entry("parent", &spec.parent);
        }
        if !spec.secondaries.is_empty() {
            yaml.list("secondaries", &spec.secondaries);
        }
        devices.push(draft(&BLOCK_DEVICE, id, &spec, yaml.finish()));
    };
    for disk in disks {
        let spec = DeviceSpec {
            r#type: "disk".to_owned(),
            device_path: format!("/virtual/{}", disk.id),
            secondaries: disk.used_by.clone(),
            ..DeviceSpec::default()
        };
        add(&disk.id, spec);
        for (partition, number) in disk.partitions.iter().zip(1..) {
            let spec = DeviceSpec {
                r#type: "partition".to_owned(),
                partition_name: partition.id.clone(),
                partition_number: number,
                device_path: format!("/virtual/{}/{}", disk.id, partition.id),
                parent: disk.id.clone(),
                secondaries: partition.used_by.clone(),
                ..DeviceSpec::default()
            };
            add(&partition.id, spec);
        }
    }
    devices
}

fn system_disk(disk: &SimDisk) -> Draft {
    let spec = SystemDiskSpec {
        disk_id: disk.id.clone(),
        dev_path: format!("/dev/{}", disk.id),
    };
    let mut yaml = Yaml::default();
    yaml.entry("diskID", &spec.disk_id);
    yaml.entry("devPath", &spec.dev_path);
    draft(&SYSTEM_DISK, "system-disk", &spec, yaml.finish())
}

/// Where a volume of Talos is, if it is anywhere.
fn volume_status(id: &str, disks: &[SimDisk]) -> Draft {
    let partitions = disks.iter().flat_map(|disk| {
        let numbered = disk.partitions.iter().zip(1_u32..);
        numbered.map(move |(partition, number)| (disk, partition, number))
    });
    let found = partitions
        .into_iter()
        .find(|(_, partition, _)| partition.volume == id);
    let mut yaml = Yaml::default();
    let Some((disk, partition, number)) = found else {
        let phase = BlockVolumePhase::VolumePhaseMissing;
        yaml.entry("phase", "missing");
        yaml.entry("type", "partition");
        let spec = VolumeStatusSpec {
            phase: phase.into(),
            r#type: BlockVolumeType::VolumeTypePartition.into(),
            ..VolumeStatusSpec::default()
        };
        return draft(&VOLUME_STATUS, id, &spec, yaml.finish());
    };
    let (filesystem, name) = filesystem(partition);
    let location = format!("/dev/{}", partition.id);
    let spec = VolumeStatusSpec {
        phase: BlockVolumePhase::VolumePhaseReady.into(),
        r#type: BlockVolumeType::VolumeTypePartition.into(),
        location: location.clone(),
        mount_location: location,
        partition_index: number.into(),
        parent_location: format!("/dev/{}", disk.id),
        size: partition.size,
        pretty_size: pretty(partition.size),
        filesystem: filesystem.into(),
        ..VolumeStatusSpec::default()
    };
    yaml.entry("phase", "ready");
    yaml.entry("type", "partition");
    yaml.entry("location", &spec.location);
    yaml.entry("mountLocation", &spec.mount_location);
    yaml.raw("partitionIndex", &number.to_string());
    yaml.entry("parentLocation", &spec.parent_location);
    yaml.raw("size", &spec.size.to_string());
    yaml.entry("prettySize", &spec.pretty_size);
    yaml.entry("filesystem", name);
    draft(&VOLUME_STATUS, id, &spec, yaml.finish())
}

fn filesystem(partition: &SimPartition) -> (BlockFilesystemType, &'static str) {
    match partition.filesystem.as_str() {
        "xfs" => (BlockFilesystemType::FilesystemTypeXfs, "xfs"),
        "ext4" => (BlockFilesystemType::FilesystemTypeExt4, "ext4"),
        "vfat" => (BlockFilesystemType::FilesystemTypeVfat, "vfat"),
        _ => (BlockFilesystemType::FilesystemTypeNone, "none"),
    }
}

/// A size in powers of ten with two digits, as Talos prints it.
fn pretty(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["kB", "MB", "GB", "TB", "PB"] {
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if value < 9.95 && unit != "B" {
        format!("{value:.1} {unit}")
    } else {
        format!("{value:.0} {unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_pretty() {
        let cases = [
            (512, "512 B"),
            (1 << 20, "1.0 MB"),
            (100 << 20, "105 MB"),
            (8 << 30, "8.6 GB"),
            (10 << 30, "11 GB"),
            (999_600, "1.0 MB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(pretty(bytes), text);
        }
    }
}
