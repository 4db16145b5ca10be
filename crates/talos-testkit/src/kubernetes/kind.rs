//! The kinds of objects that are served, and their names on the wire.

/// A kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Namespace,
    Node,
    Pod,
    DaemonSet,
    Deployment,
    ReplicaSet,
    Budget,
}

/// What a kind is called.
#[derive(Debug)]
pub(super) struct Names {
    /// Empty for the core group.
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    pub(super) singular: &'static str,
    pub(super) short: &'static str,
    pub(super) namespaced: bool,
    pub(super) verbs: &'static [&'static str],
}

const READ: &[&str] = &["get", "list", "watch"];
const REMOVE: &[&str] = &["delete", "get", "list", "patch", "update", "watch"];
const ALL: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Namespace,
        Self::Node,
        Self::Pod,
        Self::DaemonSet,
        Self::Deployment,
        Self::ReplicaSet,
        Self::Budget,
    ];

    pub(super) const fn names(self) -> &'static Names {
        match self {
            Self::Namespace => &Names {
                group: "",
                kind: "Namespace",
                plural: "namespaces",
                singular: "namespace",
                short: "ns",
                namespaced: false,
                verbs: READ,
            },
            Self::Node => &Names {
                group: "",
                kind: "Node",
                plural: "nodes",
                singular: "node",
                short: "no",
                namespaced: false,
                verbs: REMOVE,
            },
            Self::Pod => &Names {
                group: "",
                kind: "Pod",
                plural: "pods",
                singular: "pod",
                short: "po",
                namespaced: true,
                verbs: REMOVE,
            },
            Self::DaemonSet => &Names {
                group: "apps",
                kind: "DaemonSet",
                plural: "daemonsets",
                singular: "daemonset",
                short: "ds",
                namespaced: true,
                verbs: READ,
            },
            Self::Deployment => &Names {
                group: "apps",
                kind: "Deployment",
                plural: "deployments",
                singular: "deployment",
                short: "deploy",
                namespaced: true,
                verbs: READ,
            },
            Self::ReplicaSet => &Names {
                group: "apps",
                kind: "ReplicaSet",
                plural: "replicasets",
                singular: "replicaset",
                short: "rs",
                namespaced: true,
                verbs: READ,
            },
            Self::Budget => &Names {
                group: "policy",
                kind: "PodDisruptionBudget",
                plural: "poddisruptionbudgets",
                singular: "poddisruptionbudget",
                short: "pdb",
                namespaced: true,
                verbs: ALL,
            },
        }
    }

    /// The value of `apiVersion`.
    pub(super) fn api_version(self) -> String {
        match self.names().group {
            "" => "v1".to_owned(),
            group => format!("{group}/v1"),
        }
    }

    /// The plural with its group, as error messages have it.
    pub(super) fn qualified(self) -> String {
        let names = self.names();
        match names.group {
            "" => names.plural.to_owned(),
            group => format!("{}.{group}", names.plural),
        }
    }

    /// The kind with this plural in `group`.
    pub(super) fn find(group: &str, plural: &str) -> Option<Self> {
        let is_it = |kind: &Self| kind.names().group == group && kind.names().plural == plural;
        Self::ALL.into_iter().find(is_it)
    }
}

/// What identifies an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) kind: Kind,
    /// Empty for kinds that are not in namespaces.
    pub(super) namespace: String,
    pub(super) name: String,
}

impl Key {
    pub(super) fn new(kind: Kind, namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    pub(super) fn node(name: impl Into<String>) -> Self {
        Self::new(Kind::Node, "", name)
    }

    pub(super) fn pod(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self::new(Kind::Pod, namespace, name)
    }
}
