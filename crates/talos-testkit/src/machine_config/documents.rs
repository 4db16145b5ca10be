//! Machine configurations of many documents, as they are written since Talos 1.14.

use super::{ConfigPlan, Document, INSTALLER};
use crate::node::MachineRole;

impl ConfigPlan<'_> {
    /// The configuration of a node, a document for each concern.
    pub(super) fn documents(&self, role: MachineRole) -> String {
        let mut document = Document::default();
        self.first_document(&mut document, role);
        self.node_documents(&mut document);
        if let Some(release) = self.kubernetes {
            self.kubernetes_documents(&mut document, role, release);
            if role == MachineRole::ControlPlane {
                self.control_plane_documents(&mut document, release);
            }
        }
        document.finish()
    }

    fn first_document(&self, document: &mut Document, role: MachineRole) {
        let plane = role == MachineRole::ControlPlane;
        document.raw(0, "version", "v1alpha1");
        document.raw(0, "debug", "false");
        document.raw(0, "persist", "true");
        document.open(0, "machine");
        document.text(1, "type", role.as_str());
        document.text(1, "token", &self.secrets.trustd_token);
        document.pair(1, "ca", &self.secrets.talos, plane);
        document.open(1, "certSANs");
        document.line(2, "- 127.0.0.1");
        document.open(1, "features");
        document.raw(2, "diskQuotaSupport", "true");
        if self.kubernetes.is_none() {
            document.raw(0, "cluster", "{}");
            return;
        }
        document.open(0, "cluster");
        document.text(1, "token", &self.secrets.bootstrap_token);
        if plane {
            document.open(1, "etcd");
            document.pair(2, "ca", &self.secrets.etcd, true);
        }
    }

    /// What every node has, whether it runs Kubernetes or not.
    fn node_documents(&self, document: &mut Document) {
        if self.discovery {
            document.next("DiscoveryServiceConfig", "default");
            document.text(0, "endpoint", "https://discovery.talos.dev/");
        }
        document.next("DiscoveryIdentityConfig", "");
        document.raw(0, "clusterID", &self.secrets.cluster_id);
        document.raw(0, "clusterSecret", &self.secrets.cluster_secret);
        if let Some(install) = &self.install {
            document.next("UnattendedInstallConfig", "");
            document.open(0, "installer");
            document.text(1, "image", &format!("{INSTALLER}:{}", install.tag));
            document.open(0, "provisioning");
            document.open(1, "diskSelector");
            document.text(2, "match", &format!("disk.dev_path == '{}'", install.disk));
            document.raw(1, "wipe", "false");
        }
        document.next("ResolverConfig", "");
        document.open(0, "hostDNS");
        document.raw(1, "enabled", "true");
        document.raw(1, "forwardKubeDNSToHost", "true");
        document.next("VolumeConfig", "EPHEMERAL");
        document.open(0, "mount");
        document.raw(1, "secure", "true");
        document.next("FilesystemTrimConfig", "");
        document.raw(0, "interval", "168h0m0s");
        document.next("SecurityProfileConfig", "");
        document.raw(0, "workloadIsolation", "true");
        document.next("HostnameConfig", "");
        document.raw(0, "auto", "stable");
    }

    /// What every node of Kubernetes has.
    fn kubernetes_documents(&self, document: &mut Document, role: MachineRole, release: &str) {
        let plane = role == MachineRole::ControlPlane;
        document.next("KubeClusterConfig", "");
        document.text(0, "clusterName", self.cluster);
        document.text(0, "endpoint", &self.kubernetes_endpoint());
        document.next("KubeNodeConfig", "");
        document.raw(0, "nodeIP", "{}");
        if plane {
            document.open(0, "labels");
            document.raw(1, "node-role.kubernetes.io/control-plane", "\"\"");
            document.raw(
                1,
                "node.kubernetes.io/exclude-from-external-load-balancers",
                "\"\"",
            );
            document.open(0, "taints");
            document.text(1, "node-role.kubernetes.io/control-plane", "NoSchedule");
        }
        document.next("KubeletConfig", "");
        document.text(0, "image", &format!("ghcr.io/siderolabs/kubelet:v{release}"));
        document.raw(0, "config", "{}");
        document.raw(0, "defaultRuntimeSeccompProfileEnabled", "true");
        document.next("KubeNetworkConfig", "");
        document.text(0, "dnsDomain", "cluster.local");
        document.open(0, "podSubnets");
        document.line(1, "- 10.244.0.0/16");
        document.open(0, "serviceSubnets");
        document.line(1, "- 10.96.0.0/12");
        document.next("KubeAPIServerCAConfig", "");
        let authority = &self.secrets.kubernetes;
        if plane {
            document.open(0, "issuingCA");
            document.block(1, "cert", &authority.certificate_pem());
            document.block(1, "key", &authority.key_pem());
        } else {
            document.open(0, "acceptedCAs");
            document.line(1, "- |");
            for line in authority.certificate_pem().lines() {
                document.line(2, line);
            }
        }
        document.next("KubePrismConfig", "");
        document.raw(0, "port", "7445");
    }

    fn control_plane_documents(&self, document: &mut Document, release: &str) {
        document.next("KubeAggregatorCAConfig", "");
        document.open(0, "issuingCA");
        document.block(1, "cert", &self.secrets.aggregator.certificate_pem());
        document.block(1, "key", &self.secrets.aggregator.key_pem());
        document.next("KubeAuditPolicyConfig", "");
        document.open(0, "configuration");
        document.text(1, "apiVersion", "audit.k8s.io/v1");
        document.raw(1, "kind", "Policy");
        document.open(1, "rules");
        document.line(2, "- level: Metadata");
        for (name, kind) in [("node", "Node"), ("rbac", "RBAC")] {
            document.next("KubeAuthorizerConfig", name);
            document.raw(0, "type", kind);
        }
        document.next("KubeEtcdEncryptionConfig", "");
        document.open(0, "config");
        document.open(1, "resources");
        document.line(2, "- resources:");
        document.line(3, "  - secrets");
        document.line(2, "  providers:");
        document.line(3, "  - secretbox:");
        document.line(4, "    keys:");
        document.line(5, "    - name: key2");
        document.line(5, &format!("      secret: {}", self.secrets.secretbox));
        document.next("KubeServiceAccountConfig", "");
        document.open(0, "issuer");
        document.block(1, "privateKey", &self.secrets.service_account);
        document.text(1, "issuerURL", &self.kubernetes_endpoint());
        document.next("KubeAPIServerConfig", "");
        document.text(0, "image", &format!("registry.k8s.io/kube-apiserver:v{release}"));
        document.open(0, "certExtraSANs");
        document.line(1, "- 127.0.0.1");
        for (kind, image) in [
            ("KubeControllerManagerConfig", "kube-controller-manager"),
            ("KubeSchedulerConfig", "kube-scheduler"),
            ("KubeProxyConfig", "kube-proxy"),
        ] {
            document.next(kind, "");
            document.text(0, "image", &format!("registry.k8s.io/{image}:v{release}"));
        }
        document.next("KubeFlannelCNIConfig", "");
        document.raw(0, "backendType", "vxlan");
        document.raw(0, "backendPort", "4789");
        document.next("KubeCoreDNSConfig", "");
        document.raw(0, "enabled", "true");
    }
}
