//! Types that are known at run time only.

use talos_transport::NodeName;

use super::{
    DynamicObject, ListRequest, Object, Place, Resources, WatchRequest, columns, meta::ResourceDefinition,
};
use crate::{
    call::Target,
    error::{Error, ErrorKind, Origin, Result},
};

/// The types that a node has. One look-up for any number of names; nodes of one release have the same.
#[derive(Clone, Debug)]
pub struct Definitions {
    all: Vec<Definition>,
    node: Option<NodeName>,
}

/// A type that a node has.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition(ResourceDefinition);

/// Access to the resources of one type on one node; made by [`Resources::dynamic`] and [`Resources::of`].
///
/// ```no_run
/// # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
/// let disks = node.resources().dynamic("disks").await?;
/// println!("{}", disks.definition().titles().join("  "));
/// for disk in disks.list().await? {
///     println!("{} {}", disk.metadata.id, disks.definition().cells(&disk).join("  "));
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DynamicResources {
    target: Target,
    definition: Definition,
    place: Place,
}

impl Definitions {
    /// All types, sorted by name.
    #[must_use]
    pub fn all(&self) -> &[Definition] {
        &self.all
    }

    /// The type of this name or alias, as talosctl understands it: upper and lower case do not matter, and nothing is
    /// guessed.
    ///
    /// # Errors
    ///
    /// `NotFound` if no type is called so, `InvalidArgument` if several are, with their names.
    pub fn resolve(&self, name: &str) -> Result<&Definition> {
        let wanted = name.to_lowercase();
        let mut found = self.all.iter().filter(|definition| definition.is_called(&wanted));
        let failed = |kind, message: String| {
            Error::new(kind, Origin::Local)
                .with_node(self.node.clone())
                .with_message(message)
        };
        let Some(first) = found.next() else {
            return Err(failed(
                ErrorKind::NotFound,
                format!("resource {name:?} is not registered"),
            ));
        };
        let mut names: Vec<_> = found
            .map(|definition| definition.0.resource_type.as_str())
            .collect();
        if names.is_empty() {
            return Ok(first);
        }
        names.insert(0, &first.0.resource_type);
        Err(failed(
            ErrorKind::InvalidArgument,
            format!("resource type {name:?} is ambiguous: {}", names.join(", ")),
        ))
    }
}

impl Definition {
    /// What the node says about the type.
    #[must_use]
    pub const fn definition(&self) -> &ResourceDefinition {
        &self.0
    }

    /// Titles of the columns that `talosctl get` prints behind node, namespace, type, id and version.
    #[must_use]
    pub fn titles(&self) -> Vec<&str> {
        let columns = self.0.print_columns.iter();
        columns.map(|column| column.name.as_str()).collect()
    }

    /// The contents of these columns for a resource. Empty where the spec has no such key, or is no YAML.
    #[must_use]
    pub fn cells(&self, object: &DynamicObject) -> Vec<String> {
        let value = object.value().unwrap_or_default();
        let columns = self.0.print_columns.iter();
        columns
            .map(|column| columns::evaluate(&column.json_path, &value))
            .collect()
    }

    fn is_called(&self, lower_case: &str) -> bool {
        self.0.resource_type.to_lowercase() == lower_case
            || self
                .0
                .all_aliases
                .iter()
                .any(|alias| alias.to_lowercase() == lower_case)
    }
}

impl Resources<'_> {
    /// The types that the node has.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`] of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/List` · talosctl get rd · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub async fn definitions(&self) -> Result<Definitions> {
        let listed: Vec<Object<ResourceDefinition>> = self.list::<ResourceDefinition>().await?;
        let mut all: Vec<_> = listed.into_iter().map(|object| Definition(object.spec)).collect();
        all.sort_by(|one, other| one.0.resource_type.cmp(&other.0.resource_type));
        Ok(Definitions {
            all,
            node: self.target().route.node().cloned(),
        })
    }

    /// The resources of the type with this name or alias, which is looked up on the node.
    ///
    /// # Errors
    ///
    /// As for [`Definitions::resolve`], and every [`ErrorKind`] of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/List` · talosctl get TYPE · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub async fn dynamic(&self, name: &str) -> Result<DynamicResources> {
        let definitions = self.definitions().await?;
        Ok(self.of(definitions.resolve(name)?))
    }

    /// The resources of this type.
    #[must_use]
    pub fn of(&self, definition: &Definition) -> DynamicResources {
        DynamicResources {
            target: self.target().clone(),
            place: Place {
                namespace: definition.0.default_namespace.clone(),
                kind: definition.0.resource_type.clone(),
                spelled: true,
            },
            definition: definition.clone(),
        }
    }
}

impl DynamicResources {
    /// In another namespace than the type's default.
    #[must_use]
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.place.namespace = namespace.into();
        self
    }

    /// The type.
    #[must_use]
    pub const fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The resource with this id.
    ///
    /// # Errors
    ///
    /// As for [`Resources::get_by_id`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/Get` · talosctl get TYPE ID · since Talos 1.7 or older · role
    /// os:reader, os:admin for sensitive types · read-only
    pub async fn get(&self, id: impl Into<String>) -> Result<DynamicObject> {
        self.target.get_resource(self.place.clone(), id.into()).await
    }

    /// All of them; see [`Resources::list`].
    ///
    /// Upstream: `cosi.resource.State/List` · talosctl get TYPE · since Talos 1.7 or older · role os:reader,
    /// os:admin for sensitive types · read-only
    pub fn list(&self) -> ListRequest<DynamicObject> {
        ListRequest::new(self.target.clone(), self.place.clone())
    }

    /// All of them, and what becomes of them; see [`Resources::watch`].
    ///
    /// Upstream: `cosi.resource.State/Watch` · talosctl get TYPE --watch · since Talos 1.7 or older · role
    /// os:reader, os:admin for sensitive types · read-only
    pub fn watch(&self) -> WatchRequest<DynamicObject> {
        WatchRequest::all(self.target.clone(), self.place.clone())
    }

    /// One of them, and what becomes of it; see [`Resources::watch_one`].
    ///
    /// Upstream: `cosi.resource.State/Watch` · talosctl get TYPE ID --watch · since Talos 1.7 or older · role
    /// os:reader, os:admin for sensitive types · read-only
    pub fn watch_one(&self, id: impl Into<String>) -> WatchRequest<DynamicObject> {
        WatchRequest::one(self.target.clone(), self.place.clone(), id.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions() -> Definitions {
        let of = |name: &str, aliases: &[&str]| {
            Definition(ResourceDefinition {
                resource_type: name.to_owned(),
                all_aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
                ..ResourceDefinition::default()
            })
        };
        Definitions {
            all: vec![
                of("Disks.block.talos.dev", &["disks", "disk"]),
                of("NodeStatuses.kubernetes.talos.dev", &["ns", "nodestatus"]),
                of("Namespaces.meta.cosi.dev", &["ns", "namespace"]),
            ],
            node: None,
        }
    }

    #[test]
    fn names_are_resolved_as_talosctl_does() {
        let all = definitions();
        for name in ["disk", "DISKS", "disks.BLOCK.talos.dev"] {
            let found = all.resolve(name).expect("known");
            assert_eq!(found.definition().resource_type, "Disks.block.talos.dev");
        }
        let error = all.resolve("dis").expect_err("nothing is guessed");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.message(), Some("resource \"dis\" is not registered"));
        let error = all.resolve("ns").expect_err("two are called so");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = error.message().unwrap_or_default();
        assert!(
            text.contains("NodeStatuses.kubernetes.talos.dev, Namespaces.meta.cosi.dev"),
            "{text}"
        );
    }
}
