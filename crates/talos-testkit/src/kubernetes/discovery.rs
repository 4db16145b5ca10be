//! What the server says about itself.

use serde_json::{Value, json};

use super::kind::Kind;
use super::route::{Document, GROUPS};
use crate::node::facts::KUBERNETES;

/// `/version`.
pub(super) fn version() -> Value {
    let mut parts = KUBERNETES.split('.');
    json!({
        "major": parts.next(),
        "minor": parts.next(),
        "gitVersion": format!("v{KUBERNETES}"),
        "gitCommit": "0000000000000000000000000000000000000000",
        "gitTreeState": "clean",
        "buildDate": "2026-04-22T00:00:00Z",
        "goVersion": "go1.26.0",
        "compiler": "gc",
        "platform": "linux/amd64",
    })
}

/// A document of discovery.
pub(super) fn document(document: Document) -> Value {
    match document {
        Document::Core => json!({
            "kind": "APIVersions",
            "versions": ["v1"],
            "serverAddressByClientCIDRs": [],
        }),
        Document::Groups => json!({
            "kind": "APIGroupList",
            "apiVersion": "v1",
            "groups": GROUPS.map(group),
        }),
        Document::Group(name) => {
            let mut group = group(name);
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            group
        }
        Document::Resources(group) => resources(group),
    }
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn resources(group: &str) -> Value {
    let mut resources = Vec::new();
    for kind in Kind::ALL.into_iter().filter(|kind| kind.names().group == group) {
        let names = kind.names();
        resources.push(json!({
            "name": names.plural,
            "singularName": names.singular,
            "namespaced": names.namespaced,
            "kind": names.kind,
            "verbs": names.verbs,
            "shortNames": [names.short],
        }));
        if names.verbs.contains(&"patch") && kind != Kind::Pod {
            resources.push(json!({
                "name": format!("{}/status", names.plural),
                "singularName": "",
                "namespaced": names.namespaced,
                "kind": names.kind,
                "verbs": ["get", "patch", "update"],
            }));
        }
        if kind == Kind::Pod {
            resources.push(json!({
                "name": "pods/eviction",
                "singularName": "",
                "namespaced": true,
                "group": "policy",
                "version": "v1",
                "kind": "Eviction",
                "verbs": ["create"],
            }));
        }
    }
    let group_version = match group {
        "" => "v1".to_owned(),
        group => format!("{group}/v1"),
    };
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    })
}
