//! Logical volumes and arrays made of disks.

use crate::sync::Guarded;

/// A volume group of LVM. See [`SimNode::set_volume_groups`](crate::SimNode::set_volume_groups).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimVolumeGroup {
    /// Name.
    pub name: String,
    /// Devices it is made of, such as `/dev/vdb1`.
    pub physical_volumes: Vec<String>,
    /// Names of its logical volumes, and whether they are open.
    pub logical_volumes: Vec<(String, bool)>,
}

impl SimVolumeGroup {
    /// A group without logical volumes.
    #[must_use]
    pub fn new(
        name: impl Into<String>,
        physical_volumes: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        Self {
            name: name.into(),
            physical_volumes: physical_volumes.into_iter().map(Into::into).collect(),
            logical_volumes: Vec::new(),
        }
    }

    /// Adds a logical volume.
    #[must_use]
    pub fn logical_volume(mut self, name: impl Into<String>, open: bool) -> Self {
        self.logical_volumes.push((name.into(), open));
        self
    }
}

/// An array of disks. See [`SimNode::set_arrays`](crate::SimNode::set_arrays).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimArray {
    /// Device, such as `/dev/md0`.
    pub device: String,
    /// Devices it is made of.
    pub members: Vec<String>,
    /// Whether something uses it.
    pub in_use: bool,
}

impl SimArray {
    /// An array that nothing uses.
    #[must_use]
    pub fn new(device: impl Into<String>, members: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            device: device.into(),
            members: members.into_iter().map(Into::into).collect(),
            in_use: false,
        }
    }

    /// Lets something use it.
    #[must_use]
    pub const fn in_use(mut self) -> Self {
        self.in_use = true;
        self
    }
}

/// Why nothing was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum VolumeError {
    NotFound,
    InUse,
    NotEmpty,
    Open,
    Partitioned,
}

/// What is made of the disks of a node.
#[derive(Debug, Default)]
pub(crate) struct LogicalVolumes {
    pub(crate) groups: Guarded<Vec<SimVolumeGroup>>,
    /// Devices that are prepared for LVM and belong to no group.
    pub(crate) free: Guarded<Vec<String>>,
    pub(crate) arrays: Guarded<Vec<SimArray>>,
}

impl LogicalVolumes {
    pub(crate) fn remove_logical_volume(&self, group: &str, name: &str) -> Result<(), VolumeError> {
        let mut groups = self.groups.lock();
        let group = groups
            .iter_mut()
            .find(|found| found.name == group)
            .ok_or(VolumeError::NotFound)?;
        let index = group.logical_volumes.iter().position(|(found, _)| found == name);
        let index = index.ok_or(VolumeError::NotFound)?;
        if group.logical_volumes[index].1 {
            return Err(VolumeError::Open);
        }
        group.logical_volumes.remove(index);
        Ok(())
    }

    pub(crate) fn remove_group(&self, name: &str) -> Result<(), VolumeError> {
        let mut groups = self.groups.lock();
        let index = groups
            .iter()
            .position(|found| found.name == name)
            .ok_or(VolumeError::NotFound)?;
        if !groups[index].logical_volumes.is_empty() {
            return Err(VolumeError::NotEmpty);
        }
        let group = groups.remove(index);
        self.free.lock().extend(group.physical_volumes);
        Ok(())
    }

    /// Takes the mark of LVM off a device; `partitioned` says whether it holds a partition table instead.
    pub(crate) fn remove_physical_volume(&self, device: &str, partitioned: bool) -> Result<(), VolumeError> {
        let groups = self.groups.lock();
        let mut used = groups.iter().flat_map(|group| &group.physical_volumes);
        if used.any(|used| used == device) {
            return Err(VolumeError::InUse);
        }
        let mut free = self.free.lock();
        match free.iter().position(|found| found == device) {
            Some(index) => {
                free.remove(index);
                Ok(())
            }
            None if partitioned => Err(VolumeError::Partitioned),
            None => Err(VolumeError::NotFound),
        }
    }

    pub(crate) fn remove_array(&self, device: &str) -> Result<(), VolumeError> {
        let mut arrays = self.arrays.lock();
        let index = arrays
            .iter()
            .position(|found| found.device == device)
            .ok_or(VolumeError::NotFound)?;
        if arrays[index].in_use {
            return Err(VolumeError::InUse);
        }
        arrays.remove(index);
        Ok(())
    }
}
