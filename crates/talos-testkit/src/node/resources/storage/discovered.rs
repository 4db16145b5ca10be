//! What the machine found on its disks.

use talos_proto::definitions::block::DiscoveredVolumeSpec;

use super::{FIRST_OFFSET, SECTOR, pretty};
use crate::node::disks::{SimDisk, SimPartition};
use crate::node::resources::specs::draft;
use crate::node::resources::{Draft, ResourceKind};
use crate::yaml::Yaml;

pub(super) const KIND: ResourceKind = ResourceKind {
    name: "DiscoveredVolumes.block.talos.dev",
    namespace: "runtime",
    owner: "block.DiscoveryController",
};

/// All disks, each followed by its partitions.
pub(super) fn all(disks: &[SimDisk]) -> Vec<Draft> {
    let mut volumes = Vec::new();
    for disk in disks {
        volumes.push(discovered_disk(disk));
        let mut offset = FIRST_OFFSET;
        for (partition, index) in disk.partitions.iter().zip(1..) {
            volumes.push(discovered_partition(disk, partition, index, offset));
            offset += partition.size;
        }
    }
    volumes
}

fn discovered_disk(disk: &SimDisk) -> Draft {
    let name = if disk.partitions.is_empty() {
        disk.filesystem.clone()
    } else {
        "gpt".to_owned()
    };
    let spec = DiscoveredVolumeSpec {
        size: disk.size,
        name,
        r#type: "disk".to_owned(),
        device_path: format!("/virtual/{}", disk.id),
        dev_path: format!("/dev/{}", disk.id),
        ..common(disk.size)
    };
    discovered(&disk.id, &spec)
}

fn discovered_partition(disk: &SimDisk, partition: &SimPartition, index: u64, offset: u64) -> Draft {
    let spec = DiscoveredVolumeSpec {
        size: partition.size,
        name: partition.filesystem.clone(),
        partition_label: partition.label.clone(),
        partition_index: index,
        r#type: "partition".to_owned(),
        device_path: format!("/virtual/{}/{}", disk.id, partition.id),
        parent: disk.id.clone(),
        dev_path: format!("/dev/{}", partition.id),
        parent_dev_path: format!("/dev/{}", disk.id),
        offset,
        ..common(partition.size)
    };
    discovered(&partition.id, &spec)
}

fn common(size: u64) -> DiscoveredVolumeSpec {
    DiscoveredVolumeSpec {
        sector_size: SECTOR,
        io_size: SECTOR,
        probed_size: size,
        pretty_size: pretty(size),
        ..DiscoveredVolumeSpec::default()
    }
}

fn discovered(id: &str, spec: &DiscoveredVolumeSpec) -> Draft {
    let mut yaml = Yaml::default();
    yaml.entry("dev_path", &spec.dev_path);
    yaml.entry("type", &spec.r#type);
    yaml.entry("device_path", &spec.device_path);
    if !spec.parent.is_empty() {
        yaml.entry("parent", &spec.parent);
        yaml.entry("parent_dev_path", &spec.parent_dev_path);
    }
    if spec.offset > 0 {
        yaml.raw("offset", &spec.offset.to_string());
    }
    yaml.raw("size", &spec.size.to_string());
    yaml.entry("pretty_size", &spec.pretty_size);
    yaml.raw("sector_size", &spec.sector_size.to_string());
    yaml.raw("io_size", &spec.io_size.to_string());
    yaml.entry("name", &spec.name);
    yaml.raw("probed_size", &spec.probed_size.to_string());
    if spec.partition_index > 0 {
        yaml.entry("partition_label", &spec.partition_label);
        yaml.raw("partition_index", &spec.partition_index.to_string());
    }
    draft(&KIND, id, spec, yaml.finish())
}
