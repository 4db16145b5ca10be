//! The resources that the simulator keeps, in both encodings.

use std::net::IpAddr;

use bytes::Bytes;
use prost::Message;
use talos_proto::common::NetIp;
use talos_proto::definitions::cluster::{ControlPlane, MemberSpec};
use talos_proto::definitions::enums::{MachineType, RuntimeMachineStage};
use talos_proto::definitions::network::HostnameStatusSpec;
use talos_proto::definitions::runtime::{
    BootIdSpec, MachineStatusSpec, MachineStatusStatus, UnmetCondition, VersionSpec,
};
use talos_proto::definitions::v1alpha1::ServiceSpec;

use super::{Draft, ResourceKind};
use crate::node::services::Health;
use crate::node::{Identity, MachineRole};
use crate::talosconfig::scalar;

const MACHINE_STATUS: ResourceKind = ResourceKind {
    name: "MachineStatuses.runtime.talos.dev",
    namespace: "runtime",
    owner: "runtime.MachineStatusController",
};
const VERSION: ResourceKind = ResourceKind {
    name: "Versions.runtime.talos.dev",
    namespace: "runtime",
    owner: "runtime.VersionController",
};
const BOOT_ID: ResourceKind = ResourceKind {
    name: "BootIDs.runtime.talos.dev",
    namespace: "runtime",
    owner: "runtime.BootIDController",
};
const HOSTNAME_STATUS: ResourceKind = ResourceKind {
    name: "HostnameStatuses.net.talos.dev",
    namespace: "network",
    owner: "network.HostnameSpecController",
};
pub(super) const MEMBER: ResourceKind = ResourceKind {
    name: "Members.cluster.talos.dev",
    namespace: "cluster",
    owner: "cluster.MemberController",
};

pub(super) const SERVICE: ResourceKind = ResourceKind {
    name: "Services.v1alpha1.talos.dev",
    namespace: "runtime",
    owner: "v1alpha1.ServiceController",
};

/// What a machine is doing, as its `MachineStatuses` resource says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MachineStage {
    /// Starting up.
    Booting,
    /// Writing Talos to disk.
    Installing,
    /// Waiting for a machine configuration.
    Maintenance,
    /// Up.
    #[default]
    Running,
    /// Going down to come up again.
    Rebooting,
    /// Going down.
    ShuttingDown,
    /// Wiping its state.
    Resetting,
    /// Replacing its Talos.
    Upgrading,
}

impl MachineStage {
    /// All stages.
    pub const ALL: [Self; 8] = [
        Self::Booting,
        Self::Installing,
        Self::Maintenance,
        Self::Running,
        Self::Rebooting,
        Self::ShuttingDown,
        Self::Resetting,
        Self::Upgrading,
    ];

    /// The spelling in resources.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Booting => "booting",
            Self::Installing => "installing",
            Self::Maintenance => "maintenance",
            Self::Running => "running",
            Self::Rebooting => "rebooting",
            Self::ShuttingDown => "shutting down",
            Self::Resetting => "resetting",
            Self::Upgrading => "upgrading",
        }
    }

    /// Conditions are looked at only while the machine starts or runs.
    pub(crate) const fn has_conditions(self) -> bool {
        matches!(self, Self::Booting | Self::Running)
    }

    const fn to_proto(self) -> RuntimeMachineStage {
        match self {
            Self::Booting => RuntimeMachineStage::MachineStageBooting,
            Self::Installing => RuntimeMachineStage::MachineStageInstalling,
            Self::Maintenance => RuntimeMachineStage::MachineStageMaintenance,
            Self::Running => RuntimeMachineStage::MachineStageRunning,
            Self::Rebooting => RuntimeMachineStage::MachineStageRebooting,
            Self::ShuttingDown => RuntimeMachineStage::MachineStageShuttingDown,
            Self::Resetting => RuntimeMachineStage::MachineStageResetting,
            Self::Upgrading => RuntimeMachineStage::MachineStageUpgrading,
        }
    }
}

/// The stage of the machine, and names and reasons of what it waits for; none means ready.
pub(crate) fn machine_status(stage: MachineStage, unmet: &[(&'static str, String)]) -> Draft {
    let mut yaml = format!(
        "stage: {}\nstatus:\n    ready: {}\n",
        stage.as_str(),
        unmet.is_empty()
    );
    yaml.push_str(if unmet.is_empty() {
        "    unmetConditions: []\n"
    } else {
        "    unmetConditions:\n"
    });
    for (name, reason) in unmet {
        yaml.push_str(&format!(
            "        - name: {name}\n          reason: {}\n",
            scalar(reason)
        ));
    }
    let unmet_conditions = unmet.iter().map(|(name, reason)| UnmetCondition {
        name: (*name).to_owned(),
        reason: reason.clone(),
    });
    let status = MachineStatusStatus {
        ready: unmet.is_empty(),
        unmet_conditions: unmet_conditions.collect(),
    };
    let spec = MachineStatusSpec {
        stage: stage.to_proto().into(),
        status: Some(status),
    };
    draft(&MACHINE_STATUS, "machine", &spec, yaml)
}

pub(crate) fn version(tag: &str) -> Draft {
    let spec = VersionSpec {
        version: tag.to_owned(),
        name: "Talos".to_owned(),
    };
    draft(
        &VERSION,
        "version",
        &spec,
        format!("version: {}\nname: Talos\n", scalar(tag)),
    )
}

pub(crate) fn boot_id(id: &str) -> Draft {
    let spec = BootIdSpec {
        boot_id: id.to_owned(),
    };
    draft(&BOOT_ID, "boot-id", &spec, format!("bootID: {}\n", scalar(id)))
}

pub(crate) fn hostname_status(identity: &Identity) -> Draft {
    let Identity { hostname, domain, .. } = identity;
    let spec = HostnameStatusSpec {
        hostname: hostname.clone(),
        domainname: domain.clone(),
    };
    let yaml = format!("hostname: {}\ndomainname: {}\n", scalar(hostname), scalar(domain));
    draft(&HOSTNAME_STATUS, "hostname", &spec, yaml)
}

/// The machine as the discovery service knows it; every node of the cluster has this resource.
pub(crate) fn member(identity: &Identity, tag: &str) -> Draft {
    let operating_system = format!("Talos ({tag})");
    let control_plane = identity.role == MachineRole::ControlPlane;
    let mut yaml = format!(
        "nodeId: {}\naddresses:\n    - {}\nhostname: {}\nmachineType: {}\noperatingSystem: {}\n",
        scalar(&identity.node_id),
        identity.address,
        scalar(&identity.fqdn()),
        identity.role.as_str(),
        scalar(&operating_system),
    );
    if control_plane {
        yaml.push_str("controlPlane:\n    apiServerPort: 6443\n");
    }
    let machine_type = if control_plane {
        MachineType::TypeControlPlane
    } else {
        MachineType::TypeWorker
    };
    let spec = MemberSpec {
        node_id: identity.node_id.clone(),
        addresses: vec![net_ip(identity.address)],
        hostname: identity.fqdn(),
        machine_type: machine_type.into(),
        operating_system,
        control_plane: control_plane.then_some(ControlPlane {
            api_server_port: 6443,
        }),
    };
    draft(&MEMBER, &identity.hostname, &spec, yaml)
}

/// A running service. The resource does not exist while the service does not run.
pub(crate) fn service(id: &str, health: &Health) -> Draft {
    let Health { healthy, unknown, .. } = *health;
    let spec = ServiceSpec {
        running: true,
        healthy,
        unknown,
    };
    draft(
        &SERVICE,
        id,
        &spec,
        format!("running: true\nhealthy: {healthy}\nunknown: {unknown}\n"),
    )
}

pub(super) fn net_ip(address: IpAddr) -> NetIp {
    let ip = match address {
        IpAddr::V4(v4) => Bytes::copy_from_slice(&v4.octets()),
        IpAddr::V6(v6) => Bytes::copy_from_slice(&v6.octets()),
    };
    NetIp { ip }
}

pub(in crate::node) fn draft(
    kind: &'static ResourceKind,
    id: &str,
    spec: &impl Message,
    yaml_spec: String,
) -> Draft {
    Draft {
        kind,
        id: id.to_owned(),
        proto_spec: spec.encode_to_vec().into(),
        yaml_spec,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmet_conditions_are_reported() {
        let unmet = [("services", "etcd not healthy, kubelet not running".to_owned())];
        let running = machine_status(MachineStage::Running, &unmet);
        assert_eq!(
            running.yaml_spec,
            "stage: running\nstatus:\n    ready: false\n    unmetConditions:\n        - name: services\n          \
             reason: \"etcd not healthy, kubelet not running\"\n"
        );
        let decoded = MachineStatusSpec::decode(running.proto_spec).unwrap();
        assert_eq!(decoded.status.unwrap().unmet_conditions[0].name, "services");
        let resetting = machine_status(MachineStage::Resetting, &[]);
        assert_eq!(
            resetting.yaml_spec,
            "stage: resetting\nstatus:\n    ready: true\n    unmetConditions: []\n"
        );
    }
}
