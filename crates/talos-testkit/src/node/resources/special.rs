//! Resources that every node has and that clients count on, beyond those that change with its state.

use std::net::IpAddr;

use bytes::Bytes;
use talos_proto::common::NetIpPrefix;
use talos_proto::definitions::cluster::{IdentitySpec, InfoSpec};
use talos_proto::definitions::enums::{
    NethelpersAddressSortAlgorithm, RuntimeFipsState, RuntimeSeLinuxState,
};
use talos_proto::definitions::k8s::{NodeLabelSpecSpec, NodenameSpec};
use talos_proto::definitions::network::{NodeAddressSpec, StatusSpec};
use talos_proto::definitions::runtime::{PlatformMetadataSpec, SecurityStateSpec};
use talos_proto::definitions::time::StatusSpec as TimeStatusSpec;
use talos_proto::resource::config::{MachineType, MachineTypeSpec};

use super::specs::draft;
use super::{Draft, ResourceKind, ResourceStore};
use crate::node::{Identity, MachineRole};
use crate::talosconfig::scalar;
use crate::yaml::Yaml;

const MACHINE_TYPE: ResourceKind = ResourceKind {
    name: "MachineTypes.config.talos.dev",
    namespace: "config",
    owner: "config.MachineTypeController",
};
const PLATFORM_METADATA: ResourceKind = ResourceKind {
    name: "PlatformMetadatas.talos.dev",
    namespace: "runtime",
    owner: "network.PlatformConfigController",
};
const SECURITY_STATE: ResourceKind = ResourceKind {
    name: "SecurityStates.talos.dev",
    namespace: "runtime",
    owner: "runtime.SecurityStateController",
};
const NODE_ADDRESS: ResourceKind = ResourceKind {
    name: "NodeAddresses.net.talos.dev",
    namespace: "network",
    owner: "network.NodeAddressController",
};
const NETWORK_STATUS: ResourceKind = ResourceKind {
    name: "NetworkStatuses.net.talos.dev",
    namespace: "network",
    owner: "network.StatusController",
};
const CLUSTER_INFO: ResourceKind = ResourceKind {
    name: "Infos.cluster.talos.dev",
    namespace: "cluster",
    owner: "cluster.InfoController",
};
const NODE_IDENTITY: ResourceKind = ResourceKind {
    name: "Identities.cluster.talos.dev",
    namespace: "cluster",
    owner: "cluster.NodeIdentityController",
};
pub(crate) const NODE_LABEL: ResourceKind = ResourceKind {
    name: "NodeLabelSpecs.k8s.talos.dev",
    namespace: "k8s",
    owner: "k8s.NodeLabelSpecController",
};
pub(crate) const NODENAME: ResourceKind = ResourceKind {
    name: "Nodenames.kubernetes.talos.dev",
    namespace: "k8s",
    owner: "k8s.NodenameController",
};
const TIME_STATUS: ResourceKind = ResourceKind {
    name: "TimeStatuses.v1alpha1.talos.dev",
    namespace: "runtime",
    owner: "time.SyncController",
};

/// Puts all of them but those that follow from the configuration.
pub(crate) fn put(store: &ResourceStore, identity: &Identity) {
    store.put(platform_metadata(identity));
    store.put(security_state());
    for id in ["default", "current", "accumulative", "routed"] {
        store.put(node_address(id, identity));
    }
    store.put(network_status());
    let spec = IdentitySpec {
        node_id: identity.node_id.clone(),
    };
    let yaml = format!("nodeId: {}\n", scalar(&identity.node_id));
    store.put(draft(&NODE_IDENTITY, "local", &spec, yaml));
}

/// The role of the machine, which one without a configuration does not know.
pub(crate) fn machine_type(role: Option<MachineRole>) -> Draft {
    let kind = match role {
        None => MachineType::Unknown,
        Some(MachineRole::ControlPlane) => MachineType::ControlPlane,
        Some(MachineRole::Worker) => MachineType::Worker,
    };
    let spec = MachineTypeSpec {
        machine_type: kind.into(),
    };
    // A bare scalar, not a mapping.
    let yaml = format!("{}\n", role.map_or("unknown", MachineRole::as_str));
    draft(&MACHINE_TYPE, "machine-type", &spec, yaml)
}

fn platform_metadata(identity: &Identity) -> Draft {
    let spec = PlatformMetadataSpec {
        platform: "metal".to_owned(),
        hostname: identity.hostname.clone(),
        ..PlatformMetadataSpec::default()
    };
    let mut yaml = Yaml::default();
    yaml.entry("platform", "metal");
    yaml.entry("hostname", &identity.hostname);
    draft(&PLATFORM_METADATA, "platformmetadata", &spec, yaml.finish())
}

fn security_state() -> Draft {
    let spec = SecurityStateSpec {
        se_linux_state: RuntimeSeLinuxState::SeLinuxStatePermissive.into(),
        fips_state: RuntimeFipsState::FipsStateDisabled.into(),
        ..SecurityStateSpec::default()
    };
    let yaml = "secureBoot: false\nselinuxState: enabled, permissive\nfipsState: disabled\nbootedWithUKI: false\n\
                moduleSignatureEnforced: false\n";
    draft(&SECURITY_STATE, "securitystate", &spec, yaml.to_owned())
}

fn node_address(id: &str, identity: &Identity) -> Draft {
    let (ip, prefix_length) = match identity.address {
        IpAddr::V4(v4) => (Bytes::copy_from_slice(&v4.octets()), 24),
        IpAddr::V6(v6) => (Bytes::copy_from_slice(&v6.octets()), 64),
    };
    // The default address is one without a network around it.
    let prefix_length = match (id, ip.len()) {
        ("default", 4) => 32,
        ("default", _) => 128,
        _ => prefix_length,
    };
    let spec = NodeAddressSpec {
        addresses: vec![NetIpPrefix { ip, prefix_length }],
        sort_algorithm: NethelpersAddressSortAlgorithm::AddressSortAlgorithmV1.into(),
    };
    let mut yaml = Yaml::default();
    yaml.list("addresses", &[format!("{}/{prefix_length}", identity.address)]);
    yaml.entry("sortAlgorithm", "v1");
    draft(&NODE_ADDRESS, id, &spec, yaml.finish())
}

fn network_status() -> Draft {
    let spec = StatusSpec {
        address_ready: true,
        connectivity_ready: true,
        hostname_ready: true,
        etc_files_ready: true,
    };
    let yaml = "addressReady: true\nconnectivityReady: true\nhostnameReady: true\netcFilesReady: true\n";
    draft(&NETWORK_STATUS, "status", &spec, yaml.to_owned())
}

/// A label of the Kubernetes node.
pub(crate) fn node_label(key: &str, value: &str) -> Draft {
    let spec = NodeLabelSpecSpec {
        key: key.to_owned(),
        value: value.to_owned(),
    };
    let mut yaml = Yaml::default();
    yaml.entry("key", key);
    yaml.entry("value", value);
    draft(&NODE_LABEL, key, &spec, yaml.finish())
}

/// The name of the Kubernetes node.
pub(crate) fn nodename(identity: &Identity) -> Draft {
    let spec = NodenameSpec {
        nodename: identity.hostname.to_lowercase(),
        hostname_version: "1".to_owned(),
        skip_node_registration: false,
    };
    let mut yaml = Yaml::default();
    yaml.entry("nodename", &spec.nodename);
    yaml.entry("hostnameVersion", &spec.hostname_version);
    yaml.raw("skipNodeRegistration", "false");
    draft(&NODENAME, "nodename", &spec, yaml.finish())
}

pub(crate) fn cluster_info(name: &str) -> Draft {
    // Stable for a cluster, and different for another one.
    let id = format!("{:=<44}", format!("sim-{name}"));
    let spec = InfoSpec {
        cluster_id: id.clone(),
        cluster_name: name.to_owned(),
    };
    let mut yaml = Yaml::default();
    yaml.entry("clusterId", &id);
    yaml.entry("clusterName", name);
    draft(&CLUSTER_INFO, "current", &spec, yaml.finish())
}

pub(crate) fn time_status(synced: bool) -> Draft {
    let spec = TimeStatusSpec {
        synced,
        epoch: 1,
        ..TimeStatusSpec::default()
    };
    let yaml = format!("synced: {synced}\nepoch: 1\nsyncDisabled: false\n");
    draft(&TIME_STATUS, "node", &spec, yaml)
}
