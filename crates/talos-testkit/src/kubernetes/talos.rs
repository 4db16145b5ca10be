//! What Talos sees of the Kubernetes above it.

use std::sync::Arc;

use super::core::Kubernetes;
use super::handle::SimKubernetes;
use super::json::{flag, list, text};
use super::kind::Kind;
use crate::node::Node;
use crate::node::containers::SimPod;

impl Kubernetes {
    /// The pods that a machine runs, as its container runtime knows them.
    pub(crate) fn pods_on(&self, node: &Node) -> Vec<SimPod> {
        let name = node.current_identity().hostname.to_lowercase();
        let state = self.state();
        let here = state.store.of(Kind::Pod).filter(|(_, object)| {
            text(object, "/spec/nodeName") == name && text(object, "/status/phase") == "Running"
        });
        let pods = here.map(|(key, object)| {
            let mut shown = SimPod::new(&key.namespace, &key.name);
            for container in list(object, "/spec/containers") {
                shown = shown.container(text(container, "/name"), text(container, "/image"));
            }
            if flag(object, "/spec/hostNetwork") {
                shown = shown.on_host_network();
            }
            shown
        });
        pods.collect()
    }

    /// Why the nodes do not count as ready, if they do not.
    pub(crate) fn unready(self: &Arc<Self>) -> Option<String> {
        let nodes = SimKubernetes::new(Arc::clone(self)).nodes().into_iter();
        let names: Vec<String> = nodes
            .filter(|node| node.ready != "True")
            .map(|node| node.name)
            .collect();
        (!names.is_empty()).then(|| format!("some nodes are not ready: {names:?}"))
    }

    /// Why nodes take no pods, if any is cordoned.
    pub(crate) fn unschedulable(self: &Arc<Self>) -> Option<String> {
        let nodes = SimKubernetes::new(Arc::clone(self)).nodes().into_iter();
        let names: Vec<String> = nodes
            .filter(|node| node.unschedulable)
            .map(|node| node.name)
            .collect();
        (!names.is_empty()).then(|| format!("some nodes are not schedulable: {names:?}"))
    }
}
