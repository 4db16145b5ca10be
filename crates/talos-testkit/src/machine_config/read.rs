//! Reading machine configurations.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;

use super::kinds;
use super::value::Value;
use crate::node::MachineRole;

/// A machine configuration that could be read. It need not be valid.
pub(crate) struct MachineConfig {
    text: Bytes,
    documents: Vec<ConfigDocument>,
}

/// One document; the one without a kind is the oldest and most important one.
struct ConfigDocument {
    kind: String,
    value: Value,
}

/// The keys that say that a document is the one without a kind.
const LEGACY_MARKS: [&str; 4] = ["machine", "cluster", "debug", "persist"];

impl MachineConfig {
    /// Reads the documents of a configuration, or says what is wrong with it, in the way of Talos.
    pub(crate) fn read(text: Bytes) -> Result<Self, String> {
        let utf8 = std::str::from_utf8(&text).map_err(|_| "yaml: control characters are not allowed")?;
        let options = serde_saphyr::options! {
            with_snippet: false,
            strict_booleans: true,
            budget: serde_saphyr::budget! { max_events: 50_000_000, max_nodes: 20_000_000 },
        };
        let values: Vec<Value> =
            serde_saphyr::from_multiple_with_options(utf8, options).map_err(|error| {
                match error.location() {
                    Some(at) => format!("yaml: line {}: did not find what is expected there", at.line()),
                    None => "yaml: the document cannot be read".to_owned(),
                }
            })?;
        let mut documents = Vec::new();
        let mut seen = BTreeSet::new();
        for value in values {
            let document = ConfigDocument::new(value)?;
            let name = document.value.text_at(&["name"]).unwrap_or_default();
            if !seen.insert((document.kind.clone(), name.to_owned())) {
                let kind = if document.kind.is_empty() {
                    "v1alpha1"
                } else {
                    &document.kind
                };
                return Err(format!("duplicate document: v1alpha1/{kind}/{name}"));
            }
            documents.push(document);
        }
        if documents.is_empty() {
            return Err("no configuration documents found".to_owned());
        }
        Ok(Self { text, documents })
    }

    /// The text as it was sent.
    pub(crate) fn text(&self) -> &Bytes {
        &self.text
    }

    /// The text as a string; it was one when it was read.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// The document without a kind. A configuration that has none leaves a machine in maintenance mode.
    pub(crate) fn legacy(&self) -> Option<&Value> {
        self.of_kind("").next()
    }

    /// All documents of a kind.
    pub(crate) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Value> {
        let found = self
            .documents
            .iter()
            .filter(move |document| document.kind == kind);
        found.map(|document| &document.value)
    }

    /// The first document of a kind.
    pub(crate) fn one(&self, kind: &str) -> Option<&Value> {
        let found = self.documents.iter().find(|document| document.kind == kind);
        found.map(|document| &document.value)
    }

    /// The kinds of all documents, in order; an empty one for the document without a kind.
    pub(crate) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.documents.iter().map(|document| document.kind.as_str())
    }

    fn legacy_text(&self, path: &[&str]) -> Option<&str> {
        self.legacy()?.text_at(path)
    }

    /// What `machine.type` says; `None` for a type that does not exist.
    pub(crate) fn role(&self) -> Option<MachineRole> {
        match self.legacy_text(&["machine", "type"])? {
            "controlplane" | "init" => Some(MachineRole::ControlPlane),
            "worker" => Some(MachineRole::Worker),
            _ => None,
        }
    }

    /// The token for `trustd`.
    pub(crate) fn token(&self) -> Option<&str> {
        self.legacy_text(&["machine", "token"])
    }

    pub(crate) fn hostname(&self) -> Option<&str> {
        let document = self
            .one("HostnameConfig")
            .and_then(|value| value.text_at(&["hostname"]));
        document.or_else(|| self.legacy_text(&["machine", "network", "hostname"]))
    }

    pub(crate) fn time_server(&self) -> Option<&str> {
        let document = self
            .one("TimeSyncConfig")
            .and_then(|value| value.at(&["ntp", "servers"]));
        let servers = document.or_else(|| self.legacy()?.at(&["machine", "time", "servers"]));
        servers?.items().first()?.text()
    }

    pub(crate) fn cluster_name(&self) -> Option<&str> {
        let document = self.one("KubeClusterConfig");
        let named = document.and_then(|value| value.text_at(&["clusterName"]));
        named.or_else(|| self.legacy_text(&["cluster", "clusterName"]))
    }

    /// Labels of the Kubernetes node.
    pub(crate) fn node_labels(&self) -> Vec<(String, String)> {
        let document = self.one("KubeNodeConfig").and_then(|value| value.get("labels"));
        let legacy = self
            .legacy()
            .and_then(|value| value.at(&["machine", "nodeLabels"]));
        let entries = document.into_iter().chain(legacy).flat_map(Value::entries);
        entries
            .map(|(key, value)| (key.clone(), value.text().unwrap_or_default().to_owned()))
            .collect()
    }

    /// Taints that the Kubernetes node registers with: keys, and `value:effect` or the effect alone.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn node_taints(&self) -> Vec<(String, String)> {
        let listed = |taints: Option<&Value>| -> Vec<_> {
            let entries = taints.into_iter().flat_map(Value::entries);
            entries
                .map(|(key, value)| (key.clone(), value.text().unwrap_or_default().to_owned()))
                .collect()
        };
        if let Some(document) = self.one("KubeNodeConfig") {
            return listed(document.get("taints"));
        }
        let legacy = self.legacy();
        let mut taints = listed(legacy.and_then(|value| value.at(&["machine", "nodeTaints"])));
        let open = self
            .legacy()
            .is_some_and(|legacy| legacy.is_true(&["cluster", "allowSchedulingOnControlPlanes"]));
        if self.role() == Some(MachineRole::ControlPlane) && !open {
            taints.push((
                "node-role.kubernetes.io/control-plane".to_owned(),
                "NoSchedule".to_owned(),
            ));
        }
        taints
    }

    /// Further names and addresses of the machine's server certificate.
    pub(crate) fn cert_sans(&self) -> Vec<String> {
        let listed = self.legacy().and_then(|value| value.at(&["machine", "certSANs"]));
        let items = listed.map(Value::items).unwrap_or_default();
        items.iter().filter_map(Value::text).map(str::to_owned).collect()
    }

    /// Whether the machine can have an etcd member.
    pub(crate) fn has_etcd(&self) -> bool {
        self.legacy()
            .is_some_and(|legacy| legacy.at(&["cluster", "etcd", "ca", "crt"]).is_some())
    }

    /// Whether the machine installs itself in a sequence of its own.
    pub(crate) fn installs(&self) -> bool {
        !self.installs_unattended()
            && self
                .legacy()
                .is_some_and(|legacy| legacy.at(&["machine", "install"]).is_some())
    }

    /// Whether a controller installs the machine.
    pub(crate) fn installs_unattended(&self) -> bool {
        self.one("UnattendedInstallConfig").is_some()
    }
}

impl ConfigDocument {
    fn new(value: Value) -> Result<Self, String> {
        if !matches!(value, Value::Map(_)) {
            return Err("yaml: a document is no mapping".to_owned());
        }
        if value
            .entries()
            .iter()
            .any(|(key, _)| LEGACY_MARKS.contains(&key.as_str()))
        {
            unknown_keys(&value)?;
            return Ok(Self {
                kind: String::new(),
                value,
            });
        }
        let Some(kind) = value.text_at(&["kind"]) else {
            return Err("missing kind".to_owned());
        };
        let Some(version) = value.text_at(&["apiVersion"]) else {
            return Err("missing apiVersion".to_owned());
        };
        if version != "v1alpha1" || !kinds::exists(kind) {
            return Err(format!("\"{kind}\" \"{version}\": not registered"));
        }
        Ok(Self {
            kind: kind.to_owned(),
            value,
        })
    }
}

/// Looks for keys that nobody knows, on the first two levels.
fn unknown_keys(value: &Value) -> Result<(), String> {
    let mut unknown = String::new();
    for (key, below) in value.entries() {
        let known = match key.as_str() {
            "machine" => kinds::MACHINE,
            "cluster" => kinds::CLUSTER,
            key if kinds::LEGACY.contains(&key) => continue,
            key => {
                unknown.push_str(&format!("{key}\n"));
                continue;
            }
        };
        for (inner, _) in below.entries() {
            if !known.split_whitespace().any(|known| known == inner) {
                unknown.push_str(&format!("{key}.{inner}\n"));
            }
        }
    }
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(format!("unknown keys found during decoding:\n{unknown}"))
    }
}

impl PartialEq for MachineConfig {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// Names the documents and shows nothing of them, as they are full of secrets.
impl fmt::Debug for MachineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.kinds()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        MachineConfig::read(Bytes::copy_from_slice(text.as_bytes())).unwrap_err()
    }

    fn config(text: &str) -> MachineConfig {
        MachineConfig::read(Bytes::copy_from_slice(text.as_bytes())).unwrap()
    }

    #[test]
    fn documents_are_told_apart() {
        let read = config(
            "machine:\n  type: worker\n  token: abc\n---\nnull\n---\napiVersion: v1alpha1\nkind: HostnameConfig\n\
             hostname: w1\n",
        );
        assert_eq!(read.kinds().collect::<Vec<_>>(), ["", "HostnameConfig"]);
        assert_eq!(
            (read.role(), read.token()),
            (Some(MachineRole::Worker), Some("abc"))
        );
        assert_eq!(read.hostname(), Some("w1"));
        assert_eq!(format!("{read:?}"), "[\"\", \"HostnameConfig\"]");
        assert!(
            config("apiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n")
                .legacy()
                .is_none()
        );
    }

    #[test]
    fn what_cannot_be_read_is_explained_without_quoting_it() {
        let cases = [
            ("machine: [\n", "yaml: line "),
            ("- 1\n", "yaml: a document is no mapping"),
            ("kind: HostnameConfig\n", "missing apiVersion"),
            ("apiVersion: v1alpha1\n", "missing kind"),
            (
                "apiVersion: v1alpha1\nkind: Foo\n",
                "\"Foo\" \"v1alpha1\": not registered",
            ),
            (
                "apiVersion: v2\nkind: HostnameConfig\n",
                "\"HostnameConfig\" \"v2\": not registered",
            ),
            (
                "machine: {}\ncolour: red\n",
                "unknown keys found during decoding:\ncolour\n",
            ),
            (
                "machine: {typ: worker}\n",
                "unknown keys found during decoding:\nmachine.typ\n",
            ),
            ("", "no configuration documents found"),
            (
                "machine: {}\n---\ncluster: {}\n",
                "duplicate document: v1alpha1/v1alpha1/",
            ),
        ];
        for (text, expected) in cases {
            let found = error(text);
            assert!(found.starts_with(expected), "{text}: {found}");
        }
        assert!(!error("token: hunter2\nmachine: [\n").contains("hunter2"));
        assert!(MachineConfig::read(Bytes::from_static(&[0xff, 0xfe])).is_err());
    }
}
