//! The cluster under test.

use std::{path::PathBuf, time::Duration};

use talos_client::{Client, Node, config::Talosconfig};

use crate::support::Sim;

/// The environment variable with the path of the talosconfig of a real cluster.
const VARIABLE: &str = "TALOS_CONFORMANCE_TALOSCONFIG";

/// A cluster, simulated or real, and an administrator's client for it.
pub(crate) struct Subject {
    pub(crate) client: Client,
    pub(crate) talosconfig: Talosconfig,
    /// Every machine, control plane nodes first.
    pub(crate) nodes: Vec<Node>,
    /// Those that are workers, which may be none.
    pub(crate) workers: Vec<Node>,
    /// Kept while it is in use.
    _sim: Option<Sim>,
}

impl Subject {
    pub(crate) async fn simulated() -> Self {
        let sim = Sim::start().await;
        let text = sim
            .cluster
            .talosconfig_builder()
            .nodes(sim.cluster.nodes())
            .render()
            .expect("rendered");
        let talosconfig = Talosconfig::parse(text).expect("a talosconfig");
        Self::of(talosconfig, Some(sim)).await
    }

    pub(crate) async fn real() -> Self {
        let path = std::env::var_os(VARIABLE)
            .map(PathBuf::from)
            .unwrap_or_else(|| panic!("{VARIABLE} is not set to the path of a talosconfig"));
        Self::of(Talosconfig::load(path).expect("a talosconfig"), None).await
    }

    async fn of(talosconfig: Talosconfig, sim: Option<Sim>) -> Self {
        let client = Client::builder()
            .talosconfig(talosconfig.clone())
            .build()
            .expect("a client");
        let nodes = client.context_nodes();
        assert!(!nodes.is_empty(), "the context lists no nodes");
        let mut workers = Vec::new();
        for node in &nodes {
            let services = node.services().await.expect("services are listed");
            // Only control plane nodes have a trustd.
            if !services.iter().any(|service| service.id == "trustd") {
                workers.push(node.clone());
            }
        }
        assert!(
            workers.len() < nodes.len(),
            "the context lists no control plane node"
        );
        Self {
            client,
            talosconfig,
            nodes,
            workers,
            _sim: sim,
        }
    }

    /// A control plane node.
    pub(crate) fn control_plane(&self) -> Node {
        self.nodes[0].clone()
    }

    /// A client with other credentials for the same cluster.
    pub(crate) fn client_of(&self, talosconfig: Talosconfig) -> Client {
        Client::builder()
            .talosconfig(talosconfig)
            .timeout(Duration::from_secs(60))
            .build()
            .expect("a client")
    }
}
