//! What a machine says about its disks and its member of etcd.

use talos_proto::definitions::block::{DiscoveredVolumeSpec, SystemDiskSpec};
use talos_proto::definitions::etcd::MemberSpec;

use super::specs::draft;
use super::{Draft, ResourceKind};
use crate::node::Node;
use crate::node::disks::{SimDisk, SimPartition};
use crate::talosconfig::scalar;
use crate::yaml::Yaml;

const SYSTEM_DISK: ResourceKind = ResourceKind {
    name: "SystemDisks.block.talos.dev",
    namespace: "runtime",
    owner: "block.SystemDiskController",
};
const DISCOVERED_VOLUME: ResourceKind = ResourceKind {
    name: "DiscoveredVolumes.block.talos.dev",
    namespace: "runtime",
    owner: "block.DiscoveryController",
};
const ETCD_MEMBER: ResourceKind = ResourceKind {
    name: "EtcdMembers.etcd.talos.dev",
    namespace: "etcd",
    owner: "etcd.MemberController",
};

const SECTOR: u64 = 512;
/// Where the first partition begins.
const FIRST_OFFSET: u64 = 1 << 20;

impl Node {
    /// Brings the resources of disks in line with the disks there are.
    pub(crate) fn publish_disks(&self) {
        let disks = self.disks();
        let mut volumes: Vec<Draft> = Vec::new();
        for disk in &disks {
            volumes.push(discovered_disk(disk));
            let mut offset = FIRST_OFFSET;
            for (index, partition) in disk.partitions.iter().enumerate() {
                volumes.push(discovered_partition(disk, partition, index as u64 + 1, offset));
                offset += partition.size;
            }
        }
        let collection = self
            .resources
            .collection(DISCOVERED_VOLUME.namespace, DISCOVERED_VOLUME.name);
        for stale in collection.snapshot().resources {
            let id = super::collection::id_of(&stale);
            if !volumes.iter().any(|volume| volume.id == id) {
                collection.remove(id);
            }
        }
        volumes.into_iter().for_each(|volume| self.resources.put(volume));
        match disks.iter().find(|disk| disk.system_disk) {
            Some(disk) => self.resources.put(system_disk(disk)),
            None => self
                .resources
                .collection(SYSTEM_DISK.namespace, SYSTEM_DISK.name)
                .remove("system-disk"),
        }
    }

    /// Brings the resource of the etcd member in line with the members there are.
    pub(crate) fn publish_etcd_member(&self) {
        match self.cluster.etcd.member(self) {
            Some(member) => {
                let member_id = format!("{:016x}", member.id);
                let yaml = format!("memberID: {}\n", scalar(&member_id));
                let spec = MemberSpec { member_id };
                self.resources.put(draft(&ETCD_MEMBER, "local", &spec, yaml));
            }
            None => self
                .resources
                .collection(ETCD_MEMBER.namespace, ETCD_MEMBER.name)
                .remove("local"),
        }
    }
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
    draft(&DISCOVERED_VOLUME, id, spec, yaml.finish())
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
