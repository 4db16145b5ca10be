//! The volumes of the system disk, and the disks, as far as a reset is about them.

use std::collections::BTreeMap;

use super::Node;

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
        self.installation.lock().wipe();
        self.forget_configuration();
        self.cluster.etcd.wipe(self);
    }

    pub(super) fn wipe_volumes(&self, labels: &[String]) {
        if labels.iter().any(|label| label == "STATE") {
            self.forget_configuration();
        }
        if labels.iter().any(|label| label == "EPHEMERAL") {
            self.cluster.etcd.wipe(self);
        }
    }

    pub(super) fn wipe_user_disks(&self, paths: &[String]) {
        self.wipe_disks(paths);
    }
}
