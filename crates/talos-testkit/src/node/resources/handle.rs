//! Control over the resources of running nodes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use talos_proto::cosi::resource::{Metadata, Resource, Spec};

use super::ResourceStore;
use super::types;

/// Something that holds resources, and lives as long as whoever serves it.
pub(crate) trait HasResources: Send + Sync {
    fn resources(&self) -> &ResourceStore;
}

/// Changes the resources of a node, of all nodes of a cluster, or of a [`SimState`](crate::SimState), as
/// their controllers would: rights, owners, phases and finalizers stand in nobody's way.
///
/// Watches see each change. Resources that the simulator keeps itself, such as `MachineStatuses`, are
/// overwritten by it when the state behind them changes. After a reboot a node has its own resources only.
#[derive(Clone)]
pub struct SimResources {
    holders: Vec<Arc<dyn HasResources>>,
}

/// A resource for [`SimResources::put`].
///
/// ```
/// use talos_testkit::SimResource;
///
/// let disk = SimResource::new("Disks.block.talos.dev", "sda")
///     .yaml("dev_path: /dev/sda\n")
///     .label("rack", "7");
/// assert_eq!(disk.namespace(), "runtime");
/// ```
#[derive(Clone, Debug, PartialEq)]
#[must_use]
pub struct SimResource {
    metadata: Metadata,
    spec: Spec,
}

impl SimResource {
    /// An empty resource of this type, in the type's default namespace or, for a type that Talos does not
    /// have, in `default`. The spelling of the type counts.
    pub fn new(kind: impl Into<String>, id: impl Into<String>) -> Self {
        let kind = kind.into();
        let namespace = types::find(&kind, "").map_or("default", |row| row.default_namespace);
        let metadata = Metadata {
            namespace: namespace.to_owned(),
            r#type: kind,
            id: id.into(),
            phase: "running".to_owned(),
            ..Metadata::default()
        };
        Self {
            metadata,
            spec: Spec::default(),
        }
    }

    /// Puts it into another namespace.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.metadata.namespace = namespace.into();
        self
    }

    /// The protobuf form of its spec. Default: empty.
    pub fn proto(mut self, spec: &impl Message) -> Self {
        self.spec.proto_spec = spec.encode_to_vec().into();
        self
    }

    /// The protobuf form of its spec as bytes, of which nothing is expected.
    pub fn proto_bytes(mut self, spec: impl Into<Bytes>) -> Self {
        self.spec.proto_spec = spec.into();
        self
    }

    /// The YAML form of its spec. Default: empty.
    pub fn yaml(mut self, spec: impl Into<String>) -> Self {
        self.spec.yaml_spec = spec.into();
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.labels.insert(key.into(), value.into());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.annotations.insert(key.into(), value.into());
        self
    }

    /// Adds a finalizer, which keeps it from being destroyed through the API.
    pub fn finalizer(mut self, name: impl Into<String>) -> Self {
        self.metadata.finalizers.push(name.into());
        self
    }

    /// The controller that owns it. Default: nobody.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.metadata.owner = owner.into();
        self
    }

    /// Where it lives.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// The full name of its type.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.metadata.r#type
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.metadata.id
    }

    /// A decimal number that grows with each update; empty for one that was not stored yet.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.metadata.version
    }

    /// `running` or `tearingDown`.
    #[must_use]
    pub fn phase(&self) -> &str {
        &self.metadata.phase
    }

    /// Who has to let go of it.
    #[must_use]
    pub fn finalizers(&self) -> &[String] {
        &self.metadata.finalizers
    }

    /// Labels, sorted.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<&str, &str> {
        let labels = self.metadata.labels.iter();
        labels
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect()
    }

    /// The YAML form of its spec.
    #[must_use]
    pub fn yaml_spec(&self) -> &str {
        &self.spec.yaml_spec
    }

    /// The protobuf form of its spec.
    #[must_use]
    pub fn proto_spec(&self) -> &Bytes {
        &self.spec.proto_spec
    }

    fn from_stored(resource: &Resource) -> Self {
        Self {
            metadata: resource.metadata.clone().unwrap_or_default(),
            spec: resource.spec.clone().unwrap_or_default(),
        }
    }
}

impl SimResources {
    pub(crate) fn new(holders: Vec<Arc<dyn HasResources>>) -> Self {
        Self { holders }
    }

    /// Creates the resource, or replaces the one of this id.
    pub fn put(&self, resource: SimResource) {
        for store in self.stores() {
            let SimResource { metadata, spec } = resource.clone();
            let collection = store.collection(&metadata.namespace, &metadata.r#type);
            let id = metadata.id.clone();
            let new = Resource {
                metadata: Some(metadata),
                spec: Some(spec),
            };
            let _: Result<_, std::convert::Infallible> = collection.edit(&id, |_| Ok(Some(new)));
        }
    }

    /// Changes a resource in place, if it exists, and says whether it does; on one node at least where there
    /// are several.
    pub fn update(
        &self,
        namespace: &str,
        kind: &str,
        id: &str,
        change: impl Fn(SimResource) -> SimResource,
    ) -> bool {
        let mut found = false;
        for store in self.stores() {
            let edited = store.collection(namespace, kind).edit(id, |old| {
                let SimResource { metadata, spec } = change(SimResource::from_stored(old.ok_or(())?));
                Ok::<_, ()>(Some(Resource {
                    metadata: Some(metadata),
                    spec: Some(spec),
                }))
            });
            found |= edited.is_ok();
        }
        found
    }

    /// Moves a resource to the phase `tearingDown` and says whether it exists.
    pub fn tear_down(&self, namespace: &str, kind: &str, id: &str) -> bool {
        self.update(namespace, kind, id, |mut resource| {
            "tearingDown".clone_into(&mut resource.metadata.phase);
            resource
        })
    }

    /// Removes a finalizer and says whether the resource exists.
    pub fn remove_finalizer(&self, namespace: &str, kind: &str, id: &str, name: &str) -> bool {
        self.update(namespace, kind, id, |mut resource| {
            resource.metadata.finalizers.retain(|finalizer| finalizer != name);
            resource
        })
    }

    /// Removes a resource, finalizers or not. Does nothing if it does not exist.
    pub fn destroy(&self, namespace: &str, kind: &str, id: &str) {
        for store in self.stores() {
            store.collection(namespace, kind).remove(id);
        }
    }

    /// Lets every watch of this type that is open now fall too far behind: it gets the buffer overrun of a
    /// watcher that did not keep up, and then silence. Bookmarks from before are refused.
    pub fn overrun(&self, namespace: &str, kind: &str) {
        for store in self.stores() {
            store.collection(namespace, kind).overrun();
        }
    }

    /// The resource; where there are several nodes, that of the first.
    #[must_use]
    pub fn get(&self, namespace: &str, kind: &str, id: &str) -> Option<SimResource> {
        let store = self.stores().next()?;
        let found = store.collection(namespace, kind).get(id)?;
        Some(SimResource::from_stored(&found))
    }

    /// The resources of this type, sorted by id; where there are several nodes, those of the first.
    #[must_use]
    pub fn list(&self, namespace: &str, kind: &str) -> Vec<SimResource> {
        let store = self.stores().next();
        let snapshot = store.map(|store| store.collection(namespace, kind).snapshot());
        let resources = snapshot.map(|snapshot| snapshot.resources).unwrap_or_default();
        resources
            .iter()
            .map(|resource| SimResource::from_stored(resource))
            .collect()
    }

    fn stores(&self) -> impl Iterator<Item = &ResourceStore> {
        self.holders.iter().map(|holder| holder.resources())
    }
}

impl fmt::Debug for SimResources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimResources").finish_non_exhaustive()
    }
}
