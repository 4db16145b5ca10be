//! The machine configuration.

use std::fmt;

use talos_proto::resource::config as proto;

use crate::{
    SecretString,
    resource::{DecodeError, RawSpec, Resource, convert, value},
};

/// A machine configuration, which is a series of YAML documents.
///
/// `MachineConfigs.config.talos.dev`; administrators only. Id `v1alpha1` is the one in force, `persistent` the
/// one that the next boot will read. `Debug` shows nothing of it.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct MachineConfig {
    /// The documents as they are stored, comments included.
    pub text: SecretString,
    /// The documents, in their order.
    pub documents: Vec<ConfigDocument>,
}

/// One document of a machine configuration. `Debug` shows its kind and name only.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct ConfigDocument {
    /// Such as `HostnameConfig`; `None` for the document without a kind, which has `machine` and `cluster`.
    pub kind: Option<String>,
    /// Such as `v1alpha1`.
    pub api_version: Option<String>,
    /// Its name, where there may be several of a kind.
    pub name: Option<String>,
    /// The whole document.
    pub value: value::Value,
}

impl MachineConfig {
    /// Reads the text of a machine configuration.
    ///
    /// # Errors
    ///
    /// Says where the text stops being YAML.
    pub fn parse(text: impl Into<SecretString>) -> Result<Self, value::YamlError> {
        let text = text.into();
        let documents = value::all(text.expose())?.into_iter();
        let documents = documents.filter(|value| !value.is_null());
        Ok(Self {
            documents: documents.map(ConfigDocument::new).collect(),
            text,
        })
    }

    /// The first document of this kind; `None` asks for the one without a kind.
    #[must_use]
    pub fn document(&self, kind: Option<&str>) -> Option<&ConfigDocument> {
        self.documents
            .iter()
            .find(|document| document.kind.as_deref() == kind)
    }
}

impl ConfigDocument {
    fn new(value: value::Value) -> Self {
        let text = |key: &str| Some(value.get(key)?.as_str()?.to_owned());
        Self {
            kind: text("kind"),
            // The document without a kind calls it differently.
            api_version: text("apiVersion").or_else(|| text("version")),
            name: text("name"),
            value,
        }
    }
}

impl Resource for MachineConfig {
    const TYPE: &'static str = "MachineConfigs.config.talos.dev";
    const NAMESPACE: &'static str = "config";
    const DEFAULT_ID: Option<&'static str> = Some("v1alpha1");
    const SPELLED: bool = true;
    const SENSITIVE: bool = true;

    fn decode(spec: RawSpec) -> Result<Self, DecodeError> {
        let raw: proto::MachineConfigSpec = convert::decode(&spec.proto, None)?;
        let text = std::str::from_utf8(&raw.yaml_marshalled)
            .map_err(|_| DecodeError::text("the configuration is no UTF-8"))?;
        Self::parse(text).map_err(DecodeError::new)
    }
}

impl fmt::Debug for MachineConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MachineConfig")
            .field("documents", &self.documents)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ConfigDocument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigDocument")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_found_by_kind_and_not_printed() {
        let text = "version: v1alpha1\nmachine:\n  token: hunter2\n---\napiVersion: v1alpha1\nkind: HostnameConfig\nname: a\n";
        let config = MachineConfig::parse(text).expect("a configuration");
        assert_eq!(config.documents.len(), 2);
        let main = config.document(None).expect("the main document");
        assert_eq!(main.api_version.as_deref(), Some("v1alpha1"));
        let host = config.document(Some("HostnameConfig")).expect("the other one");
        assert_eq!(host.name.as_deref(), Some("a"));
        let printed = format!("{config:?} {config:#?}");
        assert!(
            !printed.contains("hunter2") && printed.contains("HostnameConfig"),
            "{printed}"
        );
    }
}
