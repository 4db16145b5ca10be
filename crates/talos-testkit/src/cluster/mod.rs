//! A whole cluster: start it, look at it, stop it.

mod addressing;
mod builder;
mod endpoint;
mod handle;
mod kubeconfig;
mod life;
mod mains;
mod talosconfig;

use std::fmt;
use std::sync::Arc;

use tokio_util::task::TaskTracker;

use crate::network::Network;
use crate::node::ClusterFacts;
use crate::node::resources::handle::SimResources;
use crate::pki::{CertificateAuthority, ClientCert, ClientCertSpec, PkiError};
use crate::record::Recorder;
pub use addressing::Listen;
pub use builder::SimClusterBuilder;
use endpoint::Endpoint;
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
    facts: Arc<ClusterFacts>,
    authority: CertificateAuthority,
    network: Arc<Network>,
    endpoints: Arc<[Endpoint]>,
    tasks: TaskTracker,
}

impl SimCluster {
    /// Describes a cluster; a single control plane node unless told otherwise.
    pub fn builder() -> SimClusterBuilder {
        SimClusterBuilder::default()
    }

    /// Name of the cluster, also the name of the context in its talosconfig.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.facts.name
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
            index < self.endpoints.len(),
            "the cluster has {} nodes",
            self.endpoints.len()
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

    /// The resources of all nodes, to change them everywhere.
    #[must_use]
    pub fn resources(&self) -> SimResources {
        SimResources::new(self.handles().map(|node| node.holder()).collect())
    }

    /// The certificate authority of the Talos API, to issue unusual client certificates.
    #[must_use]
    pub fn authority(&self) -> &CertificateAuthority {
        &self.authority
    }

    /// Certificate of that authority as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        self.authority.certificate_pem()
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
        self.authority.issue_client(&ClientCertSpec::new(roles))
    }

    /// Ends all nodes and waits until their sockets are closed.
    pub async fn shutdown(self) {
        self.power_off();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn power_off(&self) {
        self.endpoints.iter().for_each(Endpoint::close);
        self.network.machines().iter().for_each(|machine| {
            machine.node.cut_power();
            machine.node.power_off();
        });
    }

    fn handles(&self) -> impl Iterator<Item = SimNode> + '_ {
        (0..self.endpoints.len()).map(|index| self.handle(index))
    }

    fn handle(&self, index: usize) -> SimNode {
        SimNode {
            network: Arc::clone(&self.network),
            endpoints: Arc::clone(&self.endpoints),
            tasks: self.tasks.clone(),
            index,
        }
    }
}

impl Drop for SimCluster {
    fn drop(&mut self) {
        self.power_off();
        self.tasks.close();
    }
}

impl fmt::Debug for SimCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimCluster")
            .field("name", &self.facts.name)
            .field("nodes", &self.nodes())
            .field("endpoints", &self.endpoints())
            .finish_non_exhaustive()
    }
}
