//! Resources of one type in one namespace, with the recent history that watches replay.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use talos_proto::cosi::resource::{Metadata, Resource, Spec};
use tokio::sync::watch;

use super::Draft;
use super::bookmark::Bookmark;
use crate::clock::Moment;
use crate::sync::Guarded;

/// Events a new collection can hold; the room doubles when it is full.
const INITIAL_CAPACITY: u64 = 8;
const MAX_CAPACITY: u64 = 1024;
/// Events at the old end that are about to be overwritten and no longer replayed.
const GAP: u64 = 4;

/// What happened to a resource.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    Created(Arc<Resource>),
    Updated { old: Arc<Resource>, new: Arc<Resource> },
    Destroyed(Arc<Resource>),
}

impl Change {
    /// The resource as it is after the change, or was before it was destroyed.
    pub(crate) fn resource(&self) -> &Resource {
        match self {
            Self::Created(resource) | Self::Destroyed(resource) | Self::Updated { new: resource, .. } => {
                resource
            }
        }
    }
}

/// A position in the history: how many events came before.
pub(crate) type Position = u64;

/// What a watcher finds at its position.
#[derive(Debug)]
pub(crate) enum Read {
    Nothing,
    Next {
        change: Change,
        position: Position,
    },
    /// The event at that position is gone: the watcher was too slow.
    Overrun {
        written: Position,
        capacity: u64,
    },
}

#[derive(Debug)]
pub(crate) struct Collection {
    inner: Guarded<Inner>,
    written: watch::Sender<Position>,
}

#[derive(Debug)]
struct Inner {
    resources: BTreeMap<String, Arc<Resource>>,
    history: VecDeque<Change>,
    written: Position,
    capacity: u64,
    /// Nothing in front of it can be replayed, whatever the capacity.
    forgotten: Position,
}

/// The state of a collection at one moment: nothing happens between its parts.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// In order of ids.
    pub(crate) resources: Vec<Arc<Resource>>,
    /// Where a watch goes on from here.
    pub(crate) position: Position,
}

impl Default for Collection {
    fn default() -> Self {
        let inner = Inner {
            resources: BTreeMap::new(),
            history: VecDeque::new(),
            written: 0,
            capacity: INITIAL_CAPACITY,
            forgotten: 0,
        };
        Self {
            inner: Guarded::new(inner),
            written: watch::Sender::new(0),
        }
    }
}

impl Collection {
    pub(crate) fn get(&self, id: &str) -> Option<Arc<Resource>> {
        self.inner.lock().resources.get(id).cloned()
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let inner = self.inner.lock();
        Snapshot {
            resources: inner.resources.values().cloned().collect(),
            position: inner.written,
        }
    }

    /// Creates the resource, or updates it unless its spec is the same.
    pub(crate) fn put(&self, draft: Draft) {
        let now = Moment::now().to_proto();
        let mut inner = self.inner.lock();
        let old = inner.resources.get(&draft.id).cloned();
        let spec = Some(Spec {
            proto_spec: draft.proto_spec,
            yaml_spec: draft.yaml_spec,
        });
        if old.as_ref().is_some_and(|old| old.spec == spec) {
            return;
        }
        let before = old.as_ref().and_then(|old| old.metadata.as_ref());
        let metadata = Metadata {
            namespace: draft.kind.namespace.to_owned(),
            r#type: draft.kind.name.to_owned(),
            id: draft.id.clone(),
            version: next_version(before),
            owner: draft.kind.owner.to_owned(),
            phase: "running".to_owned(),
            created: Some(before.and_then(|metadata| metadata.created).unwrap_or(now)),
            updated: Some(now),
            ..Metadata::default()
        };
        let new = Arc::new(Resource {
            metadata: Some(metadata),
            spec,
        });
        inner.resources.insert(draft.id, Arc::clone(&new));
        inner.publish(match old {
            None => Change::Created(new),
            Some(old) => Change::Updated { old, new },
        });
        let written = inner.written;
        drop(inner);
        self.written.send_replace(written);
    }

    /// Takes a resource as it is, which others have as well.
    pub(crate) fn insert(&self, resource: Arc<Resource>) {
        let mut inner = self.inner.lock();
        let old = inner
            .resources
            .insert(id_of(&resource).to_owned(), Arc::clone(&resource));
        inner.publish(match old {
            None => Change::Created(resource),
            Some(old) => Change::Updated { old, new: resource },
        });
        let written = inner.written;
        drop(inner);
        self.written.send_replace(written);
    }

    /// Creates, replaces or destroys the resource called `id`: `change` gets what is there and says what
    /// shall be there.
    ///
    /// Version and times of what it returns are set here.
    pub(crate) fn edit<E>(
        &self,
        id: &str,
        change: impl FnOnce(Option<&Arc<Resource>>) -> Result<Option<Resource>, E>,
    ) -> Result<Option<Arc<Resource>>, E> {
        let now = Moment::now().to_proto();
        let mut inner = self.inner.lock();
        let old = inner.resources.get(id).cloned();
        let new = match change(old.as_ref())? {
            None => {
                if let Some(last) = inner.resources.remove(id) {
                    inner.publish(Change::Destroyed(last));
                }
                None
            }
            Some(mut resource) => {
                let before = old.as_ref().and_then(|old| old.metadata.as_ref());
                if let Some(metadata) = &mut resource.metadata {
                    metadata.version = next_version(before);
                    metadata.created = Some(before.and_then(|before| before.created).unwrap_or(now));
                    metadata.updated = Some(now);
                }
                let new = Arc::new(resource);
                inner.resources.insert(id.to_owned(), Arc::clone(&new));
                inner.publish(match old {
                    None => Change::Created(Arc::clone(&new)),
                    Some(old) => Change::Updated {
                        old,
                        new: Arc::clone(&new),
                    },
                });
                Some(new)
            }
        };
        let written = inner.written;
        drop(inner);
        self.written.send_replace(written);
        Ok(new)
    }

    /// Forgets the history and lets every watcher be too late for it.
    pub(crate) fn overrun(&self) {
        let mut inner = self.inner.lock();
        inner.capacity = MAX_CAPACITY;
        inner.written += MAX_CAPACITY + 1;
        inner.history.clear();
        inner.forgotten = inner.written;
        let written = inner.written;
        drop(inner);
        self.written.send_replace(written);
    }

    /// Destroys the resource, if there is one.
    pub(crate) fn remove(&self, id: &str) {
        let mut inner = self.inner.lock();
        let Some(resource) = inner.resources.remove(id) else {
            return;
        };
        inner.publish(Change::Destroyed(resource));
        let written = inner.written;
        drop(inner);
        self.written.send_replace(written);
    }

    /// Wakes watchers; the value is the number of events so far.
    pub(crate) fn changes(&self) -> watch::Receiver<Position> {
        self.written.subscribe()
    }

    /// The event at `position`.
    pub(crate) fn read(&self, position: Position) -> Read {
        let inner = self.inner.lock();
        if position >= inner.written {
            return Read::Nothing;
        }
        match inner.at(position) {
            Some(change) => Read::Next {
                change: change.clone(),
                position,
            },
            None => Read::Overrun {
                written: inner.written,
                capacity: inner.capacity,
            },
        }
    }

    /// Where a replay of the last `count` events begins, of all resources or of the one called `id`.
    pub(crate) fn tail(&self, count: u64, id: Option<&str>) -> Position {
        let inner = self.inner.lock();
        let oldest = inner.oldest();
        let Some(id) = id else {
            return inner.written.saturating_sub(count).max(oldest);
        };
        let matching = (oldest..inner.written).rev().filter(|position| {
            inner
                .at(*position)
                .is_some_and(|change| id_of(change.resource()) == id)
        });
        matching
            .take(usize::try_from(count).unwrap_or(usize::MAX))
            .last()
            .unwrap_or(inner.written)
    }

    /// Where a watch goes on that has seen the event of `bookmark`; `None` if that is too long ago, or was
    /// never.
    pub(crate) fn after(&self, bookmark: Bookmark) -> Option<Position> {
        let inner = self.inner.lock();
        let next = bookmark.0.wrapping_add(1);
        // A bookmark names the last event seen, so that the one of an empty collection is -1.
        let reachable = next + inner.capacity > inner.written + GAP && next >= inner.forgotten;
        (reachable && next <= inner.written).then_some(next)
    }
}

impl Inner {
    fn publish(&mut self, change: Change) {
        if self.written == self.capacity && self.capacity < MAX_CAPACITY {
            self.capacity *= 2;
        }
        self.history.push_back(change);
        self.written += 1;
        while self.history.len() as u64 > self.capacity {
            self.history.pop_front();
        }
    }

    fn at(&self, position: Position) -> Option<&Change> {
        let first = self.written - self.history.len() as u64;
        self.history
            .get(usize::try_from(position.checked_sub(first)?).ok()?)
    }

    /// The oldest position that may still be replayed.
    fn oldest(&self) -> Position {
        (self.written + GAP)
            .saturating_sub(self.capacity)
            .max(self.forgotten)
    }
}

fn next_version(before: Option<&Metadata>) -> String {
    let before = before.and_then(|metadata| metadata.version.parse::<u64>().ok());
    (before.unwrap_or_default() + 1).to_string()
}

pub(crate) fn id_of(resource: &Resource) -> &str {
    resource
        .metadata
        .as_ref()
        .map(|metadata| metadata.id.as_str())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
