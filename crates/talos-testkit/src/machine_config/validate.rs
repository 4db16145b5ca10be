//! What makes a machine configuration valid.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::kinds;
use super::read::MachineConfig;
use super::value::Value;
use crate::node::MachineRole;

/// What is wrong with a configuration, in the order in which it is found.
type Findings = Vec<String>;

/// Checks a configuration for a machine, which is a container or not. One without the main document is checked
/// when there is more of it.
pub(crate) fn validate(config: &MachineConfig, container: bool) -> Findings {
    let mut findings = Findings::new();
    let Some(legacy) = config.legacy() else {
        return findings;
    };
    let kind = legacy.text_at(&["machine", "type"]);
    match (kind, config.role()) {
        (None, _) => findings.push("machine type is required".to_owned()),
        (Some(kind), None) => findings.push(format!("unknown machine type: {kind}")),
        (_, Some(role)) => {
            authorities(legacy, role, &mut findings);
            if role == MachineRole::Worker {
                for kind in config.kinds().filter(|kind| kinds::is_for_control_plane(kind)) {
                    findings.push(format!("{kind} is only for control plane machines"));
                }
            } else {
                encryption(config, legacy, &mut findings);
            }
        }
    }
    if legacy.at(&["cluster"]).is_none() {
        findings.push("cluster instructions are required".to_owned());
    }
    if container {
        host_dns(config, legacy, &mut findings);
    }
    discovery(config, legacy, &mut findings);
    findings
}

fn authorities(legacy: &Value, role: MachineRole, findings: &mut Findings) {
    let certificate = legacy.text_at(&["machine", "ca", "crt"]);
    let key = legacy.text_at(&["machine", "ca", "key"]);
    match role {
        MachineRole::ControlPlane => {
            if certificate.is_none() || key.is_none() {
                findings.push("issuing Talos API CA is required on control plane machines".to_owned());
            }
        }
        MachineRole::Worker => {
            if certificate.is_none() && legacy.at(&["machine", "acceptedCAs"]).is_none() {
                findings.push("trusted CA certificates are required on worker machines".to_owned());
            }
            if key.is_some() {
                findings.push("issuing Talos API CA key is not allowed on worker machines".to_owned());
            }
            if legacy.at(&["cluster", "etcd"]).is_some() {
                findings.push("etcd config is only allowed on control plane machines".to_owned());
            }
        }
    }
}

/// An authority of Kubernetes wants its secrets in etcd encrypted.
fn encryption(config: &MachineConfig, legacy: &Value, findings: &mut Findings) {
    let kubernetes = legacy.text_at(&["cluster", "ca", "crt"]).is_some()
        || config
            .one("KubeAPIServerCAConfig")
            .is_some_and(|value| value.get("issuingCA").is_some());
    let secrets = ["secretboxEncryptionSecret", "aescbcEncryptionSecret"];
    let encrypted = config.one("KubeEtcdEncryptionConfig").is_some()
        || secrets
            .iter()
            .any(|key| legacy.text_at(&["cluster", key]).is_some());
    if kubernetes && !encrypted {
        findings.push("etcd encryption configuration is required with a Kubernetes CA".to_owned());
    }
}

/// A container has no resolver of its own.
fn host_dns(config: &MachineConfig, legacy: &Value, findings: &mut Findings) {
    let on = |key: &str| {
        legacy.is_true(&["machine", "features", "hostDNS", key])
            || config
                .one("ResolverConfig")
                .is_some_and(|value| value.is_true(&["hostDNS", key]))
    };
    if !on("enabled") {
        findings.push("hostDNS config is required in container mode".to_owned());
    } else if !on("forwardKubeDNSToHost") {
        findings.push("forwardKubeDNSToHost is required in container mode".to_owned());
    }
}

fn discovery(config: &MachineConfig, legacy: &Value, findings: &mut Findings) {
    let on = legacy.is_true(&["cluster", "discovery", "enabled"])
        || config.one("DiscoveryServiceConfig").is_some();
    let spans = legacy.is_true(&["machine", "network", "kubespan", "enabled"])
        || config
            .one("KubeSpanConfig")
            .is_some_and(|value| value.is_true(&["enabled"]));
    if spans && !on {
        findings.push("KubeSpan requires discovery to be enabled".to_owned());
    }
    if !on {
        return;
    }
    let identity = config.one("DiscoveryIdentityConfig");
    let value = |legacy_key: &str, key: &str| {
        let own = identity.and_then(|value| value.text_at(&[key]));
        own.or_else(|| legacy.text_at(&["cluster", legacy_key]))
    };
    if value("id", "clusterID").is_none() {
        findings.push("cluster ID is required for discovery".to_owned());
    }
    let secret = value("secret", "clusterSecret").and_then(|text| STANDARD.decode(text).ok());
    if secret.is_none_or(|secret| secret.len() != 32) {
        findings.push("a cluster secret of 32 bytes is required for discovery".to_owned());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use bytes::Bytes;
    use talos_proto::methods::Release;

    use super::super::{ConfigPlan, Install};
    use super::*;
    use crate::secrets::Secrets;

    fn findings(text: &str, container: bool) -> Findings {
        validate(
            &MachineConfig::read(Bytes::copy_from_slice(text.as_bytes())).unwrap(),
            container,
        )
    }

    #[test]
    fn what_the_simulator_writes_is_valid() {
        let secrets = Secrets::generate().unwrap();
        for kubernetes in [None, Some("1.37.0")] {
            let plan = ConfigPlan {
                cluster: "t",
                first: Ipv4Addr::new(10, 5, 0, 2).into(),
                kubernetes,
                install: Some(Install {
                    disk: "/dev/vda",
                    tag: "v1.14.0",
                }),
                discovery: true,
                secrets: &secrets,
            };
            for role in [MachineRole::ControlPlane, MachineRole::Worker] {
                for minor in [10, 12, 13, 14] {
                    let text = plan.render(role, Release::new(1, minor));
                    let found = findings(&text, true);
                    assert!(found.is_empty(), "{role:?} 1.{minor}: {found:?}");
                    let read = MachineConfig::read(text.into()).unwrap();
                    assert_eq!(read.role(), Some(role));
                    assert_eq!(read.token(), Some(secrets.trustd_token.as_str()));
                    assert!(read.installs() != read.installs_unattended());
                    assert_eq!(
                        read.has_etcd(),
                        role == MachineRole::ControlPlane && kubernetes.is_some()
                    );
                    if kubernetes.is_some() || minor < 14 {
                        assert_eq!(read.cluster_name(), Some("t"));
                    }
                }
            }
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            findings("machine: {}\n", false),
            ["machine type is required", "cluster instructions are required"]
        );
        assert_eq!(
            findings("machine: {type: controlplane}\ncluster: {}\n", false),
            ["issuing Talos API CA is required on control plane machines"]
        );
        let worker = "machine: {type: worker, ca: {crt: YQ==, key: YQ==}}\ncluster: {etcd: {}}\n---\napiVersion: \
                      v1alpha1\nkind: KubeSchedulerConfig\nimage: x\n";
        assert_eq!(
            findings(worker, false),
            [
                "issuing Talos API CA key is not allowed on worker machines",
                "etcd config is only allowed on control plane machines",
                "KubeSchedulerConfig is only for control plane machines"
            ]
        );
        let plane = "machine: {type: controlplane, ca: {crt: YQ==, key: YQ==}}\ncluster: {ca: {crt: YQ==}, \
                     discovery: {enabled: true}, id: x, secret: YQ==}\n";
        assert_eq!(
            findings(plane, true),
            [
                "etcd encryption configuration is required with a Kubernetes CA",
                "hostDNS config is required in container mode",
                "a cluster secret of 32 bytes is required for discovery"
            ]
        );
        assert!(findings("apiVersion: v1alpha1\nkind: SideroLinkConfig\napiUrl: x\n", true).is_empty());
    }
}
