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
    /// The disk at `path`, such as `/dev/sda`.
    pub(crate) fn disk(&self, path: &str) -> Option<DiskFacts> {
        let system = self.installation.lock().is_installed();
        match path {
            "/dev/sda" => Some(DiskFacts {
                read_only: false,
                system,
            }),
            _ => None,
        }
    }

    pub(super) fn wipe_system_disk(&self) {
        self.installation.lock().wipe();
        self.forget_config();
        self.wipe_meta();
        self.wipe_etcd();
    }

    pub(super) fn wipe_volumes(&self, labels: &[String]) {
        for label in labels {
            match label.as_str() {
                "STATE" => self.forget_config(),
                "META" => self.wipe_meta(),
                "EPHEMERAL" => self.wipe_etcd(),
                _ => {}
            }
        }
    }

    pub(super) fn wipe_user_disks(&self, _paths: &[String]) {}
}
