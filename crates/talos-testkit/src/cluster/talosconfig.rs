//! Talosconfigs for the cluster.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use super::SimCluster;
use crate::pki::{ClientCertSpec, PkiError};
use crate::talosconfig::Talosconfig;

impl SimCluster {
    /// A talosconfig for an administrator, as `talosctl` writes it: one context named like the cluster, all
    /// control plane nodes as endpoints, no default nodes. For anything else see [`Self::talosconfig_builder`].
    ///
    /// # Panics
    ///
    /// If the system has no random numbers for a key, which it had when the cluster started.
    #[must_use]
    pub fn talosconfig(&self) -> String {
        self.talosconfig_for_roles(["os:admin"])
    }

    /// A talosconfig whose client certificate carries `roles`, such as `os:reader`.
    ///
    /// # Panics
    ///
    /// As [`Self::talosconfig`].
    #[must_use]
    pub fn talosconfig_for_roles(&self, roles: impl IntoIterator<Item = impl Into<String>>) -> String {
        let rendered = self.talosconfig_builder().roles(roles).render();
        rendered.expect("the system gave random numbers when the cluster started")
    }

    /// A talosconfig in parts.
    pub fn talosconfig_builder(&self) -> TalosconfigBuilder<'_> {
        TalosconfigBuilder {
            cluster: self,
            context: self.name().to_owned(),
            endpoints: self.endpoints(),
            nodes: Vec::new(),
            certificate: ClientCertSpec::new(["os:admin"]),
        }
    }
}

/// Describes a talosconfig for a [`SimCluster`].
#[derive(Debug, Clone)]
#[must_use]
pub struct TalosconfigBuilder<'a> {
    cluster: &'a SimCluster,
    context: String,
    endpoints: Vec<String>,
    nodes: Vec<String>,
    certificate: ClientCertSpec,
}

impl TalosconfigBuilder<'_> {
    /// Name of the context. Default: the name of the cluster.
    pub fn context(mut self, name: impl Into<String>) -> Self {
        self.context = name.into();
        self
    }

    /// Endpoints. Default: [`SimCluster::endpoints`].
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.endpoints = endpoints.into_iter().map(Into::into).collect();
        self
    }

    /// Default nodes. Default: none.
    pub fn nodes(mut self, nodes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.nodes = nodes.into_iter().map(Into::into).collect();
        self
    }

    /// Roles of the client certificate. Default: `os:admin`.
    pub fn roles(self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.certificate(ClientCertSpec::new(roles))
    }

    /// What the client certificate looks like; it is issued by the cluster's authority.
    pub fn certificate(mut self, spec: ClientCertSpec) -> Self {
        self.certificate = spec;
        self
    }

    /// The YAML text.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers for the key.
    pub fn render(&self) -> Result<String, PkiError> {
        let client = self.cluster.authority().issue_client(&self.certificate)?;
        let config = Talosconfig {
            context: &self.context,
            endpoints: &self.endpoints,
            nodes: &self.nodes,
            ca_pem: &self.cluster.ca_pem(),
            client: &client,
        };
        Ok(config.render())
    }

    /// Writes the YAML text to `path`, readable by the owner only (mode 0600 on Unix). Replaces a file that
    /// is there.
    ///
    /// # Errors
    ///
    /// When the file cannot be written, or when the system has no random numbers for the key.
    pub fn write_to(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let text = self.render().map_err(io::Error::other)?;
        let mut options = fs::OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        #[cfg(unix)]
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        file.write_all(text.as_bytes())
    }
}
