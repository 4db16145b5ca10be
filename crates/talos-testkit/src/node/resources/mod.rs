//! The resources of a node: what `cosi.resource.State` serves.

pub(crate) mod bookmark;
pub(crate) mod collection;
pub(crate) mod definitions;
mod etcd;
pub(crate) mod handle;
mod images;
pub(crate) mod special;
pub(crate) mod specs;
mod storage;
pub(crate) mod types;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use talos_proto::methods::Release;

use crate::node::services::{Service, ServiceState};
use crate::sync::Guarded;
use collection::Collection;

/// A resource type the simulator keeps resources of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResourceKind {
    pub(crate) name: &'static str,
    pub(crate) namespace: &'static str,
    /// The controller that writes it on a real node.
    pub(crate) owner: &'static str,
}

/// A resource to be stored: metadata follow from what is stored already.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) kind: &'static ResourceKind,
    pub(crate) id: String,
    pub(crate) proto_spec: Bytes,
    pub(crate) yaml_spec: String,
}

/// All collections of a node. One collection, the members of the cluster, is shared by all nodes: a copy
/// on each would grow with the square of their number. Definitions of types are shared too.
#[derive(Debug)]
pub(crate) struct ResourceStore {
    collections: Guarded<HashMap<(String, String), Arc<Collection>>>,
    members: Option<Arc<Collection>>,
    /// First half of every bookmark of this boot.
    cookie: AtomicU64,
}

impl ResourceStore {
    /// The resources of a node of a cluster with these `members`.
    pub(crate) fn new(cookie: u64, members: Arc<Collection>) -> Self {
        let store = Self::empty(cookie);
        Self {
            members: Some(members),
            ..store
        }
    }

    /// No resources, and none shared with others.
    pub(crate) fn empty(cookie: u64) -> Self {
        Self {
            collections: Guarded::default(),
            members: None,
            cookie: AtomicU64::new(cookie),
        }
    }

    pub(crate) fn cookie(&self) -> u64 {
        self.cookie.load(Ordering::Relaxed)
    }

    /// Forgets everything, as the process that holds the resources does when it ends: bookmarks and versions
    /// begin anew. What the node is to have after the reboot has to be put again. Watches that are open
    /// do not see it.
    pub(crate) fn restart(&self, cookie: u64) {
        self.collections.lock().clear();
        self.cookie.store(cookie, Ordering::Relaxed);
    }

    /// The collection of `kind` in `namespace`, empty if nothing was stored there yet. Spelling matters.
    pub(crate) fn collection(&self, namespace: &str, kind: &str) -> Arc<Collection> {
        if let Some(members) = &self.members
            && (namespace, kind) == (specs::MEMBER.namespace, specs::MEMBER.name)
        {
            return Arc::clone(members);
        }
        let key = (namespace.to_owned(), kind.to_owned());
        Arc::clone(self.collections.lock().entry(key).or_default())
    }

    /// As [`Self::collection`], with the definitions of the types that a node of `release` has.
    pub(crate) fn collection_in(&self, release: Release, namespace: &str, kind: &str) -> Arc<Collection> {
        definitions::shared(namespace, kind, release).unwrap_or_else(|| self.collection(namespace, kind))
    }

    /// Creates or updates a resource.
    pub(crate) fn put(&self, draft: Draft) {
        self.collection(draft.kind.namespace, draft.kind.name).put(draft);
    }

    /// Brings the resources of services in line with `services`: those that run have one.
    pub(crate) fn put_services(&self, services: &[(String, Service)]) {
        let collection = self.collection(specs::SERVICE.namespace, specs::SERVICE.name);
        for (id, service) in services {
            if service.state == ServiceState::Running {
                collection.put(specs::service(id, &service.health));
            } else {
                collection.remove(id);
            }
        }
    }
}
