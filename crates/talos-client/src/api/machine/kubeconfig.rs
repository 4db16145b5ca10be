//! The administrator's kubeconfig.

use std::{
    fmt,
    io::{self, Read},
    path::Path,
};

use flate2::read::GzDecoder;
use talos_proto::methods::machine::machine_service as methods;
use talos_transport::MAX_MESSAGE_SIZE;
use zeroize::Zeroizing;

use crate::{
    Client, Node,
    call::{Kind, Target},
    error::Result,
};

/// The name of the only entry of the archive.
const ENTRY: &str = "kubeconfig";

/// A kubeconfig, with the key of a cluster administrator in it.
///
/// Wiped from memory when dropped, and not shown by `Debug`.
#[derive(Clone)]
pub struct Kubeconfig {
    yaml: Zeroizing<String>,
}

impl Kubeconfig {
    /// The YAML document, **private key included**.
    pub fn as_yaml(&self) -> &str {
        &self.yaml
    }

    /// Writes the document to a file that only its owner can read (mode 0600), complete or not at all.
    ///
    /// What was there before is replaced; nothing is merged.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    #[cfg(feature = "talosconfig")]
    pub fn save_to(&self, path: impl AsRef<Path>) -> io::Result<()> {
        crate::config::write_secret_file(path.as_ref(), self.yaml.as_bytes())
    }
}

impl fmt::Debug for Kubeconfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Kubeconfig(<redacted>)")
    }
}

/// Takes the one entry out of the archive.
///
/// Talos never closes the tar inside the gzip: no padding after the file and no end blocks. So the entry is
/// taken and nothing is asked of the archive after it.
fn unpack(archive: &[u8]) -> io::Result<Zeroizing<String>> {
    let limit = u64::try_from(MAX_MESSAGE_SIZE).unwrap_or(u64::MAX);
    let mut tar = tar::Archive::new(GzDecoder::new(archive).take(limit));
    let mut entry = tar.entries()?.next().unwrap_or_else(|| {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the archive is empty",
        ))
    })?;
    let path = entry.path()?;
    if path.strip_prefix(".").unwrap_or(&path) != Path::new(ENTRY) || !entry.header().entry_type().is_file() {
        let text = format!(
            "the archive has {:?} in place of the file {ENTRY:?}",
            path.display().to_string()
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    let mut yaml = Zeroizing::new(String::new());
    entry.read_to_string(&mut yaml)?;
    if u64::try_from(yaml.len()).ok() != Some(entry.size()) {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the archive is cut off",
        ));
    }
    Ok(yaml)
}

impl Target {
    async fn kubeconfig(&self) -> Result<Kubeconfig> {
        let stream = self.open_bytes(Kind::Transfer, &methods::KUBECONFIG, ()).await?;
        let call = stream.call().clone();
        let archive = stream.collect_up_to(MAX_MESSAGE_SIZE).await?;
        let malformed = |error: io::Error| call.malformed("no kubeconfig in the archive").with_source(error);
        unpack(&archive)
            .map(|yaml| Kubeconfig { yaml })
            .map_err(malformed)
    }
}

impl Node {
    /// Makes a kubeconfig for an administrator of the Kubernetes cluster; control plane nodes only.
    ///
    /// # Errors
    ///
    /// `FailedPrecondition` before the cluster is bootstrapped, `Unimplemented` on worker nodes,
    /// `Malformed` for an archive without a kubeconfig, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Kubeconfig` · talosctl kubeconfig · since Talos 1.7 or older · role
    /// os:admin · read-only
    pub async fn kubeconfig(&self) -> Result<Kubeconfig> {
        self.target().kubeconfig().await
    }
}

impl Client {
    /// Makes a kubeconfig for an administrator of the Kubernetes cluster, on whichever endpoint answers.
    ///
    /// # Errors
    ///
    /// As for [`Node::kubeconfig`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/Kubeconfig` · talosctl kubeconfig · since Talos 1.7 or older · role
    /// os:admin · read-only
    pub async fn kubeconfig(&self) -> Result<Kubeconfig> {
        self.target().kubeconfig().await
    }
}
