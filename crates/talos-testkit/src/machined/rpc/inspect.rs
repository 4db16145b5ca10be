//! What the controllers of a node read and write.

use talos_proto::inspect::{
    ControllerDependencyEdge, ControllerRuntimeDependenciesResponse, ControllerRuntimeDependency,
    DependencyEdgeType,
};
use tonic::Status;

use super::Call;

use DependencyEdgeType::{InputStrong, InputWeak, OutputExclusive, OutputShared};

/// Controller, kind of edge, namespace and type of a resource, and its id if the edge is about one only.
const EDGES: [(&str, DependencyEdgeType, &str, &str, &str); 22] = [
    (
        "cluster.MemberController",
        InputWeak,
        "cluster",
        "Affiliates.cluster.talos.dev",
        "",
    ),
    (
        "cluster.MemberController",
        OutputExclusive,
        "",
        "Members.cluster.talos.dev",
        "",
    ),
    (
        "config.MachineTypeController",
        InputWeak,
        "config",
        "MachineConfigs.config.talos.dev",
        "v1alpha1",
    ),
    (
        "config.MachineTypeController",
        OutputExclusive,
        "",
        "MachineTypes.config.talos.dev",
        "",
    ),
    (
        "etcd.MemberController",
        InputStrong,
        "etcd",
        "PKIStatuses.etcd.talos.dev",
        "etcd",
    ),
    (
        "etcd.MemberController",
        OutputExclusive,
        "",
        "EtcdMembers.etcd.talos.dev",
        "",
    ),
    (
        "etcd.SpecController",
        InputWeak,
        "network",
        "HostnameStatuses.net.talos.dev",
        "hostname",
    ),
    (
        "etcd.SpecController",
        OutputExclusive,
        "",
        "EtcdSpecs.etcd.talos.dev",
        "",
    ),
    (
        "network.AddressConfigController",
        InputWeak,
        "config",
        "MachineConfigs.config.talos.dev",
        "v1alpha1",
    ),
    (
        "network.AddressConfigController",
        OutputShared,
        "",
        "AddressSpecs.net.talos.dev",
        "",
    ),
    (
        "network.HostnameConfigController",
        InputWeak,
        "config",
        "MachineConfigs.config.talos.dev",
        "v1alpha1",
    ),
    (
        "network.HostnameConfigController",
        OutputShared,
        "",
        "HostnameSpecs.net.talos.dev",
        "",
    ),
    (
        "network.HostnameSpecController",
        InputWeak,
        "network",
        "HostnameSpecs.net.talos.dev",
        "",
    ),
    (
        "network.HostnameSpecController",
        OutputExclusive,
        "",
        "HostnameStatuses.net.talos.dev",
        "",
    ),
    (
        "network.LinkSpecController",
        InputStrong,
        "network",
        "LinkSpecs.net.talos.dev",
        "",
    ),
    (
        "network.LinkStatusController",
        OutputExclusive,
        "",
        "LinkStatuses.net.talos.dev",
        "",
    ),
    (
        "runtime.BootIDController",
        OutputExclusive,
        "",
        "BootIDs.runtime.talos.dev",
        "",
    ),
    (
        "runtime.MachineStatusController",
        InputWeak,
        "runtime",
        "Services.v1alpha1.talos.dev",
        "",
    ),
    (
        "runtime.MachineStatusController",
        OutputExclusive,
        "",
        "MachineStatuses.runtime.talos.dev",
        "",
    ),
    (
        "runtime.VersionController",
        OutputExclusive,
        "",
        "Versions.runtime.talos.dev",
        "",
    ),
    (
        "time.SyncController",
        InputWeak,
        "network",
        "TimeServerStatuses.net.talos.dev",
        "timeservers",
    ),
    (
        "v1alpha1.ServiceController",
        OutputExclusive,
        "",
        "Services.v1alpha1.talos.dev",
        "",
    ),
];

pub(in crate::machined) async fn controller_runtime_dependencies(
    _: Call,
    _: (),
) -> Result<ControllerRuntimeDependenciesResponse, Status> {
    let edges = EDGES.map(
        |(controller, kind, namespace, resource_type, id)| ControllerDependencyEdge {
            controller_name: controller.to_owned(),
            edge_type: kind.into(),
            resource_namespace: namespace.to_owned(),
            resource_type: resource_type.to_owned(),
            resource_id: id.to_owned(),
        },
    );
    Ok(ControllerRuntimeDependenciesResponse {
        messages: vec![ControllerRuntimeDependency {
            metadata: None,
            edges: edges.to_vec(),
        }],
    })
}
