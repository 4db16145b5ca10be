//! The Kubernetes API of a simulated cluster, for programs that drain nodes, check health or run as operators.
//!
//! A cluster serves it if it is [told to](crate::SimClusterBuilder::kubernetes). The kubeconfig that Talos gives
//! then names a server that listens: one address for all control plane nodes, with TLS by the cluster's
//! Kubernetes authority. It answers while any of them is up with etcd and a kube-apiserver, else connections
//! are refused, as they are cut when the API server at their other end goes down.
//!
//! ```
//! use talos_testkit::SimCluster;
//! use talos_testkit::kubernetes::{KubeBudget, KubePod, PodOwner};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), talos_testkit::SimError> {
//! let cluster = SimCluster::builder().workers(2).kubernetes(true).start().await?;
//! let kubernetes = cluster.kubernetes().expect("the cluster has it");
//! let web = |name| KubePod::new("default", name).owned_by(PodOwner::ReplicaSet, "web").label("app", "web");
//! kubernetes.add_pods([web("web-1").on_node("10.5.0.3"), web("web-2").on_node("10.5.0.4")]);
//! kubernetes.set_budget(KubeBudget::new("default", "web").selects("app", "web").min_available(2));
//!
//! // Run what is to be tested with `cluster.kubeconfig()`, then look at what became of it.
//! assert!(kubernetes.pods().iter().all(|pod| !pod.terminating));
//! assert!(kubernetes.requests().iter().all(|request| request.status != Some(429)));
//! # Ok(())
//! # }
//! ```
//!
//! # What is there
//!
//! - `/version`, `/readyz`, `/livez`, `/healthz`, discovery.
//! - Nodes: get, list, watch, patch, update, delete. They follow the machines: addresses, labels and taints of
//!   the configuration, `Ready`, the Talos release. What clients write stays: cordons, labels, annotations,
//!   taints. A machine that shuts down, is upgraded or reset in good order cordons and drains itself, and ends
//!   that cordon, but no other, when it is back.
//! - Pods: get, list, watch, patch and update of labels and annotations, delete, and evictions, in all
//!   namespaces or one. There are static
//!   pods, kube-proxy, kube-flannel and coredns, and those that tests [add](SimKubernetes::add_pod). What was
//!   evicted or deleted ends after the [grace](crate::Timings::grace) of its node, if its kubelet runs, and
//!   is replaced as its [owner](PodOwner) does it. Pods are as ready as their nodes.
//! - PodDisruptionBudgets with all verbs; DaemonSets, Deployments, ReplicaSets and Namespaces to read.
//! - Selectors, pages, dry runs, the three kinds of patches of JSON, watches with bookmarks, initial events and
//!   `410 Gone`.
//! - Client certificates and [tokens](SimKubernetes::token): users in `system:masters` may do everything, others
//!   get 403, and without either it is 401. There are no other rights, and no server-side apply.
//!
//! Mirrors of static pods stay while their node is down, as they do in Kubernetes, and are not ready.

mod api;
mod auth;
mod controllers;
mod core;
mod discovery;
mod eviction;
mod failure;
mod fault;
mod handle;
mod json;
mod kind;
mod leaving;
mod list;
mod machine;
mod objects;
mod observe;
mod patch;
mod query;
mod record;
mod route;
mod selector;
mod server;
mod shape;
mod spec;
mod state;
mod store;
mod talos;
mod watch;

pub(crate) use self::core::{Door, Kubernetes};
pub use fault::{KubeFault, KubeFaultHandle};
pub use handle::SimKubernetes;
pub use observe::{ObservedNode, ObservedPod};
pub use record::KubeRequest;
pub use spec::{KubeBudget, KubePod, PodOwner};
