//! The containers and the network of a cluster, as `talosctl cluster create docker` makes them.
//!
//! Two things differ: every node publishes its API, not only the first, and the engine chooses the ports, so
//! that nothing races for them.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::models::{
    ContainerCreateBody, EndpointIpamConfig, EndpointSettings, HostConfig, Ipam, IpamConfig, Mount,
    MountType, NetworkCreateRequest, NetworkingConfig, PortBinding,
};

use super::subnet::Subnet;
use crate::node::MachineRole;

/// The API of `apid`, as Docker spells a port.
pub(super) const API_PORT: &str = "50000/tcp";
/// The Kubernetes API.
pub(super) const KUBERNETES_PORT: &str = "6443/tcp";

/// What `talosctl` marks its containers and networks with, and finds them by.
const OWNED: &str = "talos.owned";
const CLUSTER: &str = "talos.cluster.name";
const TYPE: &str = "talos.type";
/// Ours in addition, so that nothing of `talosctl` is ever removed as a left-over.
const MARK: &str = "talos-testkit";

const TMPFS: [&str; 3] = ["/run", "/system", "/tmp"];
const VOLUMES: [&str; 3] = ["/var", "/system/state", "/opt"];

/// What the containers may do on the engine's machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Privileges {
    /// Docker's `privileged`, which Talos needs: every capability, all devices. The default.
    #[default]
    Full,
    /// Not privileged, with these capabilities in addition to Docker's own, such as `SYS_ADMIN`; none is fine
    /// for stand-ins of Talos.
    ///
    /// For engines that lack a capability themselves: there, starting any privileged container fails with
    /// "unable to apply caps".
    Capabilities(Vec<String>),
}

/// A node to be.
#[derive(Debug)]
pub(super) struct NodePlan {
    pub(super) name: String,
    pub(super) role: MachineRole,
    pub(super) address: Ipv4Addr,
    /// Its machine configuration, as YAML.
    pub(super) config: String,
}

/// What all nodes share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) cluster: String,
    pub(super) image: String,
    pub(super) privileges: Privileges,
    pub(super) cpus: u16,
    pub(super) memory_mib: u32,
    pub(super) kubernetes: bool,
}

/// The labels by which the containers and the network of `cluster` are found.
pub(super) fn cluster_filter(cluster: &str) -> Vec<String> {
    vec![format!("{OWNED}=true"), format!("{CLUSTER}={cluster}")]
}

/// The labels by which everything is found that the testkit made.
pub(super) fn our_filter() -> Vec<String> {
    vec![format!("{OWNED}=true"), format!("{MARK}=true")]
}

fn labels(cluster: &str, more: Option<(&str, &str)>) -> HashMap<String, String> {
    [(OWNED, "true"), (CLUSTER, cluster), (MARK, "true")]
        .into_iter()
        .chain(more)
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// Name, and host name, of the node with the number, counted from 1.
pub(super) fn node_name(cluster: &str, role: MachineRole, number: usize) -> String {
    format!("{cluster}-{}-{number}", role.as_str())
}

/// The network of a cluster has the cluster's name.
pub(super) fn network(cluster: &str, subnet: Subnet) -> NetworkCreateRequest {
    NetworkCreateRequest {
        name: cluster.to_owned(),
        ipam: Some(Ipam {
            config: Some(vec![IpamConfig {
                subnet: Some(subnet.to_string()),
                ..IpamConfig::default()
            }]),
            ..Ipam::default()
        }),
        options: Some(HashMap::from([(
            "com.docker.network.driver.mtu".to_owned(),
            "1500".to_owned(),
        )])),
        labels: Some(labels(cluster, None)),
        ..NetworkCreateRequest::default()
    }
}

/// The container of a node.
pub(super) fn container(common: &Common, plan: &NodePlan) -> ContainerCreateBody {
    let ports = published(common, plan.role);
    let mount = |typ: MountType, target: &str| Mount {
        typ: Some(typ),
        target: Some(target.to_owned()),
        ..Mount::default()
    };
    let volumes = VOLUMES.map(|target| mount(MountType::VOLUME, target));
    let tmpfs = TMPFS.map(|target| mount(MountType::TMPFS, target));
    let (privileged, cap_add) = match &common.privileges {
        Privileges::Full => (true, None),
        Privileges::Capabilities(list) => (false, Some(list.clone())),
    };
    let binding = PortBinding {
        host_ip: Some(Ipv4Addr::LOCALHOST.to_string()),
        // The engine takes a free one.
        host_port: Some(String::new()),
    };
    ContainerCreateBody {
        image: Some(common.image.clone()),
        hostname: Some(plan.name.clone()),
        env: Some(environment(common, plan)),
        labels: Some(labels(&common.cluster, Some((TYPE, plan.role.as_str())))),
        exposed_ports: Some(ports.iter().map(|port| (*port).to_owned()).collect()),
        host_config: Some(HostConfig {
            privileged: Some(privileged),
            cap_add,
            security_opt: Some(vec!["seccomp:unconfined".to_owned()]),
            readonly_rootfs: Some(true),
            mounts: Some(tmpfs.into_iter().chain(volumes).collect()),
            nano_cpus: Some(i64::from(common.cpus) * 1_000_000_000),
            memory: Some(i64::from(common.memory_mib) << 20),
            sysctls: Some(HashMap::from([(
                "net.ipv6.conf.all.disable_ipv6".to_owned(),
                "0".to_owned(),
            )])),
            port_bindings: Some(
                ports
                    .iter()
                    .map(|port| ((*port).to_owned(), Some(vec![binding.clone()])))
                    .collect(),
            ),
            network_mode: Some(common.cluster.clone()),
            ..HostConfig::default()
        }),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(
                common.cluster.clone(),
                EndpointSettings {
                    ipam_config: Some(EndpointIpamConfig {
                        ipv4_address: Some(plan.address.to_string()),
                        ..EndpointIpamConfig::default()
                    }),
                    ..EndpointSettings::default()
                },
            )])),
        }),
        ..ContainerCreateBody::default()
    }
}

fn published(common: &Common, role: MachineRole) -> Vec<&'static str> {
    let kubernetes = common.kubernetes && role == MachineRole::ControlPlane;
    std::iter::once(API_PORT)
        .chain(kubernetes.then_some(KUBERNETES_PORT))
        .collect()
}

fn environment(common: &Common, plan: &NodePlan) -> Vec<String> {
    use base64::Engine as _;

    let config = base64::engine::general_purpose::STANDARD.encode(&plan.config);
    vec![
        "PLATFORM=container".to_owned(),
        format!("TALOSSKU={}CPU-{}RAM", common.cpus, common.memory_mib),
        format!("USERDATA={config}"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common(privileges: Privileges) -> Common {
        Common {
            cluster: "t".to_owned(),
            image: "talos:v1".to_owned(),
            privileges,
            cpus: 2,
            memory_mib: 2048,
            kubernetes: true,
        }
    }

    fn plan(role: MachineRole) -> NodePlan {
        NodePlan {
            name: node_name("t", role, 1),
            role,
            address: Ipv4Addr::new(10, 5, 0, 2),
            config: "version: v1alpha1\n".to_owned(),
        }
    }

    #[test]
    fn a_control_plane_container_follows_the_recipe() {
        let body = container(&common(Privileges::Full), &plan(MachineRole::ControlPlane));
        assert_eq!(body.hostname.as_deref(), Some("t-controlplane-1"));
        assert_eq!(
            body.env.unwrap(),
            [
                "PLATFORM=container",
                "TALOSSKU=2CPU-2048RAM",
                "USERDATA=dmVyc2lvbjogdjFhbHBoYTEK"
            ]
        );
        let labels = body.labels.unwrap();
        assert_eq!(labels["talos.type"], "controlplane");
        assert_eq!(labels["talos.cluster.name"], "t");
        let host = body.host_config.unwrap();
        assert_eq!((host.privileged, host.cap_add), (Some(true), None));
        assert_eq!(host.security_opt.unwrap(), ["seccomp:unconfined"]);
        assert_eq!(host.readonly_rootfs, Some(true));
        assert_eq!(
            (host.nano_cpus, host.memory),
            (Some(2_000_000_000), Some(2 << 30))
        );
        let targets: Vec<_> = host
            .mounts
            .unwrap()
            .into_iter()
            .filter_map(|mount| mount.target)
            .collect();
        assert_eq!(
            targets,
            ["/run", "/system", "/tmp", "/var", "/system/state", "/opt"]
        );
        let bindings = host.port_bindings.unwrap();
        assert_eq!(bindings.len(), 2);
        let api = bindings["50000/tcp"].as_ref().unwrap();
        assert_eq!(api[0].host_ip.as_deref(), Some("127.0.0.1"));
        let endpoints = body.networking_config.unwrap().endpoints_config.unwrap();
        let ipam = endpoints["t"].ipam_config.as_ref().unwrap();
        assert_eq!(ipam.ipv4_address.as_deref(), Some("10.5.0.2"));
    }

    #[test]
    fn without_full_privileges_only_the_listed_capabilities_are_added() {
        let privileges = Privileges::Capabilities(vec!["SYS_ADMIN".to_owned()]);
        let host = container(&common(privileges), &plan(MachineRole::Worker))
            .host_config
            .unwrap();
        assert_eq!(host.privileged, Some(false));
        assert_eq!(host.cap_add.unwrap(), ["SYS_ADMIN"]);
        assert_eq!(
            host.port_bindings.unwrap().len(),
            1,
            "a worker has no Kubernetes API"
        );
    }

    #[test]
    fn the_network_has_a_subnet_and_no_gateway_of_its_own() {
        let body = network("t", "10.5.3.0/24".parse().unwrap());
        let config = body.ipam.unwrap().config.unwrap();
        assert_eq!(config[0].subnet.as_deref(), Some("10.5.3.0/24"));
        assert_eq!(config[0].gateway, None);
        assert_eq!(body.options.unwrap()["com.docker.network.driver.mtu"], "1500");
        assert_eq!(body.enable_ipv6, None);
    }
}
