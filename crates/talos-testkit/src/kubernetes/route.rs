//! What the path of a request is about.

use super::kind::{Key, Kind};

/// What a request is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// `/readyz` and its kin.
    Health,
    /// `/version`.
    Version,
    /// A document of discovery.
    Discovery(Document),
    /// An object, or all of a kind.
    Object(ObjectPath),
    Unknown(String),
}

/// A document of discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Document {
    /// `/api`: the versions of the core group.
    Core,
    /// `/apis`: all other groups.
    Groups,
    /// `/apis/apps`.
    Group(&'static str),
    /// `/apis/apps/v1`, or `/api/v1` for the group without a name.
    Resources(&'static str),
}

/// The path of an object, or of all of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ObjectPath {
    pub(super) kind: Kind,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

impl ObjectPath {
    /// The object, if the path names one.
    pub(super) fn key(&self) -> Option<Key> {
        let name = self.name.clone()?;
        Some(Key::new(
            self.kind,
            self.namespace.clone().unwrap_or_default(),
            name,
        ))
    }
}

/// The groups beside the core group.
pub(super) const GROUPS: [&str; 2] = ["apps", "policy"];

impl Target {
    pub(super) fn parse(path: &str) -> Self {
        let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
        let known = |group: &str| GROUPS.into_iter().find(|known| *known == group);
        let found = match parts.as_slice() {
            ["readyz" | "livez" | "healthz", ..] => Some(Self::Health),
            ["version"] => Some(Self::Version),
            ["api"] => Some(Self::Discovery(Document::Core)),
            ["apis"] => Some(Self::Discovery(Document::Groups)),
            ["api", "v1"] => Some(Self::Discovery(Document::Resources(""))),
            ["apis", group] => known(group).map(|group| Self::Discovery(Document::Group(group))),
            ["apis", group, "v1"] => known(group).map(|group| Self::Discovery(Document::Resources(group))),
            ["api", "v1", rest @ ..] => object("", rest).map(Self::Object),
            ["apis", group, "v1", rest @ ..] => known(group)
                .and_then(|group| object(group, rest))
                .map(Self::Object),
            _ => None,
        };
        found.unwrap_or_else(|| Self::Unknown(path.to_owned()))
    }
}

fn object(group: &str, parts: &[&str]) -> Option<ObjectPath> {
    // `namespaces/x` is the namespace itself.
    let (namespace, rest) = match parts {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest[0] != "status" => {
            (Some((*namespace).to_owned()), rest)
        }
        rest => (None, rest),
    };
    let (plural, rest) = rest.split_first()?;
    let kind = Kind::find(group, plural)?;
    let mut rest = rest.iter().map(|part| (*part).to_owned());
    let (name, subresource) = (rest.next(), rest.next());
    let misplaced = kind.names().namespaced != namespace.is_some() && name.is_some();
    if misplaced || namespace.is_some() && !kind.names().namespaced || rest.next().is_some() {
        return None;
    }
    Some(ObjectPath {
        kind,
        namespace,
        name,
        subresource,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(path: &str) -> (Kind, String, String, String) {
        let Target::Object(object) = Target::parse(path) else {
            panic!("{path} is no object");
        };
        let text = |part: Option<String>| part.unwrap_or_default();
        (
            object.kind,
            text(object.namespace),
            text(object.name),
            text(object.subresource),
        )
    }

    #[test]
    fn paths_of_objects() {
        let expect = |path: &str, kind, namespace: &str, name: &str, part: &str| {
            let expected = (kind, namespace.to_owned(), name.to_owned(), part.to_owned());
            assert_eq!(parsed(path), expected, "{path}");
        };
        expect("/api/v1/nodes", Kind::Node, "", "", "");
        expect("/api/v1/nodes/n1/status", Kind::Node, "", "n1", "status");
        expect("/api/v1/pods", Kind::Pod, "", "", "");
        expect(
            "/api/v1/namespaces/a/pods/p/eviction",
            Kind::Pod,
            "a",
            "p",
            "eviction",
        );
        expect(
            "/api/v1/namespaces/kube-system",
            Kind::Namespace,
            "",
            "kube-system",
            "",
        );
        expect(
            "/apis/apps/v1/namespaces/a/daemonsets/d",
            Kind::DaemonSet,
            "a",
            "d",
            "",
        );
        expect("/apis/policy/v1/poddisruptionbudgets", Kind::Budget, "", "", "");
    }

    #[test]
    fn other_paths() {
        assert_eq!(Target::parse("/readyz/etcd"), Target::Health);
        assert_eq!(
            Target::parse("/apis/apps/v1"),
            Target::Discovery(Document::Resources("apps"))
        );
        for path in [
            "/api/v1/secrets",
            "/api/v1/pods/p",
            "/api/v1/namespaces/a/nodes",
            "/apis/batch/v1/jobs",
            "/apis/apps/v2/deployments",
            "/api/v1/nodes/n/status/x",
            "/",
        ] {
            assert_eq!(Target::parse(path), Target::Unknown(path.to_owned()));
        }
    }
}
