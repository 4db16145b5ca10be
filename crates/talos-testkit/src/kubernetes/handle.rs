//! What tests do with the Kubernetes of a cluster.

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;

use super::auth::User;
use super::core::Kubernetes;
use super::fault::{KubeFault, KubeFaultHandle};
use super::kind::{Key, Kind};
use super::observe::{ObservedNode, ObservedPod};
use super::record::KubeRequest;
use super::spec::{KubeBudget, KubePod};
use crate::cluster::kubeconfig;
use crate::pki::{ClientCert, ClientCertSpec, KeyAlgorithm, PkiError};

/// The Kubernetes of a cluster, see [`SimCluster::kubernetes`](crate::SimCluster::kubernetes): put pods and
/// budgets there, look at what became of them and at the requests that came, let things go wrong.
///
/// A handle is cheap to clone. It does not keep the cluster alive.
#[derive(Clone)]
pub struct SimKubernetes {
    kubernetes: Arc<Kubernetes>,
}

impl SimKubernetes {
    pub(crate) const fn new(kubernetes: Arc<Kubernetes>) -> Self {
        Self { kubernetes }
    }

    /// Where the API is, such as `https://127.0.0.1:40123`: the `server` of kubeconfigs. It stands for all API
    /// servers of the cluster, which take connections in turn.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.kubernetes.url
    }

    /// Whether any API server answers. If not, connections are refused.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.kubernetes.sync();
        self.kubernetes.server().is_some()
    }

    /// A client certificate for a user with groups; those in `system:masters` may do everything, others
    /// nothing but ask for versions.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers, or the cluster is gone.
    pub fn client_cert(
        &self,
        user: &str,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<ClientCert, PkiError> {
        let network = self.kubernetes.network().ok_or(PkiError::Malformed)?;
        let spec = ClientCertSpec::new(groups)
            .common_name(user)
            .key_algorithm(KeyAlgorithm::EcdsaP256);
        network.facts.secrets.kubernetes.issue_client(&spec)
    }

    /// A token for a user with groups, with the rights that [`Self::client_cert`] has: what service accounts have in pods,
    /// for `authorization: Bearer …`.
    ///
    /// # Errors
    ///
    /// When the system has no random numbers.
    pub fn token(
        &self,
        user: &str,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<String, PkiError> {
        self.kubernetes.authenticator.issue_token(User {
            name: user.to_owned(),
            groups: groups.into_iter().map(Into::into).collect(),
        })
    }

    /// A kubeconfig for a user with groups, as [`Self::client_cert`].
    ///
    /// # Errors
    ///
    /// When the system has no random numbers, or the cluster is gone.
    pub fn kubeconfig_for(
        &self,
        user: &str,
        groups: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<String, PkiError> {
        let client = self.client_cert(user, groups)?;
        let network = self.kubernetes.network().ok_or(PkiError::Malformed)?;
        let facts = &network.facts;
        Ok(kubeconfig::write(
            &facts.name,
            user,
            self.url(),
            &facts.secrets.kubernetes.certificate_pem(),
            &client,
        ))
    }

    /// The certificate of the authority that the API and its clients have certificates of, as PEM.
    #[must_use]
    pub fn ca_pem(&self) -> String {
        let network = self.kubernetes.network();
        network.map_or_else(String::new, |network| {
            network.facts.secrets.kubernetes.certificate_pem()
        })
    }

    /// Adds a pod. It runs when this returns, if its node does.
    ///
    /// # Panics
    ///
    /// If the pod is to run on a node that the cluster does not have, or there is one of its name already.
    pub fn add_pod(&self, mut pod: KubePod) {
        if let Some(on) = &mut pod.node {
            let network = self.kubernetes.network();
            let found = network.and_then(|network| {
                let index = network.find(on)?;
                Some(
                    network.machines()[index]
                        .node()
                        .current_identity()
                        .hostname
                        .to_lowercase(),
                )
            });
            match found {
                Some(found) => *on = found,
                None => panic!("the cluster has no node called {on}"),
            }
        }
        let key = Key::pod(&pod.namespace, &pod.name);
        self.kubernetes.change(|state| {
            assert!(
                state.store.get(&key).is_none(),
                "there is a pod {}/{}",
                key.namespace,
                key.name
            );
            state.add(pod, Instant::now());
        });
    }

    /// Adds several pods, as [`Self::add_pod`].
    ///
    /// # Panics
    ///
    /// As [`Self::add_pod`].
    pub fn add_pods(&self, pods: impl IntoIterator<Item = KubePod>) {
        for pod in pods {
            self.add_pod(pod);
        }
    }

    /// Sets a budget, in place of one of its name.
    pub fn set_budget(&self, budget: KubeBudget) {
        let key = Key::new(Kind::Budget, &budget.namespace, &budget.name);
        self.kubernetes.change(|state| {
            state.ensure_namespace(&key.namespace);
            state.store.put(key, budget.render());
            state.touch();
        });
    }

    /// Lifts a budget. Does nothing if there is none of that name.
    pub fn lift_budget(&self, namespace: &str, name: &str) {
        let key = Key::new(Kind::Budget, namespace, name);
        self.kubernetes.change(|state| {
            state.store.remove(&key);
            state.touch();
        });
    }

    /// Lets a running pod be ready, or not, from now on. Does nothing if there is none of that name.
    pub fn set_pod_ready(&self, namespace: &str, name: &str, ready: bool) {
        let key = Key::pod(namespace, name);
        self.kubernetes.change(|state| {
            let uid = state.uid_of(&key).to_owned();
            if let Some(keeper) = state.pods.get_mut(&uid) {
                keeper.spec.ready = ready;
            }
            state.touch();
        });
    }

    /// Lets a pod end that [never terminates](KubePod::never_terminates): at once if it was evicted or
    /// deleted, else when it is. Does nothing if there is none of that name.
    pub fn let_go(&self, namespace: &str, name: &str) {
        let key = Key::pod(namespace, name);
        self.kubernetes.change(|state| state.let_go(&key, Instant::now()));
    }

    /// Cordons a node or ends its cordon, as somebody with `kubectl` does. Does nothing if there is none of
    /// that name.
    pub fn set_unschedulable(&self, node: &str, unschedulable: bool) {
        let key = Key::node(node);
        self.kubernetes.change(|state| {
            state.store.update(&key, |object| {
                if unschedulable {
                    object["spec"]["unschedulable"] = true.into();
                } else if let Some(spec) = object["spec"].as_object_mut() {
                    spec.remove("unschedulable");
                }
            });
            state.touch();
        });
    }

    /// All nodes, by name.
    #[must_use]
    pub fn nodes(&self) -> Vec<ObservedNode> {
        let state = self.kubernetes.look();
        let nodes = state.store.of(Kind::Node);
        nodes
            .map(|(key, object)| ObservedNode::of(&key.name, object))
            .collect()
    }

    /// The node called `name`, by its name in Kubernetes.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<ObservedNode> {
        self.nodes().into_iter().find(|node| node.name == name)
    }

    /// All pods, by namespace and name.
    #[must_use]
    pub fn pods(&self) -> Vec<ObservedPod> {
        let state = self.kubernetes.look();
        let pods = state.store.of(Kind::Pod);
        pods.map(|(key, object)| ObservedPod::of(key, object)).collect()
    }

    /// The pod of this name.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str) -> Option<ObservedPod> {
        let mut pods = self.pods().into_iter();
        pods.find(|pod| pod.namespace == namespace && pod.name == name)
    }

    /// Waits until something holds; asked again with every change of an object.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn wait_until(&self, mut holds: impl FnMut(&Self) -> bool) {
        let mut signals = self.kubernetes.signals();
        loop {
            signals.mark_unchanged();
            if holds(self) {
                return;
            }
            if signals.changed().await.is_err() {
                // The sender lives in `self`, so this is not reached.
                std::future::pending::<()>().await;
            }
        }
    }

    /// The requests that have come, the oldest first. Those that faults hit are among them.
    #[must_use]
    pub fn requests(&self) -> Vec<KubeRequest> {
        self.kubernetes.requests.all()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.kubernetes.requests.clear();
    }

    /// Waits for a request and returns the first that is `wanted`; those of the past count, and each is looked
    /// at again when it has been answered.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn wait_for_request(&self, wanted: impl FnMut(&KubeRequest) -> bool) -> KubeRequest {
        self.kubernetes.requests.wait_for(wanted).await
    }

    /// Lets requests go wrong from now on. For each request faults are asked in the order they were injected;
    /// the first that ends it settles the matter.
    pub fn inject(&self, fault: KubeFault) -> KubeFaultHandle {
        self.kubernetes.faults.add(fault)
    }

    /// Takes a fault away.
    pub fn remove_fault(&self, fault: &KubeFaultHandle) {
        self.kubernetes.faults.remove(fault);
    }

    /// Takes all faults away.
    pub fn clear_faults(&self) {
        self.kubernetes.faults.clear();
    }

    /// Refuses connections, or stops doing so, while API servers run: a broken load balancer. Connections that
    /// there are go on.
    pub fn refuse_connections(&self, refuse: bool) {
        if let Err(error) = self.kubernetes.endpoint.refuse(refuse) {
            tracing::warn!(%error, "the Kubernetes API cannot be reopened");
        }
    }

    /// Ends all watches without an error, as API servers do every now and then.
    pub fn end_watches(&self) {
        self.kubernetes
            .signal(|signal| signal.ends = signal.ends.wrapping_add(1));
    }

    /// Lets all watches that asked for bookmarks send one now. They do so every minute by themselves.
    pub fn send_bookmarks(&self) {
        self.kubernetes
            .signal(|signal| signal.bookmarks = signal.bookmarks.wrapping_add(1));
    }

    /// Forgets what happened to objects, as etcd does after a while: watches from earlier versions, and lists
    /// that go on with them, get `410 Gone`.
    pub fn compact(&self) {
        self.kubernetes.change(|state| state.store.compact());
    }
}

impl fmt::Debug for SimKubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimKubernetes")
            .field("url", &self.url())
            .finish_non_exhaustive()
    }
}
