//! Machine configurations: YAML documents, of which one may be the `v1alpha1` one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::node::MachineRole;

/// A configuration as it was sent, and what the machine reads from it.
#[derive(Clone)]
pub(crate) struct MachineConfig {
    text: String,
    main: Option<Main>,
}

/// What the `v1alpha1` document says, as far as the simulated machine cares.
#[derive(Debug, Clone, Default)]
struct Main {
    kind: String,
    installs: bool,
    has_cluster: bool,
    has_endpoint: bool,
}

/// Why a configuration is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ConfigError {
    /// It cannot be read.
    #[error("{0}")]
    Parse(String),
    /// It makes no sense.
    #[error("{} error{} occurred:\n{}\n", .0.len(), if .0.len() == 1 { "" } else { "s" }, bullets(.0))]
    Invalid(Vec<String>),
}

fn bullets(errors: &[String]) -> String {
    errors.iter().map(|error| format!("\t* {error}\n")).collect()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    api_version: Option<String>,
    kind: Option<String>,
    version: Option<String>,
    machine: Option<Machine>,
    cluster: Option<Cluster>,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Machine {
    r#type: Option<String>,
    install: Option<Install>,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Install {
    disk: Option<String>,
    disk_selector: Option<IgnoredAny>,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    control_plane: Option<ControlPlane>,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct ControlPlane {
    endpoint: Option<String>,
    #[serde(flatten)]
    _rest: BTreeMap<String, IgnoredAny>,
}

impl MachineConfig {
    /// Reads a configuration; does not ask whether it makes sense.
    pub(crate) fn parse(data: &[u8]) -> Result<Self, ConfigError> {
        let text = std::str::from_utf8(data);
        let text = text.map_err(|_| ConfigError::Parse("yaml: invalid leading UTF-8 octet".to_owned()))?;
        let mut bytes = data;
        // Snippets would quote the neighbouring lines of an error, private keys included.
        let options = serde_saphyr::options! { with_snippet: false };
        let mut main = None;
        for document in serde_saphyr::read_with_options::<_, Option<Document>>(&mut bytes, options) {
            let document = document.map_err(|error| {
                let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
                ConfigError::Parse(format!(
                    "error decoding config document at line {line}, column {column}"
                ))
            })?;
            let Some(document) = document else { continue };
            if document.kind.is_some() || document.api_version.is_some() {
                continue;
            }
            if document.version.as_deref() != Some("v1alpha1") {
                return Err(ConfigError::Parse("missing kind".to_owned()));
            }
            if main.replace(Main::from(document)).is_some() {
                return Err(ConfigError::Parse(
                    "not allowed to have multiple v1alpha1 documents".to_owned(),
                ));
            }
        }
        Ok(Self {
            text: text.to_owned(),
            main,
        })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it has a `v1alpha1` document, without which a machine stays in maintenance.
    pub(crate) const fn is_complete(&self) -> bool {
        self.main.is_some()
    }

    /// The role that the machine gets.
    pub(crate) fn role(&self) -> Option<MachineRole> {
        match self.main.as_ref()?.kind.as_str() {
            "controlplane" | "init" => Some(MachineRole::ControlPlane),
            "worker" => Some(MachineRole::Worker),
            _ => None,
        }
    }

    /// Whether it names a disk to install to.
    pub(crate) fn installs(&self) -> bool {
        self.main.as_ref().is_some_and(|main| main.installs)
    }

    /// Whether it describes a Kubernetes cluster, and etcd with it.
    pub(crate) fn has_cluster(&self) -> bool {
        self.main.as_ref().is_some_and(|main| main.has_cluster)
    }

    /// Whether it makes sense, on a machine that has `active` so far.
    pub(crate) fn validate(&self, active: Option<&Self>) -> Result<(), ConfigError> {
        let Some(main) = &self.main else { return Ok(()) };
        let mut errors = Vec::new();
        match (self.role(), active.and_then(Self::role)) {
            (None, _) => errors.push(format!(
                "unknown machine type {}",
                crate::text::go_quoted(&main.kind)
            )),
            (Some(new), Some(old)) if new != old => errors.push(format!(
                "machine type can't be changed from {:?} to {:?}",
                old.as_str(),
                new.as_str()
            )),
            _ => {}
        }
        if main.has_cluster && !main.has_endpoint {
            errors.push("cluster.controlPlane.endpoint is required".to_owned());
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::Invalid(errors))
        }
    }
}

impl From<Document> for Main {
    fn from(document: Document) -> Self {
        let machine = document.machine;
        let install = machine.as_ref().and_then(|machine| machine.install.as_ref());
        let installs = install.is_some_and(|install| {
            install.disk.as_ref().is_some_and(|disk| !disk.is_empty()) || install.disk_selector.is_some()
        });
        let endpoint = document
            .cluster
            .as_ref()
            .and_then(|cluster| cluster.control_plane.as_ref())
            .and_then(|control_plane| control_plane.endpoint.as_ref());
        Self {
            installs,
            has_cluster: document.cluster.is_some(),
            has_endpoint: endpoint.is_some_and(|endpoint| !endpoint.is_empty()),
            kind: machine.and_then(|machine| machine.r#type).unwrap_or_default(),
        }
    }
}

impl std::fmt::Debug for MachineConfig {
    /// There are keys in the text.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MachineConfig")
            .field("main", &self.main)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: &str = "version: v1alpha1\nmachine:\n  type: worker\n  token: secret\ncluster:\n  controlPlane:\n    \
                          endpoint: https://10.5.0.2:6443\n";
    const SIDE: &str = "apiVersion: v1alpha1\nkind: HostnameConfig\nhostname: x\n";

    fn parse(text: &str) -> Result<MachineConfig, ConfigError> {
        MachineConfig::parse(text.as_bytes())
    }

    #[test]
    fn the_main_document_is_found_among_others() {
        let config = parse(&format!("{SIDE}---\n{WORKER}---\n{SIDE}")).unwrap();
        assert_eq!(
            (config.role(), config.is_complete()),
            (Some(MachineRole::Worker), true)
        );
        assert!(!config.installs() && config.has_cluster());
        config.validate(None).unwrap();
        let side = parse(SIDE).unwrap();
        assert!(!side.is_complete() && side.validate(None).is_ok());
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn what_cannot_be_read_is_refused_without_quoting_it() {
        for text in [
            "version: v1alpha1\nmachine: [secret\n",
            "machine:\n  type: worker\n",
            &format!("{WORKER}---\n{WORKER}"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn all_mistakes_are_listed() {
        let text = "version: v1alpha1\nmachine:\n  type: boss\ncluster:\n  id: x\n";
        let error = parse(text).unwrap().validate(None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "2 errors occurred:\n\t* unknown machine type \"boss\"\n\t* cluster.controlPlane.endpoint is required\n\n"
        );
        let worker = parse(WORKER).unwrap();
        let other = parse(&WORKER.replace("worker", "controlplane")).unwrap();
        let error = other.validate(Some(&worker)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 error occurred:\n\t* machine type can't be changed from \"worker\" to \"controlplane\"\n\n"
        );
    }
}
