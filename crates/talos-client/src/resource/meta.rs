//! Resources about resources.

use talos_proto::cosi::resource::meta as proto;

use super::{DecodeError, RawSpec, Resource, convert};

/// A namespace.
///
/// `Namespaces.meta.cosi.dev`; its id is the name of the namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Namespace {
    /// What it is for.
    pub description: String,
}

/// What a node says about a type of resource.
///
/// `ResourceDefinitions.meta.cosi.dev`; its id is the type in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResourceDefinition {
    /// The full name in its canonical case, such as `Disks.block.talos.dev`.
    pub resource_type: String,
    /// The singular, such as `Disk`.
    pub display_type: String,
    /// The namespace that is meant without another.
    pub default_namespace: String,
    /// Short names.
    pub aliases: Vec<String>,
    /// Short names, and the plural with more or less of what follows it.
    pub all_aliases: Vec<String>,
    /// What `talosctl get` prints of it.
    pub print_columns: Vec<PrintColumn>,
    /// Whether only administrators may read it.
    pub sensitive: bool,
}

/// A column of `talosctl get`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrintColumn {
    /// Its title.
    pub name: String,
    /// Where its contents stand in the YAML spec, such as `{.status.ready}`.
    pub json_path: String,
}

impl Resource for Namespace {
    const TYPE: &'static str = "Namespaces.meta.cosi.dev";
    const NAMESPACE: &'static str = "meta";
    const DEFAULT_ID: Option<&'static str> = None;
    const SPELLED: bool = true;

    fn decode(spec: RawSpec) -> Result<Self, DecodeError> {
        let raw: proto::NamespaceSpec = convert::decode(&spec.proto, None)?;
        Ok(Self {
            description: raw.description,
        })
    }
}

impl Resource for ResourceDefinition {
    const TYPE: &'static str = "ResourceDefinitions.meta.cosi.dev";
    const NAMESPACE: &'static str = "meta";
    const DEFAULT_ID: Option<&'static str> = None;
    const SPELLED: bool = true;

    fn decode(spec: RawSpec) -> Result<Self, DecodeError> {
        let raw: proto::ResourceDefinitionSpec = convert::decode(&spec.proto, None)?;
        let sensitive = raw.sensitivity() != proto::resource_definition_spec::Sensitivity::NonSensitive;
        let columns = raw.print_columns.into_iter().map(|column| PrintColumn {
            name: column.name,
            json_path: column.json_path,
        });
        Ok(Self {
            print_columns: columns.collect(),
            resource_type: raw.resource_type,
            display_type: raw.display_type,
            default_namespace: raw.default_namespace,
            aliases: raw.aliases,
            all_aliases: raw.all_aliases,
            sensitive,
        })
    }
}
