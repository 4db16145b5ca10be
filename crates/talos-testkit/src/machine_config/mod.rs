//! Machine configurations: writing plausible ones, reading those that clients send, and checking them.

mod change;
mod diff;
mod documents;
mod kinds;
mod legacy;
mod read;
mod validate;
mod value;

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use talos_proto::methods::Release;

use crate::node::MachineRole;
use crate::pki::CertificateAuthority;
use crate::secrets::Secrets;
use crate::talosconfig::scalar;
pub(crate) use change::reboot_reason;
pub(crate) use diff::unified;
pub(crate) use read::MachineConfig;
pub(crate) use validate::validate;

/// Image of the installer, without its tag.
const INSTALLER: &str =
    "factory.talos.dev/metal-installer/376567988ad370138ad8b2698212367b8edcb69b5fd68c80be1f2ec7d603b4ba";

/// What the configurations of a cluster have in common.
#[derive(Debug)]
pub(crate) struct ConfigPlan<'a> {
    pub(crate) cluster: &'a str,
    /// Address of the first control plane node.
    pub(crate) first: IpAddr,
    /// Kubernetes release without the leading `v`; none for nodes that only serve the Talos API.
    pub(crate) kubernetes: Option<&'a str>,
    /// Where Talos installs itself; none for nodes that do not.
    pub(crate) install: Option<Install<'a>>,
    /// Whether nodes find each other by the discovery service.
    pub(crate) discovery: bool,
    pub(crate) secrets: &'a Secrets,
}

/// What is installed where.
#[derive(Debug)]
pub(crate) struct Install<'a> {
    /// Path of the disk.
    pub(crate) disk: &'a str,
    /// Release of the installer.
    pub(crate) tag: &'a str,
}

impl ConfigPlan<'_> {
    /// The configuration of a node, in the layout that is usual in `release`.
    pub(crate) fn render(&self, role: MachineRole, release: Release) -> String {
        if release >= Release::new(1, 14) {
            return self.documents(role);
        }
        let mut text = self.legacy(role);
        if release >= Release::new(1, 12) {
            text.push_str("---\napiVersion: v1alpha1\nkind: HostnameConfig\nauto: stable\n");
        }
        text
    }

    fn kubernetes_endpoint(&self) -> String {
        match self.first {
            IpAddr::V4(address) => format!("https://{address}:6443"),
            IpAddr::V6(address) => format!("https://[{address}]:6443"),
        }
    }
}

/// YAML with four spaces a level.
#[derive(Default)]
struct Document(String);

impl Document {
    fn open(&mut self, level: usize, key: &str) {
        self.line(level, &format!("{key}:"));
    }

    fn text(&mut self, level: usize, key: &str, value: &str) {
        self.line(level, &format!("{key}: {}", scalar(value)));
    }

    fn raw(&mut self, level: usize, key: &str, value: &str) {
        self.line(level, &format!("{key}: {value}"));
    }

    /// An authority in base64 of PEM.
    fn pair(&mut self, level: usize, key: &str, authority: &CertificateAuthority, with_key: bool) {
        self.open(level, key);
        self.raw(level + 1, "crt", &STANDARD.encode(authority.certificate_pem()));
        let secret = with_key.then(|| STANDARD.encode(authority.key_pem()));
        self.raw(level + 1, "key", secret.as_deref().unwrap_or("\"\""));
    }

    /// A text of several lines, such as PEM.
    fn block(&mut self, level: usize, key: &str, text: &str) {
        self.raw(level, key, "|");
        for line in text.lines() {
            self.line(level + 1, line);
        }
    }

    fn line(&mut self, level: usize, text: &str) {
        self.0.push_str(&" ".repeat(4 * level));
        self.0.push_str(text);
        self.0.push('\n');
    }

    /// Begins the next document, of this kind.
    fn next(&mut self, kind: &str, name: &str) {
        self.0.push_str("---\n");
        self.raw(0, "apiVersion", "v1alpha1");
        self.raw(0, "kind", kind);
        if !name.is_empty() {
            self.text(0, "name", name);
        }
    }

    fn finish(self) -> String {
        self.0
    }
}
