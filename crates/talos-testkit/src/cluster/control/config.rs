//! Control over the configuration of a node.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;

use crate::node::power::ApiMode;
use crate::{MachineStage, SimError, SimNode};

/// The machine's configuration.
impl SimNode {
    /// The configuration that the node runs with, as YAML, with all its secrets; `None` in maintenance mode, if
    /// no part of a configuration has been applied yet.
    #[must_use]
    pub fn machine_config(&self) -> Option<String> {
        let active = self.node().configuration.active()?;
        Some(active.as_str().to_owned())
    }

    /// The configuration that the node is going to boot with, as YAML. It differs from
    /// [`Self::machine_config`] after a configuration has been staged, or while one is tried.
    #[must_use]
    pub fn persistent_machine_config(&self) -> Option<String> {
        let persistent = self.node().configuration.persistent()?;
        Some(persistent.as_str().to_owned())
    }

    /// A configuration for this node, as YAML, that makes it a part of its cluster; what it begins with, unless
    /// it begins in maintenance mode.
    #[must_use]
    pub fn generated_machine_config(&self) -> String {
        let generated = self.node().cluster.generated(self.role());
        generated.as_str().to_owned()
    }

    /// Whether the node waits for a configuration, in maintenance mode.
    #[must_use]
    pub fn is_in_maintenance(&self) -> bool {
        self.is_running() && self.node().api() == ApiMode::Maintenance
    }

    /// Waits until the node waits for a configuration and answers in maintenance mode.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn wait_until_in_maintenance(&self) {
        self.until(|node| node.is_in_maintenance() && node.node().stage() == MachineStage::Maintenance)
            .await;
    }

    /// The fingerprint of the certificate that the node presents to new connections, as its console shows it:
    /// SHA-256 of the public key (`SubjectPublicKeyInfo`), in base64. In maintenance mode, key and certificate
    /// are others after each boot.
    ///
    /// # Errors
    ///
    /// As [`Self::server_certificate`].
    pub fn fingerprint(&self) -> Result<String, SimError> {
        let certificate = CertificateDer::from(self.server_certificate()?);
        let parsed = ParsedCertificate::try_from(&certificate)?;
        let key = parsed.subject_public_key_info();
        Ok(STANDARD.encode(digest(&SHA256, &key)))
    }

    /// Lets clients in maintenance mode count as coming through SideroLink, which makes them administrators,
    /// or no longer; counts for new connections. Default: they do not.
    pub fn set_siderolink(&self, siderolink: bool) {
        *self.node().siderolink.lock() = siderolink;
    }

    /// Sets what `ApplyConfiguration` warns of when it has succeeded. Default: nothing.
    pub fn set_config_warnings(&self, warnings: impl IntoIterator<Item = impl Into<String>>) {
        let warnings = warnings.into_iter().map(Into::into).collect();
        self.node().configuration.set_warnings(warnings);
    }

    /// Lets every `ApplyConfiguration` find another one in progress, or no longer. Default: there is none.
    pub fn set_apply_in_progress(&self, in_progress: bool) {
        self.node().configuration.set_busy(in_progress);
    }
}
