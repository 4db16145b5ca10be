//! The resources about resources: a definition for each type, and the namespaces.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use prost::Message as _;
use talos_proto::cosi::resource::meta::resource_definition_spec::{PrintColumn, Sensitivity};
use talos_proto::cosi::resource::meta::{NamespaceSpec, ResourceDefinitionSpec};
use talos_proto::methods::Release;

use super::collection::Collection;
use super::types::{self, NAMESPACES, ResourceType};
use super::{Draft, ResourceKind};
use crate::sync::Guarded;
use crate::talosconfig::scalar;
use crate::yaml::Yaml;

pub(crate) const NAMESPACE: ResourceKind = ResourceKind {
    name: "Namespaces.meta.cosi.dev",
    namespace: "meta",
    owner: "meta",
};
pub(crate) const DEFINITION: ResourceKind = ResourceKind {
    name: "ResourceDefinitions.meta.cosi.dev",
    namespace: "meta",
    owner: "meta",
};

/// One collection of each kind for all nodes of a release: they never change.
static SHARED: LazyLock<Guarded<Shared>> = LazyLock::new(Guarded::default);

type Shared = HashMap<(Release, &'static str), Arc<Collection>>;

/// The collection of `kind` in `namespace` if it is one of this module.
pub(super) fn shared(namespace: &str, kind: &str, release: Release) -> Option<Arc<Collection>> {
    let known = [&NAMESPACE, &DEFINITION];
    let kind = known
        .into_iter()
        .find(|known| known.name == kind && known.namespace == namespace)?;
    let mut shared = SHARED.lock();
    let entry = shared.entry((release, kind.name));
    Some(Arc::clone(entry.or_insert_with(|| Arc::new(fill(kind, release)))))
}

fn fill(kind: &'static ResourceKind, release: Release) -> Collection {
    let collection = Collection::default();
    if *kind == NAMESPACE {
        for (name, description) in NAMESPACES {
            collection.put(namespace(name, description));
        }
    } else {
        for row in types::all().iter().filter(|row| row.available_in(release)) {
            collection.put(definition(row));
        }
    }
    collection
}

fn namespace(name: &str, description: &str) -> Draft {
    let spec = NamespaceSpec {
        description: description.to_owned(),
    };
    Draft {
        kind: &NAMESPACE,
        id: name.to_owned(),
        proto_spec: spec.encode_to_vec().into(),
        yaml_spec: format!("description: {}\n", scalar(description)),
    }
}

fn definition(row: &ResourceType) -> Draft {
    let aliases = aliases(row);
    let all_aliases = all_aliases(row.name, &aliases);
    let path = |path: &str| match path {
        "@" => "{@}".to_owned(),
        path => format!("{{.{path}}}"),
    };
    let columns: Vec<_> = row.columns.iter().map(|(name, to)| (*name, path(to))).collect();
    let mut yaml = Yaml::default();
    yaml.entry("type", row.name);
    yaml.entry("displayType", row.display);
    yaml.entry("defaultNamespace", row.default_namespace);
    yaml.list("aliases", &aliases);
    yaml.list("allAliases", &all_aliases);
    let printed = columns
        .iter()
        .map(|(name, path)| [("name", name.to_string()), ("jsonPath", path.clone())]);
    yaml.mappings("printColumns", printed);
    if row.sensitive {
        yaml.entry("sensitivity", "sensitive");
    }
    if !row.automatic_aliases {
        yaml.raw("skipAutomaticAliases", "true");
    }
    let print_columns = columns
        .into_iter()
        .map(|(name, json_path)| PrintColumn {
            name: name.to_owned(),
            json_path,
        })
        .collect();
    let sensitivity = if row.sensitive {
        Sensitivity::Sensitive
    } else {
        Sensitivity::NonSensitive
    };
    let spec = ResourceDefinitionSpec {
        resource_type: row.name.to_owned(),
        display_type: row.display.to_owned(),
        default_namespace: row.default_namespace.to_owned(),
        aliases,
        all_aliases,
        print_columns,
        sensitivity: sensitivity.into(),
    };
    Draft {
        kind: &DEFINITION,
        id: row.name.to_lowercase(),
        proto_spec: spec.encode_to_vec().into(),
        yaml_spec: yaml.finish(),
    }
}

/// The declared aliases, then those made of the singular and of the capitals of the plural.
fn aliases(row: &ResourceType) -> Vec<String> {
    let mut aliases: Vec<_> = row
        .declared_aliases
        .iter()
        .map(|alias| (*alias).to_owned())
        .collect();
    if row.automatic_aliases {
        aliases.push(row.display.to_lowercase());
        let plural = plural(row.name);
        let capitals: String = plural.chars().filter(char::is_ascii_uppercase).collect();
        if capitals.len() >= 2 {
            let short = capitals.to_lowercase();
            let with_s = format!("{short}s");
            aliases.push(short);
            if !capitals.ends_with('S') {
                aliases.push(with_s);
            }
        }
    }
    aliases
}

/// The plural, the plural with ever more of the suffix but never all of it, then the aliases.
fn all_aliases(name: &str, aliases: &[String]) -> Vec<String> {
    let name = name.to_lowercase();
    let dots = name.match_indices('.').map(|(position, _)| &name[..position]);
    dots.map(str::to_owned).chain(aliases.iter().cloned()).collect()
}

fn plural(name: &str) -> &str {
    name.split_once('.').map_or(name, |(plural, _)| plural)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> ResourceDefinitionSpec {
        let row = types::find(name, "v1.14.0").unwrap();
        ResourceDefinitionSpec::decode(definition(row).proto_spec).unwrap()
    }

    #[test]
    fn aliases_are_made_as_upstream_does() {
        let disks = of("Disks.block.talos.dev");
        assert_eq!(disks.aliases, ["disk"]);
        assert_eq!(
            disks.all_aliases,
            ["disks", "disks.block", "disks.block.talos", "disk"]
        );
        let links = of("LinkStatuses.net.talos.dev");
        assert_eq!(links.aliases, ["link", "links", "linkstatus", "ls"]);
        assert_eq!(
            of("DNSResolveCaches.net.talos.dev").aliases,
            ["dnsresolvecach", "dnsrc", "dnsrcs"]
        );
        assert_eq!(of("MountStatuses.runtime.talos.dev").aliases, ["mounts"]);
        assert_eq!(
            of(DEFINITION.name).aliases,
            ["api-resources", "resourcedefinition", "rd", "rds"]
        );
    }

    #[test]
    fn both_forms_say_the_same() {
        let row = types::find("MachineTypes.config.talos.dev", "v1.14.0").unwrap();
        let draft = definition(row);
        assert_eq!(draft.id, "machinetypes.config.talos.dev");
        assert_eq!(
            draft.yaml_spec,
            "type: MachineTypes.config.talos.dev\ndisplayType: MachineType\ndefaultNamespace: config\naliases:\n    - \
             machinetype\n    - mt\n    - mts\nallAliases:\n    - machinetypes\n    - machinetypes.config\n    - \
             machinetypes.config.talos\n    - machinetype\n    - mt\n    - mts\nprintColumns:\n    - name: Type\n      \
             jsonPath: \"{@}\"\n"
        );
        let spec = ResourceDefinitionSpec::decode(draft.proto_spec).unwrap();
        assert_eq!(spec.print_columns[0].json_path, "{@}");
        assert!(
            definition(types::find("MachineConfigs.config.talos.dev", "v1.14.0").unwrap())
                .yaml_spec
                .ends_with("printColumns: []\nsensitivity: sensitive\n")
        );
    }

    #[test]
    fn older_releases_define_fewer_types() {
        let count = |tag: &str| {
            shared("meta", DEFINITION.name, types::release_of(tag))
                .unwrap()
                .snapshot()
                .resources
                .len()
        };
        assert_eq!(count("v1.14.0"), 196);
        let counts = ["v1.10.0", "v1.11.0", "v1.12.0", "v1.13.0"].map(count);
        assert!(
            counts.is_sorted() && counts[0] < counts[3] && counts[3] < 196,
            "{counts:?}"
        );
        assert!(shared("runtime", DEFINITION.name, Release::new(1, 14)).is_none());
    }
}
