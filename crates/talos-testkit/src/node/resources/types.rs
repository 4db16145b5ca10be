//! Which resource types and namespaces a Talos node has.

use std::collections::HashMap;
use std::sync::LazyLock;

use talos_proto::methods::Release;

/// A registered resource type.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ResourceType {
    /// Canonical spelling, such as `MachineStatuses.runtime.talos.dev`.
    pub(crate) name: &'static str,
    /// Only administrators may read it.
    pub(crate) sensitive: bool,
    /// First release that has it, as far as that is later than all supported ones.
    since: Option<Release>,
}

/// One type a line: name, default namespace, `sensitive` or `public`, first release or `-`.
const TABLE: &str = include_str!("types.tsv");

/// All namespaces.
const NAMESPACES: [&str; 19] = [
    "meta",
    "runtime",
    "cluster",
    "cluster-raw",
    "config",
    "etcd",
    "files",
    "hardware",
    "k8s",
    "controlplane",
    "kubespan",
    "network",
    "network-config",
    "cri",
    "containers",
    "secrets",
    "security",
    "perf",
    "storage",
];

static TYPES: LazyLock<HashMap<String, ResourceType>> = LazyLock::new(|| {
    let rows = TABLE.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        let name = columns.next()?;
        let _default_namespace = columns.next()?;
        let sensitive = columns.next()? == "sensitive";
        let since = columns.next()?.parse().ok();
        Some((
            name.to_lowercase(),
            ResourceType {
                name,
                sensitive,
                since,
            },
        ))
    });
    rows.collect()
});

/// Looks a type up as the access policy of a node that runs `tag` does: the case does not matter.
pub(crate) fn find(name: &str, tag: &str) -> Option<&'static ResourceType> {
    let release = tag.parse().unwrap_or(Release::new(u16::MAX, 0));
    let found = TYPES.get(&name.to_lowercase());
    found.filter(|found| found.since.is_none_or(|since| since <= release))
}

pub(crate) fn namespace_exists(namespace: &str) -> bool {
    NAMESPACES.contains(&namespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_table_is_a_type() {
        assert_eq!(TYPES.len(), TABLE.lines().count());
        for line in TABLE.lines() {
            let columns: Vec<_> = line.split('\t').collect();
            let [_, namespace, sensitivity, since] = columns.as_slice() else {
                panic!("{line}")
            };
            assert!(namespace_exists(namespace), "{line}");
            assert!(["sensitive", "public"].contains(sensitivity), "{line}");
            assert!(*since == "-" || since.parse::<Release>().is_ok(), "{line}");
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
