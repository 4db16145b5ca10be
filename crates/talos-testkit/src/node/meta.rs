//! The META partition: small values by tag, which survive restarts.

use std::collections::BTreeMap;

use bytes::Bytes;
use talos_proto::definitions::runtime::{MetaKeySpec, MetaLoadedSpec};

use super::Node;
use super::resources::specs::draft;
use super::resources::{Draft, ResourceKind};
use crate::sync::Guarded;
use crate::talosconfig::scalar;

const META_KEY: ResourceKind = ResourceKind {
    name: "MetaKeys.runtime.talos.dev",
    namespace: "runtime",
    owner: "runtime.MetaController",
};
const META_LOAD: ResourceKind = ResourceKind {
    name: "MetaLoads.runtime.talos.dev",
    namespace: "runtime",
    owner: "runtime.MetaController",
};

/// Tags of an upgrade that the next boot does: its image, and how.
const STAGED_IMAGE: u8 = 7;
const STAGED_OPTIONS: u8 = 8;

/// Bytes the partition has room for, unless told otherwise, and what a value takes besides itself.
const CAPACITY: usize = 256 << 10;
const OVERHEAD: usize = 8;

/// The values of a machine.
#[derive(Debug)]
pub(crate) struct Meta {
    values: Guarded<BTreeMap<u8, Bytes>>,
    capacity: Guarded<usize>,
}

impl Default for Meta {
    fn default() -> Self {
        Self {
            values: Guarded::default(),
            capacity: Guarded::new(CAPACITY),
        }
    }
}

impl Meta {
    pub(crate) fn get(&self, tag: u8) -> Option<Bytes> {
        self.values.lock().get(&tag).cloned()
    }

    pub(crate) fn set_capacity(&self, bytes: usize) {
        *self.capacity.lock() = bytes;
    }
}

/// There is no room for a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MetaFull;

impl Node {
    /// Writes a value, in place of the one that was there.
    pub(crate) fn write_meta(&self, tag: u8, value: Bytes) -> Result<(), MetaFull> {
        let capacity = *self.meta.capacity.lock();
        let mut values = self.meta.values.lock();
        let others = values.iter().filter(|(other, _)| **other != tag);
        let taken: usize = others.map(|(_, value)| value.len() + OVERHEAD).sum();
        if taken + value.len() + OVERHEAD > capacity {
            return Err(MetaFull);
        }
        self.resources.put(meta_key(tag, &value));
        values.insert(tag, value);
        Ok(())
    }

    /// Removes a value; says whether there was one.
    pub(crate) fn delete_meta(&self, tag: u8) -> bool {
        let removed = self.meta.values.lock().remove(&tag).is_some();
        if removed {
            self.resources
                .collection(META_KEY.namespace, META_KEY.name)
                .remove(&id(tag));
        }
        removed
    }

    /// Removes all values, as a wipe of the partition does.
    pub(super) fn wipe_meta(&self) {
        let tags: Vec<u8> = self.meta.values.lock().keys().copied().collect();
        for tag in tags {
            self.delete_meta(tag);
        }
    }

    /// Puts the resources of all values.
    pub(super) fn publish_meta(&self) {
        if self.platform.is_container() {
            return;
        }
        let values = self.meta.values.lock();
        for (tag, value) in values.iter() {
            self.resources.put(meta_key(*tag, value));
        }
        let loaded = MetaLoadedSpec { done: true };
        self.resources.put(draft(
            &META_LOAD,
            "meta-loaded",
            &loaded,
            "done: true\n".to_owned(),
        ));
    }

    /// Leaves an upgrade with `image` to the next boot.
    pub(crate) fn stage_upgrade(&self, image: &str) -> Result<(), MetaFull> {
        self.write_meta(STAGED_IMAGE, Bytes::copy_from_slice(image.as_bytes()))?;
        self.write_meta(STAGED_OPTIONS, Bytes::from_static(b"{}"))
    }

    /// The release that a boot has to install before anything else; once.
    pub(super) fn take_staged_upgrade(&self) -> Option<String> {
        let image = self.meta.get(STAGED_IMAGE)?;
        self.delete_meta(STAGED_IMAGE);
        self.delete_meta(STAGED_OPTIONS);
        let running = self.version.lock().tag.clone();
        Some(
            self.release_of_installer(&String::from_utf8_lossy(&image))
                .unwrap_or(running),
        )
    }
}

fn id(tag: u8) -> String {
    format!("0x{tag:02x}")
}

fn meta_key(tag: u8, value: &[u8]) -> Draft {
    let value = String::from_utf8_lossy(value).into_owned();
    let yaml = format!("value: {}\n", scalar(&value));
    draft(&META_KEY, &id(tag), &MetaKeySpec { value }, yaml)
}
