//! What all machines of a cluster have in common.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, Weak};

use talos_proto::cosi::resource::Resource;
use tokio::sync::watch;

use super::etcd::EtcdCluster;
use super::resources::collection::Collection;
use super::{MachineRole, Node};
#[cfg(feature = "kubernetes")]
use crate::kubernetes::Kubernetes;
use crate::machine_config::{ConfigPlan, Install, MachineConfig};
use crate::network::{Network, addressing};
use crate::pki::CertificateAuthority;
use crate::profile::Profile;
use crate::secrets::Secrets;
use crate::sync::Guarded;

/// The Kubernetes release of generated configurations.
pub(crate) const KUBERNETES: &str = "1.36.0";

/// A configuration as a resource: its id, whether the spec is YAML, and whose it is.
type ConfigResource = (&'static str, bool, MachineRole);

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
    /// What is in the configurations of the machines.
    pub(crate) secrets: Secrets,
    /// The release of the machines when they were installed.
    tag: String,
    /// The configurations of control plane nodes and workers, made when they are first asked for.
    generated: [OnceLock<Arc<MachineConfig>>; 2],
    /// Resources of these configurations, by id and encoding.
    config_resources: Guarded<HashMap<ConfigResource, Arc<Resource>>>,
    pub(crate) etcd: EtcdCluster,
    /// Whether etcd has a cluster to be part of.
    pub(crate) bootstrapped: watch::Sender<bool>,
    /// The network of the machines, set when there is one.
    network: OnceLock<Weak<Network>>,
    #[cfg(feature = "kubernetes")]
    kubernetes: OnceLock<Arc<Kubernetes>>,
}

impl ClusterFacts {
    pub(crate) fn new(
        name: String,
        kubeconfig: String,
        secrets: Secrets,
        tag: String,
        bootstrapped: bool,
    ) -> Self {
        Self {
            name,
            kubeconfig,
            members: Arc::default(),
            authority: Arc::clone(&secrets.talos),
            secrets,
            tag,
            generated: Default::default(),
            config_resources: Guarded::default(),
            etcd: EtcdCluster::default(),
            bootstrapped: watch::Sender::new(bootstrapped),
            network: OnceLock::new(),
            #[cfg(feature = "kubernetes")]
            kubernetes: OnceLock::new(),
        }
    }

    /// Says which network the machines are in. Done once, before any machine is looked at.
    pub(crate) fn connect(&self, network: Weak<Network>) {
        let connected = self.network.set(network);
        debug_assert!(connected.is_ok(), "a cluster has one network");
    }

    /// Says that the cluster has a Kubernetes API. Done once, when it starts.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn set_kubernetes(&self, kubernetes: Arc<Kubernetes>) {
        let set = self.kubernetes.set(kubernetes);
        debug_assert!(set.is_ok(), "a cluster has one Kubernetes");
    }

    /// The Kubernetes API of the cluster, if it serves one.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn kubernetes(&self) -> Option<&Arc<Kubernetes>> {
        self.kubernetes.get()
    }

    /// Says that a member of etcd runs.
    pub(crate) fn set_bootstrapped(&self) {
        self.bootstrapped
            .send_if_modified(|bootstrapped| !std::mem::replace(bootstrapped, true));
    }

    /// The configuration that machines with this role have unless another one is applied.
    pub(crate) fn generated(&self, role: MachineRole) -> Arc<MachineConfig> {
        let slot = &self.generated[usize::from(role == MachineRole::Worker)];
        Arc::clone(slot.get_or_init(|| {
            let plan = ConfigPlan {
                cluster: &self.name,
                first: addressing::node_address(0),
                kubernetes: Some(KUBERNETES),
                install: Some(Install {
                    disk: "/dev/vda",
                    tag: &self.tag,
                }),
                discovery: true,
                secrets: &self.secrets,
            };
            let text = plan.render(role, Profile::of(&self.tag).release());
            let config = MachineConfig::read(text.into());
            Arc::new(config.expect("what is written here can be read here"))
        }))
    }

    pub(super) fn is_generated(&self, config: &Arc<MachineConfig>) -> bool {
        let made = self.generated.iter().filter_map(OnceLock::get);
        made.into_iter().any(|generated| Arc::ptr_eq(generated, config))
    }

    /// A resource of a configuration that several machines have.
    pub(super) fn shared_resource(
        &self,
        key: (&'static str, bool, MachineRole),
        make: impl FnOnce() -> Resource,
    ) -> Arc<Resource> {
        let mut resources = self.config_resources.lock();
        Arc::clone(resources.entry(key).or_insert_with(|| Arc::new(make())))
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
        // Those that nobody has looked at have the role that they were made for.
        let machines = network.machines().iter().filter(|machine| {
            role.is_none_or(|role| machine.identity.role == role || machine.is_looked_at())
        });
        let nodes = machines.map(|machine| Arc::clone(machine.node()));
        nodes
            .filter(|node| role.is_none() || node.machine_role() == role)
            .collect()
    }
}
