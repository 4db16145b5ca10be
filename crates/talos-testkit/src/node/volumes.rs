//! The volumes of the system disk, and the disks, as far as a reset is about them.

use std::collections::BTreeMap;

use super::Node;
use super::disks::SimDisk;

/// Volumes by label, each with the volume that it is a part of, if any.
pub(crate) type Volumes = BTreeMap<String, Option<String>>;

/// The volumes of every machine.
pub(crate) fn of_the_system_disk() -> Volumes {
    ["BIOS", "BOOT", "EFI", "EPHEMERAL", "META", "STATE"]
        .into_iter()
        .map(|label| (label.to_owned(), None))
        .collect()
}

/// What a lookup of a volume that does not exist says.
pub(crate) fn not_found(label: &str) -> String {
    format!("resource VolumeStatuses.block.talos.dev(runtime/{label}@undefined) doesn't exist")
}

/// What a reset looks at before it wipes a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskFacts {
    pub(crate) read_only: bool,
    pub(crate) system: bool,
}

impl Node {
    /// The disk at `path`, such as `/dev/vda`.
    pub(crate) fn disk(&self, path: &str) -> Option<DiskFacts> {
        let installed = self.installation.lock().is_installed();
        let disks = self.disks();
        let disk = disks.iter().find(|disk| path == format!("/dev/{}", disk.id))?;
        Some(DiskFacts {
            read_only: disk.readonly,
            system: disk.system_disk && installed,
        })
    }

    pub(super) fn wipe_system_disk(&self) {
        self.wipe_installation();
        self.forget_configuration();
        self.wipe_meta();
        self.cluster.etcd.wipe(self);
    }

    /// Empties the system disk; what runs goes on.
    pub(crate) fn wipe_installation(&self) {
        self.installation.lock().wipe();
        let mut disks = self.disks();
        for disk in disks.iter_mut().filter(|disk| disk.system_disk) {
            disk.partitions.clear();
            disk.system_disk = false;
        }
        self.set_disks(disks);
    }

    /// Makes the partitions of Talos on the disk at `path`, or on the first one that will do. Machines that
    /// have a system disk keep it.
    pub(super) fn partition_system_disk(&self, path: Option<&str>) {
        let mut disks = self.disks();
        if disks.iter().any(|disk| disk.system_disk) {
            return;
        }
        let fits = |disk: &&mut SimDisk| match path {
            Some(path) => path == format!("/dev/{}", disk.id),
            None => !disk.readonly && !disk.cdrom,
        };
        if let Some(disk) = disks.iter_mut().find(fits) {
            *disk = disk.clone().with_talos();
            self.set_disks(disks);
        }
    }

    pub(super) fn wipe_volumes(&self, labels: &[String]) {
        if labels.iter().any(|label| label == "STATE") {
            self.forget_configuration();
        }
        if labels.iter().any(|label| label == "META") {
            self.wipe_meta();
        }
        if labels.iter().any(|label| label == "EPHEMERAL") {
            self.cluster.etcd.wipe(self);
        }
    }

    pub(super) fn wipe_user_disks(&self, paths: &[String]) {
        self.wipe_disks(paths);
    }
}
