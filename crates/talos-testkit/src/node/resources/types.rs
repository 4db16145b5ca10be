//! Which resource types and namespaces a Talos node has.

use std::collections::HashMap;
use std::sync::LazyLock;

use talos_proto::methods::Release;

/// A registered resource type.
#[derive(Debug)]
pub(crate) struct ResourceType {
    /// Canonical spelling, such as `MachineStatuses.runtime.talos.dev`.
    pub(crate) name: &'static str,
    /// Its singular, such as `MachineStatus`.
    pub(crate) display: &'static str,
    pub(crate) default_namespace: &'static str,
    /// Only administrators may read it.
    pub(crate) sensitive: bool,
    /// First release that has it, as far as that is later than all supported ones.
    since: Option<Release>,
    /// Whether aliases are made of its names, besides the declared ones.
    pub(crate) automatic_aliases: bool,
    pub(crate) declared_aliases: Vec<&'static str>,
    /// What `talosctl get` prints: title, and path into the YAML spec.
    pub(crate) columns: Vec<(&'static str, &'static str)>,
}

/// One type a line; made from `proto/resources.toml`: name, singular, default namespace, `sensitive` or
/// `public`, first release or `-`, `automatic` or `declared` aliases, declared aliases, columns as `title=path`
/// with `|` between.
const TABLE: &str = include_str!("types.tsv");

/// All namespaces, with a description.
pub(crate) const NAMESPACES: [(&str, &str); 19] = [
    ("meta", "Namespaces and resource definitions"),
    ("runtime", "State of the machine and of its services"),
    ("cluster", "Members of the cluster, merged from all sources"),
    ("cluster-raw", "Members of the cluster, by source"),
    ("config", "Machine configuration and what derives from it"),
    ("etcd", "State of etcd"),
    ("files", "Files below /etc"),
    ("hardware", "Hardware of the machine"),
    ("k8s", "Kubernetes on every node"),
    ("controlplane", "Kubernetes on control plane nodes"),
    ("kubespan", "Peers of KubeSpan"),
    ("network", "Network, merged from all layers"),
    ("network-config", "Network, by layer"),
    ("cri", "Container runtime"),
    ("containers", "Workload containers"),
    ("secrets", "Keys and certificates"),
    ("security", "Rules about images and trust"),
    ("perf", "Statistics of the kernel"),
    ("storage", "LVM and software RAID"),
];

static TYPES: LazyLock<Vec<ResourceType>> = LazyLock::new(|| TABLE.lines().filter_map(parse).collect());

static INDEX: LazyLock<HashMap<String, &'static ResourceType>> = LazyLock::new(|| {
    let types: &'static [ResourceType] = &TYPES;
    types.iter().map(|row| (row.name.to_lowercase(), row)).collect()
});

fn parse(line: &'static str) -> Option<ResourceType> {
    let columns: Vec<_> = line.split('\t').collect();
    let [
        name,
        display,
        default_namespace,
        sensitivity,
        since,
        automatic,
        aliases,
        printed,
    ] = columns.as_slice()
    else {
        return None;
    };
    let list = |text: &'static str, separator| text.split(separator).filter(|item| *item != "-");
    Some(ResourceType {
        name,
        display,
        default_namespace,
        sensitive: *sensitivity == "sensitive",
        since: since.parse().ok(),
        automatic_aliases: *automatic == "automatic",
        declared_aliases: list(aliases, ',').collect(),
        columns: list(printed, '|')
            .filter_map(|column| column.split_once('='))
            .collect(),
    })
}

impl ResourceType {
    pub(crate) fn available_in(&self, release: Release) -> bool {
        self.since.is_none_or(|since| since <= release)
    }
}

/// The release of a tag; one that is no release number is newer than all.
pub(crate) fn release_of(tag: &str) -> Release {
    tag.parse().unwrap_or(Release::new(u16::MAX, 0))
}

/// All types, sorted by name.
pub(crate) fn all() -> &'static [ResourceType] {
    &TYPES
}

/// Looks a type up as the access policy of a node that runs `tag` does: the case does not matter.
pub(crate) fn find(name: &str, tag: &str) -> Option<&'static ResourceType> {
    let release = release_of(tag);
    let found = INDEX.get(&name.to_lowercase()).copied();
    found.filter(|found| found.available_in(release))
}

pub(crate) fn namespace_exists(namespace: &str) -> bool {
    NAMESPACES.iter().any(|(name, _)| *name == namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_type() {
        assert_eq!(TABLE.lines().count(), 196, "194 types of Talos and 2 about types");
        assert_eq!((all().len(), INDEX.len()), (196, 196));
        for (line, row) in TABLE.lines().zip(all()) {
            assert!(namespace_exists(row.default_namespace), "{line}");
            let columns: Vec<_> = line.split('\t').collect();
            assert!(["sensitive", "public"].contains(&columns[3]), "{line}");
            assert!(columns[4] == "-" || row.since.is_some(), "{line}");
            assert!(["automatic", "declared"].contains(&columns[5]), "{line}");
            let printed = columns[7].split('|').filter(|column| *column != "-").count();
            assert_eq!(row.columns.len(), printed, "{line}");
        }
    }

    #[test]
    fn sensitivity_release_and_case() {
        assert!(
            find("machineconfigs.CONFIG.talos.dev", "v1.14.0")
                .unwrap()
                .sensitive
        );
        assert!(!find("Members.cluster.talos.dev", "v1.14.0").unwrap().sensitive);
        assert!(find("BootIDs.runtime.talos.dev", "v1.13.2").is_none());
        assert!(find("BootIDs.runtime.talos.dev", "v1.14.0").is_some());
        assert!(
            find("Members", "v1.14.0").is_none(),
            "aliases are the client's business"
        );
    }
}
