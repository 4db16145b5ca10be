//! The resources of a node: what `cosi.resource.State` serves.

pub(crate) mod collection;
pub(crate) mod specs;
pub(crate) mod types;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

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
/// on each would grow with the square of their number.
#[derive(Debug)]
pub(crate) struct ResourceStore {
    collections: Guarded<HashMap<(String, String), Arc<Collection>>>,
    /// First half of every bookmark of this boot.
    cookie: u64,
}

impl ResourceStore {
    pub(crate) fn new(cookie: u64, members: Arc<Collection>) -> Self {
        let key = (specs::MEMBER.namespace.to_owned(), specs::MEMBER.name.to_owned());
        Self {
            collections: Guarded::new(HashMap::from([(key, members)])),
            cookie,
        }
    }

    pub(crate) const fn cookie(&self) -> u64 {
        self.cookie
    }

    /// The collection of `kind` in `namespace`, empty if nothing was stored there yet. Spelling matters.
    pub(crate) fn collection(&self, namespace: &str, kind: &str) -> Arc<Collection> {
        let key = (namespace.to_owned(), kind.to_owned());
        Arc::clone(self.collections.lock().entry(key).or_default())
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
