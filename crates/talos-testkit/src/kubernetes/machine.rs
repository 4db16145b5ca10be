//! What Kubernetes sees of the machines.

use crate::node::power::Timings;
use crate::node::services::ServiceState;
use crate::node::{MachineRole, Node, etcd};

/// The static pods of a control plane node.
pub(super) const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// A machine at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MachineView {
    pub(super) index: usize,
    /// The name of its node in Kubernetes.
    pub(super) name: String,
    pub(super) address: String,
    pub(super) control_plane: bool,
    pub(super) boot_id: String,
    pub(super) machine_id: String,
    pub(super) tag: String,
    /// Whether its kubelet talks to the API server.
    pub(super) kubelet: bool,
    pub(super) ready: bool,
    /// Whether its kube-apiserver answers.
    pub(super) serves: bool,
    /// Whether it is on its way down and has cordoned itself.
    pub(super) leaving: bool,
    /// The components that it runs as static pods.
    pub(super) components: Vec<&'static str>,
    pub(super) labels: Vec<(String, String)>,
    pub(super) taints: Vec<(String, String)>,
    pub(super) timings: Timings,
}

impl MachineView {
    pub(super) fn of(index: usize, node: &Node) -> Self {
        let identity = node.current_identity();
        let control_plane = node.machine_role() == Some(MachineRole::ControlPlane);
        let service = |id| node.services.state(id) == Some(ServiceState::Running);
        let up = node.life().is_some() && !node.in_maintenance();
        let bootstrapped = *node.cluster.bootstrapped.borrow();
        let kubelet = up && bootstrapped && service("kubelet");
        let mut components = Vec::new();
        if up && control_plane && bootstrapped && node.services.pid("kubelet") != 0 {
            components.extend(COMPONENTS);
            components.retain(|component| !node.pods.lacks(component));
        }
        let configuration = node.configuration.active();
        let serves =
            components.contains(&COMPONENTS[0]) && etcd::runs(node) && node.cluster.etcd.quorum(node).is_ok();
        Self {
            index,
            name: identity.hostname.to_lowercase(),
            address: identity.address.to_string(),
            control_plane,
            boot_id: node.boot_id.lock().clone(),
            machine_id: identity.node_id.chars().take(32).collect(),
            tag: node.version.lock().tag.clone(),
            kubelet,
            ready: kubelet
                && node.is_node_ready()
                && node
                    .services
                    .health("kubelet")
                    .is_none_or(|health| health.healthy),
            serves,
            leaving: *node.cordoned.lock(),
            components,
            labels: configuration
                .as_deref()
                .map(|config| config.node_labels())
                .unwrap_or_default(),
            taints: configuration
                .as_deref()
                .map(|config| config.node_taints())
                .unwrap_or_default(),
            timings: *node.timings.lock(),
        }
    }
}
