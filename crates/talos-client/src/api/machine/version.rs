//! What a node runs.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{
    Client, Node,
    call::{Facts, Target},
    error::Result,
};

/// The Talos release of a node, and the platform it runs on.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    raw: proto::Version,
}

impl Version {
    /// The release, such as `v1.14.0`. Compare it as a semantic version, after the `v`.
    pub fn tag(&self) -> &str {
        self.info().map_or("", |info| &info.tag)
    }

    /// The commit the release was built from, abbreviated.
    pub fn sha(&self) -> &str {
        self.info().map_or("", |info| &info.sha)
    }

    /// The Go release it was built with, such as `go1.26.1`.
    pub fn go_version(&self) -> &str {
        self.info().map_or("", |info| &info.go_version)
    }

    /// Operating system and architecture in Go's words, such as `linux/amd64`.
    pub fn os_arch(&self) -> String {
        self.info()
            .map_or_else(String::new, |info| format!("{}/{}", info.os, info.arch))
    }

    /// The platform, such as `metal`, `aws` or `container`; `None` early in the boot.
    pub fn platform(&self) -> Option<&str> {
        self.raw.platform.as_ref().map(|platform| platform.name.as_str())
    }

    /// The platform's mode: `metal`, `cloud`, `container` or `metal-agent`. In `container` mode a node
    /// cannot be rebooted or upgraded.
    pub fn mode(&self) -> Option<&str> {
        self.raw.platform.as_ref().map(|platform| platform.mode.as_str())
    }

    /// Whether roles are enforced. `None` while the node has no machine configuration, which also means
    /// that it is in maintenance mode.
    pub fn rbac(&self) -> Option<bool> {
        self.raw.features.as_ref().map(|features| features.rbac)
    }

    /// The message as it came.
    pub fn into_inner(self) -> proto::Version {
        self.raw
    }

    fn info(&self) -> Option<&proto::VersionInfo> {
        self.raw.version.as_ref()
    }
}

impl From<proto::Version> for Version {
    fn from(raw: proto::Version) -> Self {
        Self { raw }
    }
}

impl Target {
    pub(super) async fn version(&self) -> Result<Version> {
        let method = &methods::VERSION;
        let message = self
            .single(method, (), |request| async {
                self.machine().version(request).await
            })
            .await?;
        let version = Version::from(message);
        if let Some(node) = self.route.node() {
            self.releases.learn(node, Facts::from(&version));
        }
        Ok(version)
    }
}

impl Node {
    /// The Talos release of this node and the platform it runs on.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call; on nodes up to Talos 1.12 `Unimplemented` while in
    /// maintenance mode.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Version` · talosctl version · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub async fn version(&self) -> Result<Version> {
        self.target().version().await
    }
}

impl Client {
    /// The Talos release of whichever endpoint answers: a way to see that the cluster can be reached and
    /// that the credentials are accepted.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Version` · talosctl version · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub async fn version(&self) -> Result<Version> {
        self.target().version().await
    }
}
