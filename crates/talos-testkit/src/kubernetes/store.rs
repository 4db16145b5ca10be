//! Objects with their versions, and what happened to them lately.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use super::json::text;
use super::kind::{Key, Kind};
use crate::clock::Moment;
use crate::rng::SimRng;

/// Changes that are kept for watches that begin later.
const HISTORY: usize = 1_000;
/// Version of the first object; etcd's own keys come before it.
const FIRST_VERSION: u64 = 100;

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Added,
    Modified,
    Deleted,
}

/// A change with the object after it; or, if it was deleted, as it was last.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) version: u64,
    pub(super) key: Key,
    pub(super) change: Change,
    pub(super) object: Arc<Value>,
    /// The object before the change.
    pub(super) before: Option<Arc<Value>>,
}

/// All objects of the cluster.
#[derive(Debug)]
pub(super) struct Store {
    objects: BTreeMap<Key, Arc<Value>>,
    history: VecDeque<Event>,
    version: u64,
    /// The latest version whose change has been forgotten.
    forgotten: u64,
    rng: SimRng,
}

impl Store {
    pub(super) fn new(rng: SimRng) -> Self {
        Self {
            objects: BTreeMap::new(),
            history: VecDeque::new(),
            version: FIRST_VERSION,
            forgotten: FIRST_VERSION,
            rng,
        }
    }

    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// Whether changes after `version` are still known.
    pub(super) const fn remembers(&self, version: u64) -> bool {
        version >= self.forgotten
    }

    /// Forgets all changes so far.
    pub(super) fn compact(&mut self) {
        self.history.clear();
        self.forgotten = self.version;
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Value>> {
        self.objects.get(key)
    }

    /// All objects of a kind, in the order of namespaces and names.
    pub(super) fn of(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Arc<Value>)> {
        let first = Key::new(kind, "", "");
        self.objects
            .range(first..)
            .take_while(move |(key, _)| key.kind == kind)
    }

    /// The changes after `version`.
    pub(super) fn since(&self, version: u64) -> impl Iterator<Item = &Event> {
        let begin = self.history.partition_point(|event| event.version <= version);
        self.history.range(begin..)
    }

    /// A made-up identifier.
    pub(super) fn uid(&mut self) -> String {
        self.rng.uuid()
    }

    /// The end of a generated name.
    pub(super) fn suffix(&mut self) -> String {
        // The letters that Kubernetes takes: no vowels, no digits that look like letters.
        const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        let letters = (0..5).map(|_| char::from(LETTERS[self.rng.one_to(LETTERS.len()) - 1]));
        letters.collect()
    }

    /// Puts an object, with a new version if anything but its version differs from the one that is there.
    /// A new object gets what the server adds to it.
    pub(super) fn put(&mut self, key: Key, mut object: Value) -> Arc<Value> {
        let before = self.objects.get(&key).cloned();
        let names = key.kind.names();
        object["apiVersion"] = json!(key.kind.api_version());
        object["kind"] = json!(names.kind);
        object["metadata"]["name"] = json!(key.name);
        if names.namespaced {
            object["metadata"]["namespace"] = json!(key.namespace);
        }
        if let Some(before) = &before {
            object["metadata"]["resourceVersion"] = before["metadata"]["resourceVersion"].clone();
            if object == **before {
                return Arc::clone(before);
            }
        }
        self.version += 1;
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = json!(self.version.to_string());
        if text(metadata, "/uid").is_empty() {
            metadata["uid"] = json!(self.rng.uuid());
        }
        if text(metadata, "/creationTimestamp").is_empty() {
            metadata["creationTimestamp"] = json!(Moment::now().rfc3339());
        }
        let object = Arc::new(object);
        self.objects.insert(key.clone(), Arc::clone(&object));
        let change = if before.is_some() {
            Change::Modified
        } else {
            Change::Added
        };
        self.remember(key, change, Arc::clone(&object), before);
        object
    }

    /// Changes an object that is there.
    pub(super) fn update(&mut self, key: &Key, change: impl FnOnce(&mut Value)) {
        if let Some(object) = self.objects.get(key) {
            let mut object = Value::clone(object);
            change(&mut object);
            self.put(key.clone(), object);
        }
    }

    /// Removes an object.
    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Value>> {
        let before = self.objects.remove(key)?;
        self.version += 1;
        let mut last = Value::clone(&before);
        last["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let last = Arc::new(last);
        self.remember(key.clone(), Change::Deleted, Arc::clone(&last), Some(before));
        Some(last)
    }

    fn remember(&mut self, key: Key, change: Change, object: Arc<Value>, before: Option<Arc<Value>>) {
        self.history.push_back(Event {
            version: self.version,
            key,
            change,
            object,
            before,
        });
        if self.history.len() > HISTORY
            && let Some(oldest) = self.history.pop_front()
        {
            self.forgotten = oldest.version;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        Store::new(SimRng::new(1))
    }

    #[test]
    fn equal_objects_keep_their_version() {
        let mut store = store();
        let key = Key::pod("default", "one");
        let first = store.put(key.clone(), json!({"metadata": {}}));
        assert_eq!(store.version(), FIRST_VERSION + 1);
        assert_eq!(store.put(key.clone(), Value::clone(&first)), first);
        assert_eq!(store.version(), FIRST_VERSION + 1);
        store.update(&key, |pod| pod["spec"] = json!({"nodeName": "n"}));
        let second = store.get(&key).unwrap();
        assert_eq!(text(second, "/metadata/resourceVersion"), "102");
        assert_eq!(second["metadata"]["uid"], first["metadata"]["uid"]);
    }

    #[test]
    fn changes_are_known_until_they_are_forgotten() {
        let mut store = store();
        let key = Key::node("n");
        store.put(key.clone(), json!({}));
        store.remove(&key).unwrap();
        let changes: Vec<_> = store.since(FIRST_VERSION).map(|event| event.change).collect();
        assert_eq!(changes, [Change::Added, Change::Deleted]);
        assert_eq!(store.since(FIRST_VERSION + 1).count(), 1);
        assert!(store.remembers(FIRST_VERSION));
        store.compact();
        assert!(!store.remembers(FIRST_VERSION + 1) && store.remembers(FIRST_VERSION + 2));
        for number in 0..=HISTORY {
            store.update(&key, |_| {});
            store.put(Key::node(number.to_string()), json!({}));
        }
        assert!(!store.remembers(FIRST_VERSION + 2));
        assert_eq!(store.since(0).count(), HISTORY);
    }
}
