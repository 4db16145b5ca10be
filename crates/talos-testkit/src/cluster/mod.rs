//! A whole cluster: start it, look at it, stop it.

mod builder;
mod control;
mod faults;
mod handle;
pub(crate) mod kubeconfig;
mod life;
pub(crate) mod mains;
mod talosconfig;
#[cfg(unix)]
mod unix;

use std::fmt;
use std::sync::Arc;

use crate::network::Network;
pub use crate::network::addressing::Listen;
use crate::node::resources::handle::SimResources;
use crate::pki::{CertificateAuthority, ClientCert, ClientCertSpec, PkiError};
use crate::record::Recorder;
pub use builder::SimClusterBuilder;
pub use control::SimFile;
pub use handle::SimNode;
pub use life::SimEvent;
pub use talosconfig::TalosconfigBuilder;

/// A Talos cluster in this process.
///
/// Dropping it ends all nodes: listeners close at once and connections break. [`Self::shutdown`] also waits
/// until everything is gone.
///
/// ```
/// use talos_testkit::SimCluster;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), talos_testkit::SimError> {
/// let cluster = SimCluster::builder().control_planes(3).workers(1).start().await?;
/// assert_eq!(cluster.nodes(), ["10.5.0.2", "10.5.0.3", "10.5.0.4", "10.5.0.5"]);
/// assert_eq!(cluster.endpoints().len(), 3);
/// assert!(cluster.talosconfig().starts_with("context: sim\n"));
/// cluster.shutdown().await;
/// # Ok(())
/// # }
/// ```
pub struct SimCluster {
    network: Arc<Network>,
}

impl SimCluster {
    /// Describes a cluster; a single control plane node unless told otherwise.
    pub fn builder() -> SimClusterBuilder {
        SimClusterBuilder::default()
    }

    /// Name of the cluster, also the name of the context in its talosconfig.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.network.facts.name
    }

    /// `127.0.0.x:port` of every control plane node: what a talosconfig lists as endpoints.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.handles()
            .filter(SimNode::is_control_plane)
            .map(|node| node.endpoint())
            .collect()
    }

    /// Names of all nodes, control plane first: the values to send as `node` metadata.
    #[must_use]
    pub fn nodes(&self) -> Vec<String> {
        self.handles().map(|node| node.name()).collect()
    }

    /// The node at `index` in the order of [`Self::nodes`].
    ///
    /// # Panics
    ///
    /// If there is no such node.
    #[must_use]
    pub fn node(&self, index: usize) -> SimNode {
        assert!(
            index < self.network.machines().len(),
            "the cluster has {} nodes",
            self.network.machines().len()
        );
        self.handle(index)
    }

    /// The node with this address, hostname or FQDN.
    #[must_use]
    pub fn node_by_name(&self, name: &str) -> Option<SimNode> {
        self.network.find(name).map(|index| self.handle(index))
    }

    /// The calls that the cluster has received.
    #[must_use]
    pub fn requests(&self) -> &Recorder {
        &self.network.recorder
    }

    /// The administrator's kubeconfig, as the RPC `Kubeconfig` returns it. Nothing listens at the address in it,
    /// unless the cluster serves the Kubernetes API (feature `kubernetes`).
    #[must_use]
    pub fn kubeconfig(&self) -> &str {
        &self.network.facts.kubeconfig
    }

    /// The Kubernetes of the cluster; `None` unless it was
    /// [switched on](SimClusterBuilder::kubernetes).
    #[cfg(feature = "kubernetes")]
    #[must_use]
    pub fn kubernetes(&self) -> Option<crate::kubernetes::SimKubernetes> {
        let kubernetes = self.network.facts.kubernetes()?;
        Some(crate::kubernetes::SimKubernetes::new(Arc::clone(kubernetes)))
    }

    /// The resources of all nodes, to change them everywhere.
    #[must_use]
    pub fn resources(&self) -> SimResources {
        SimResources::new(self.handles().map(|node| node.holder()).collect())
    }

    /// The certificate authority of the Talos API, to issue unusual client certificates.
    #[must_use]
    pub fn authority(&self) -> &CertificateAuthority {
        &self.network.tls.authority
    }

    /// Certificate of that authority as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority().certificate_pem()
    }

    /// The token that machines show to `trustd` (`machine.token` of their configuration).
    #[must_use]
    pub fn machine_token(&self) -> &str {
        &self.network.token
    }

    /// A client certificate with `roles`, such as `os:reader`.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn client_cert(
        &self,
        roles: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<ClientCert, PkiError> {
        self.authority().issue_client(&ClientCertSpec::new(roles))
    }

    /// Ends all nodes and waits until their sockets are closed.
    pub async fn shutdown(self) {
        self.network.power_off();
        self.network.tasks.wait().await;
    }

    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.network
    }

    fn handles(&self) -> impl Iterator<Item = SimNode> + '_ {
        (0..self.network.machines().len()).map(|index| self.handle(index))
    }

    fn handle(&self, index: usize) -> SimNode {
        SimNode {
            network: Arc::clone(&self.network),
            index,
        }
    }
}

impl Drop for SimCluster {
    fn drop(&mut self) {
        self.network.power_off();
    }
}

impl fmt::Debug for SimCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimCluster")
            .field("name", &self.network.facts.name)
            .field("nodes", &self.nodes())
            .field("endpoints", &self.endpoints())
            .finish_non_exhaustive()
    }
}
