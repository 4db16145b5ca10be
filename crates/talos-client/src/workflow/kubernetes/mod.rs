//! Kubernetes beside Talos: what an upgrade, a health check or a support bundle want to know of it, or do to it.
//!
//! A node of Talos is a node of Kubernetes as well, under a name that the machine itself knows. [`Kubernetes`] finds it,
//! keeps pods away from it ([`cordon`](Kubernetes::cordon)), moves those away that are there
//! ([`drain`](Kubernetes::drain)), waits until it is [ready](Kubernetes::wait_ready), and lets pods come again
//! ([`uncordon`](Kubernetes::uncordon)).
//!
//! ```no_run
//! use talos_client::workflow::kubernetes::{DrainOptions, Kubernetes};
//!
//! # async fn example(client: talos_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! let kubernetes = Kubernetes::of(&client);
//! let node = client.node("10.5.0.5")?;
//! let mut run = kubernetes.drain(&node, DrainOptions::new());
//! while let Some(progress) = run.next_progress().await {
//!     println!("{progress}");
//! }
//! println!("{} pods are gone", run.finish().await?.evicted.len());
//! // … and when whatever is done to the machine is done:
//! kubernetes.uncordon(&node).await?;
//! # Ok(())
//! # }
//! ```
//!
//! The same is a part of other workflows, where it is asked for:
//! [`ClusterUpgrade::drain`](super::upgrade::ClusterUpgrade::drain),
//! [`ClusterHealth::kubernetes`](super::health::ClusterHealth::kubernetes), and
//! `SupportBundle::kubernetes` with the feature `support-bundle`.
//!
//! # Releases of Kubernetes
//!
//! The crate k8s-openapi, from which the types of Kubernetes come, builds for one release only, and the program has to name
//! it: with the feature `kube-latest` of this crate, or with a feature of k8s-openapi itself and `kube` here. What is done
//! here is the same with all of them.

mod access;
mod call;
mod connector;
mod drain;
mod error;
mod node;
mod objects;
mod pod;

use std::{fmt, sync::Arc, time::Duration};

use tokio::sync::Mutex;

#[cfg(feature = "support-bundle")]
pub(in crate::workflow) use self::node::chain;
pub use self::{
    drain::{
        DrainError, DrainOptions, DrainProgress, DrainReport, PodLeft, PodName, PodProblem, PodSkip,
        PodSkipReason,
    },
    error::KubernetesError,
};
pub(in crate::workflow) use self::{
    node::{name_of, persist},
    objects::{DaemonSet, Deployment, Node as KubeNode, Pod},
};
/// The client library underneath.
pub use kube;

use crate::Client;

/// The Kubernetes API of a cluster. Cheap to clone; clones share their connections.
///
/// Nothing is asked before it is needed. `Debug` shows no credentials.
#[derive(Clone)]
pub struct Kubernetes {
    access: Access,
    call_timeout: Duration,
    client: Arc<Mutex<Option<kube::Client>>>,
}

/// Where the client comes from.
#[derive(Clone)]
enum Access {
    /// From the kubeconfig that the cluster gives to its administrators.
    Cluster { client: Client, server: Option<String> },
    /// From whoever made the handle.
    Given,
}

impl Kubernetes {
    /// With the kubeconfig that the cluster gives out, which takes the role `os:admin`. It is fetched with the first call,
    /// from whichever endpoint answers, and kept in memory.
    ///
    /// Connections are made by the same rules as those to Talos (cryptography, keys, resolving of names), but never through
    /// a proxy. Where that is not enough, make a client by yourself: [`Kubernetes::with_client`].
    pub fn of(client: &Client) -> Self {
        Self {
            access: Access::Cluster {
                client: client.clone(),
                server: None,
            },
            call_timeout: Self::CALL_TIMEOUT,
            client: Arc::default(),
        }
    }

    /// With a client of your own, for instance that of an operator, which has the rights of its service account: to get
    /// and patch nodes, to list pods and DaemonSets, to get Deployments, and to create evictions, as far as it is used.
    /// [`Kubernetes::in_pod`] makes such a client.
    pub fn with_client(client: kube::Client) -> Self {
        Self {
            access: Access::Given,
            call_timeout: Self::CALL_TIMEOUT,
            client: Arc::new(Mutex::new(Some(client))),
        }
    }

    /// How long a call may take unless told otherwise: 30 seconds.
    pub const CALL_TIMEOUT: Duration = Duration::from_secs(30);

    /// Goes to this server instead of the one in the kubeconfig, which is often an address that only exists inside the
    /// network of the cluster. For example `https://192.0.2.7:6443`. Its certificate has to be valid for this address:
    /// that of every control plane node is for its own, and for those in `cluster.apiServer.certSANs`.
    ///
    /// Without effect with a client of your own.
    #[must_use]
    pub fn server(mut self, url: impl Into<String>) -> Self {
        if let Access::Cluster { server, .. } = &mut self.access {
            *server = Some(url.into());
            self.client = Arc::default();
        }
        self
    }

    /// Limits the time for each call. Default: [`Kubernetes::CALL_TIMEOUT`].
    #[must_use]
    pub fn call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = timeout;
        self
    }

    /// The client of kube behind this, for everything else.
    ///
    /// # Errors
    ///
    /// [`KubernetesError::Kubeconfig`], [`KubernetesError::Unusable`] or [`KubernetesError::Tls`]: there is none yet, and
    /// it cannot be made.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn client(&self) -> Result<kube::Client, KubernetesError> {
        let mut kept = self.client.lock().await;
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let Access::Cluster { client, server } = &self.access else {
            let reason = "there is no client".to_owned();
            return Err(KubernetesError::Unusable { reason });
        };
        let kubeconfig = client.kubeconfig().await;
        let kubeconfig = kubeconfig.map_err(|error| KubernetesError::Kubeconfig(Box::new(error)))?;
        let made = access::client(&kubeconfig, server.as_deref())?;
        *kept = Some(made.clone());
        Ok(made)
    }
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Kubernetes");
        match &self.access {
            Access::Cluster { server, .. } => shown.field("access", &"kubeconfig").field("server", server),
            Access::Given => shown.field("access", &"client"),
        };
        shown.field("call_timeout", &self.call_timeout).finish()
    }
}
