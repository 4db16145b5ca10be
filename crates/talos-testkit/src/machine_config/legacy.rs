//! Machine configurations of one document, the kind that every supported Talos release reads.
//!
//! Without Kubernetes it holds what makes a configuration valid and no more: such a node pulls no image and
//! needs no network.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{ConfigPlan, Document, INSTALLER};
use crate::node::MachineRole;

impl ConfigPlan<'_> {
    /// The configuration of a node, all in one document.
    pub(crate) fn legacy(&self, role: MachineRole) -> String {
        let mut document = Document::default();
        document.raw(0, "version", "v1alpha1");
        document.raw(0, "debug", "false");
        document.raw(0, "persist", "true");
        self.machine(&mut document, role);
        self.cluster(&mut document, role);
        document.finish()
    }

    fn machine(&self, document: &mut Document, role: MachineRole) {
        let plane = role == MachineRole::ControlPlane;
        document.open(0, "machine");
        document.text(1, "type", role.as_str());
        document.text(1, "token", &self.secrets.trustd_token);
        document.pair(1, "ca", &self.secrets.talos, plane);
        document.open(1, "certSANs");
        document.line(2, "- 127.0.0.1");
        if let Some(release) = self.kubernetes {
            document.open(1, "kubelet");
            document.text(2, "image", &format!("ghcr.io/siderolabs/kubelet:v{release}"));
        }
        if let Some(install) = &self.install {
            document.open(1, "install");
            document.text(2, "disk", install.disk);
            document.text(2, "image", &format!("{INSTALLER}:{}", install.tag));
            document.raw(2, "wipe", "false");
        }
        document.open(1, "features");
        // A node in a container is refused without these two.
        document.open(2, "hostDNS");
        document.raw(3, "enabled", "true");
        document.raw(3, "forwardKubeDNSToHost", "true");
    }

    fn cluster(&self, document: &mut Document, role: MachineRole) {
        document.open(0, "cluster");
        document.raw(1, "id", &self.secrets.cluster_id);
        document.raw(1, "secret", &self.secrets.cluster_secret);
        document.open(1, "controlPlane");
        document.text(2, "endpoint", &self.kubernetes_endpoint());
        document.text(1, "clusterName", self.cluster);
        document.open(1, "discovery");
        document.raw(2, "enabled", if self.discovery { "true" } else { "false" });
        if let Some(release) = self.kubernetes {
            self.kubernetes(document, role, release);
        }
    }

    fn kubernetes(&self, document: &mut Document, role: MachineRole, release: &str) {
        let plane = role == MachineRole::ControlPlane;
        document.open(1, "network");
        document.text(2, "dnsDomain", "cluster.local");
        for (key, value) in [
            ("podSubnets", "10.244.0.0/16"),
            ("serviceSubnets", "10.96.0.0/12"),
        ] {
            document.open(2, key);
            document.line(3, &format!("- {value}"));
        }
        document.text(1, "token", &self.secrets.bootstrap_token);
        document.pair(1, "ca", &self.secrets.kubernetes, plane);
        if !plane {
            return;
        }
        document.raw(1, "secretboxEncryptionSecret", &self.secrets.secretbox);
        document.pair(1, "aggregatorCA", &self.secrets.aggregator, true);
        document.open(1, "serviceAccount");
        document.raw(2, "key", &STANDARD.encode(&self.secrets.service_account));
        document.open(1, "apiServer");
        document.text(2, "image", &format!("registry.k8s.io/kube-apiserver:v{release}"));
        document.open(2, "certSANs");
        document.line(3, "- 127.0.0.1");
        for (key, image) in [
            ("controllerManager", "kube-controller-manager"),
            ("proxy", "kube-proxy"),
            ("scheduler", "kube-scheduler"),
        ] {
            document.open(1, key);
            document.text(2, "image", &format!("registry.k8s.io/{image}:v{release}"));
        }
        document.open(1, "etcd");
        document.pair(2, "ca", &self.secrets.etcd, true);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::secrets::Secrets;

    fn render(role: MachineRole, kubernetes: Option<&str>) -> (String, Secrets) {
        let secrets = Secrets::generate().unwrap();
        let plan = ConfigPlan {
            cluster: "t",
            first: Ipv4Addr::new(10, 5, 0, 2).into(),
            kubernetes,
            install: None,
            discovery: false,
            secrets: &secrets,
        };
        (plan.legacy(role), secrets)
    }

    /// The text below the first line that begins with `key` at any depth.
    fn value<'a>(text: &'a str, key: &str) -> &'a str {
        let found = text.lines().find_map(|line| line.trim_start().strip_prefix(key));
        found.unwrap_or_else(|| panic!("no {key} in {text}")).trim()
    }

    #[test]
    fn a_control_plane_without_kubernetes_has_its_authority_and_nothing_of_kubernetes() {
        let (text, secrets) = render(MachineRole::ControlPlane, None);
        assert_eq!(value(&text, "type:"), "controlplane");
        let key = STANDARD.decode(value(&text, "key:")).unwrap();
        assert!(key.starts_with(b"-----BEGIN ED25519 PRIVATE KEY-----\n"));
        let crt = STANDARD.decode(value(&text, "crt:")).unwrap();
        assert_eq!(crt, secrets.talos.certificate_pem().into_bytes());
        assert_eq!(value(&text, "forwardKubeDNSToHost:"), "true");
        assert!(!text.contains("etcd") && !text.contains("kubelet"), "{text}");
    }

    #[test]
    fn a_worker_never_gets_the_key_of_an_authority() {
        for kubernetes in [None, Some("1.37.0")] {
            let (text, secrets) = render(MachineRole::Worker, kubernetes);
            assert_eq!(value(&text, "type:"), "worker");
            assert!(
                text.lines()
                    .filter(|line| line.trim_start().starts_with("key:"))
                    .all(|line| line.ends_with("\"\""))
            );
            let secret = STANDARD.encode(secrets.talos.key_pem());
            assert!(!text.contains(&secret) && !text.contains("etcd"), "{text}");
        }
    }

    #[test]
    fn with_kubernetes_every_component_has_its_release() {
        let (text, _) = render(MachineRole::ControlPlane, Some("1.37.0"));
        for image in [
            "kubelet",
            "kube-apiserver",
            "kube-controller-manager",
            "kube-proxy",
            "kube-scheduler",
        ] {
            assert!(text.contains(&format!("/{image}:v1.37.0\n")), "{image} in {text}");
        }
        for key in [
            "secretboxEncryptionSecret",
            "aggregatorCA",
            "serviceAccount",
            "    etcd:",
        ] {
            assert!(text.contains(key), "{key} in {text}");
        }
    }
}
