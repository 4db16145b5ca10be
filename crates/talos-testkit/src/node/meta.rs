//! The META partition: values by a number of one byte.

use std::collections::BTreeMap;

use prost::Message as _;
use talos_proto::definitions::runtime::MetaKeySpec;

use super::Node;
use super::resources::{Draft, ResourceKind};
use crate::talosconfig::scalar;

const KIND: ResourceKind = ResourceKind {
    name: "MetaKeys.runtime.talos.dev",
    namespace: "runtime",
    owner: "runtime.MetaController",
};

/// Image and options of an upgrade that the next boot does.
pub(crate) const STAGED_IMAGE: u8 = 7;
pub(crate) const STAGED_OPTIONS: u8 = 8;

/// Most bytes that all values together may have.
const ROOM: usize = 256 * 1024;

/// What is in META.
pub(crate) type Meta = BTreeMap<u8, Vec<u8>>;

/// There is no room for the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MetaFull;

impl Node {
    pub(crate) fn write_meta(&self, key: u8, value: Vec<u8>) -> Result<(), MetaFull> {
        let mut meta = self.meta.lock();
        let others = meta.iter().filter(|(other, _)| **other != key);
        let used: usize = others.map(|(_, value)| value.len()).sum();
        if used + value.len() > ROOM {
            return Err(MetaFull);
        }
        meta.insert(key, value);
        drop(meta);
        self.publish_meta();
        Ok(())
    }

    /// Removes a value and says whether there was one.
    pub(crate) fn delete_meta(&self, key: u8) -> bool {
        let found = self.meta.lock().remove(&key).is_some();
        self.publish_meta();
        found
    }

    /// Wipes the partition.
    pub(crate) fn wipe_meta(&self) {
        self.meta.lock().clear();
        self.publish_meta();
    }

    /// An upgrade that was staged has been done.
    pub(super) fn forget_staged_upgrade(&self) {
        let mut meta = self.meta.lock();
        meta.remove(&STAGED_IMAGE);
        meta.remove(&STAGED_OPTIONS);
    }

    pub(crate) fn publish_meta(&self) {
        let collection = self.resources.collection(KIND.namespace, KIND.name);
        let meta = self.meta.lock();
        for key in 0..=u8::MAX {
            let id = format!("0x{key:02x}");
            let Some(value) = meta.get(&key) else {
                collection.remove(&id);
                continue;
            };
            let value = String::from_utf8_lossy(value).into_owned();
            let yaml_spec = format!("value: {}\n", scalar(&value));
            collection.put(Draft {
                kind: &KIND,
                id,
                proto_spec: MetaKeySpec { value }.encode_to_vec().into(),
                yaml_spec,
            });
        }
    }
}
