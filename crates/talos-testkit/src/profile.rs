//! What depends on the Talos release that a node claims to run, beside which RPCs there are.

use talos_proto::methods::{MethodInfo, Release, Role};

/// The behaviour of one release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Profile {
    release: Release,
}

/// Services whose replies have a place for per-node metadata.
const AGGREGATABLE: [&str; 5] = [
    "/machine.MachineService/",
    "/cluster.ClusterService/",
    "/inspect.InspectService/",
    "/storage.StorageService/",
    "/time.TimeService/",
];

/// RPCs that readers and `os:etcd:backup` may call since 1.11; patch releases of 1.9 and 1.10 have that, too.
const OPENED_IN_1_11: [&str; 3] = [
    "/machine.MachineService/EtcdMemberList",
    "/machine.MachineService/EtcdAlarmList",
    "/machine.MachineService/EtcdStatus",
];

impl Profile {
    /// The profile of a release with the leading `v`. A tag that is no release number is a build newer than
    /// all of them.
    pub(crate) fn of(tag: &str) -> Self {
        Self {
            release: tag.parse().unwrap_or(Release::new(u16::MAX, 0)),
        }
    }

    pub(crate) const fn release(self) -> Release {
        self.release
    }

    /// Whether one of `roles` is enough for `method`.
    pub(crate) fn allows(self, method: &MethodInfo, has: impl Fn(&str) -> bool) -> bool {
        method
            .roles
            .iter()
            .any(|role| self.knows(method, *role) && has(role.as_str()))
    }

    fn knows(self, method: &MethodInfo, role: Role) -> bool {
        let since = match role {
            Role::MetaWriter | Role::ImageVerifier => Release::new(1, 13),
            Role::Reader | Role::EtcdBackup if OPENED_IN_1_11.contains(&method.path) => Release::new(1, 11),
            _ => return true,
        };
        self.release >= since
    }

    /// Why `nodes` is not for `method`; `None` if it is.
    pub(crate) fn refuses_nodes_for(self, method: &str) -> Option<String> {
        if self.release < Release::new(1, 13) {
            return method
                .starts_with("/cosi.")
                .then(|| "one-2-many proxying is not supported for COSI methods".to_owned());
        }
        let aggregatable = AGGREGATABLE.iter().any(|prefix| method.starts_with(prefix));
        (!aggregatable).then(|| format!("one-2-many proxying is not supported for method {method}"))
    }
}

#[cfg(test)]
mod tests {
    use talos_proto::methods::by_path;

    use super::*;

    fn allowed(tag: &str, path: &str, role: &str) -> bool {
        Profile::of(tag).allows(by_path(path).unwrap(), |wanted| wanted == role)
    }

    #[test]
    fn older_releases_let_fewer_roles_in() {
        let status = "/machine.MachineService/EtcdStatus";
        let meta = "/machine.MachineService/MetaWrite";
        for (tag, path, role, expected) in [
            ("v1.14.0", status, "os:reader", true),
            ("v1.11.0", status, "os:etcd:backup", true),
            ("v1.10.0", status, "os:reader", false),
            ("v1.10.0", status, "os:operator", true),
            ("v1.13.0", meta, "os:meta:writer", true),
            ("v1.12.0", meta, "os:meta:writer", false),
            ("unreleased", status, "os:reader", true),
        ] {
            assert_eq!(allowed(tag, path, role), expected, "{tag} {path} {role}");
        }
    }

    #[test]
    fn older_releases_take_nodes_for_more_rpcs() {
        let refusal = |tag, method| Profile::of(tag).refuses_nodes_for(method);
        let list = "/machine.ImageService/List";
        assert_eq!(refusal("v1.12.4", list), None);
        assert_eq!(
            refusal("v1.12.4", "/cosi.resource.State/Get").unwrap(),
            "one-2-many proxying is not supported for COSI methods"
        );
        assert_eq!(
            refusal("v1.13.0", list).unwrap(),
            "one-2-many proxying is not supported for method /machine.ImageService/List"
        );
        assert_eq!(refusal("v1.14.0", "/machine.MachineService/Version"), None);
    }
}
