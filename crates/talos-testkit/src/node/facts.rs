//! What all machines of a cluster have in common.

use std::sync::{Arc, OnceLock, Weak};

use tokio::sync::watch;

use super::etcd::EtcdCluster;
use super::resources::collection::Collection;
use super::{MachineRole, Node};
use crate::network::Network;
use crate::pki::CertificateAuthority;

/// What all machines of a cluster have in common.
#[derive(Debug)]
pub(crate) struct ClusterFacts {
    pub(crate) name: String,
    /// What `Kubeconfig` returns.
    pub(crate) kubeconfig: String,
    /// The `Members` resources, which all nodes agree about.
    pub(crate) members: Arc<Collection>,
    /// Signs the certificates of clients.
    pub(crate) authority: Arc<CertificateAuthority>,
    pub(crate) etcd: EtcdCluster,
    /// Whether etcd has a cluster to be part of.
    pub(crate) bootstrapped: watch::Sender<bool>,
    /// The network of the machines, set when there is one.
    network: OnceLock<Weak<Network>>,
}

impl ClusterFacts {
    pub(crate) fn new(
        name: String,
        kubeconfig: String,
        authority: Arc<CertificateAuthority>,
        bootstrapped: bool,
    ) -> Self {
        Self {
            name,
            kubeconfig,
            members: Arc::default(),
            authority,
            etcd: EtcdCluster::default(),
            bootstrapped: watch::Sender::new(bootstrapped),
            network: OnceLock::new(),
        }
    }

    /// Says which network the machines are in. Done once, before any machine is looked at.
    pub(crate) fn connect(&self, network: Weak<Network>) {
        let connected = self.network.set(network);
        debug_assert!(connected.is_ok(), "a cluster has one network");
    }

    /// Says that a member of etcd runs.
    pub(crate) fn set_bootstrapped(&self) {
        self.bootstrapped
            .send_if_modified(|bootstrapped| !std::mem::replace(bootstrapped, true));
    }

    /// Waits until the cluster is bootstrapped.
    pub(crate) async fn until_bootstrapped(&self) {
        // The sender lives as long as `self`, so that waiting cannot fail.
        let _ = self.bootstrapped.subscribe().wait_for(|done| *done).await;
    }

    /// All machines, in the order of their addresses. Those that nobody has looked at yet come into being.
    pub(crate) fn nodes(&self) -> Vec<Arc<Node>> {
        self.nodes_of(None)
    }

    /// The machines of the control plane, in the order of their addresses.
    pub(crate) fn control_planes(&self) -> Vec<Arc<Node>> {
        self.nodes_of(Some(MachineRole::ControlPlane))
    }

    fn nodes_of(&self, role: Option<MachineRole>) -> Vec<Arc<Node>> {
        let Some(network) = self.network.get().and_then(Weak::upgrade) else {
            return Vec::new();
        };
        let machines = network.machines().iter();
        let wanted = machines.filter(|machine| role.is_none_or(|role| machine.identity.role == role));
        wanted.map(|machine| Arc::clone(machine.node())).collect()
    }
}
