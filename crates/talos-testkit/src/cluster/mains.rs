//! Plugs machines into the network and the runtime.

use std::fmt;
use std::pin::Pin;
use std::sync::Weak;
use std::time::Duration;

use super::SimNode;
use crate::network::Network;
use crate::node::power::{ApiMode, Host};

/// The socket, in every sense, of one machine.
pub(crate) struct Mains {
    /// Weak, because the machine that holds this is part of the network.
    network: Weak<Network>,
    index: usize,
}

impl Mains {
    pub(crate) const fn new(network: Weak<Network>, index: usize) -> Self {
        Self { network, index }
    }

    /// `None` when the cluster is gone.
    fn node(&self) -> Option<SimNode> {
        Some(SimNode {
            network: self.network.upgrade()?,
            index: self.index,
        })
    }
}

impl Host for Mains {
    fn disconnect(&self) {
        if let Some(node) = self.node() {
            node.close_api();
        }
    }

    fn connect(&self, api: ApiMode) {
        let Some(node) = self.node() else { return };
        if let Err(error) = node.open_api(api) {
            tracing::warn!(node = node.name(), %error, "the API of a machine cannot be opened");
        }
    }

    fn drain(&self, grace: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let node = self.node();
        Box::pin(async move {
            if let Some(node) = node {
                node.drain_api(grace).await;
            }
        })
    }

    fn certify(&self, names: Vec<String>) {
        if let Some(node) = self.node() {
            node.machine().tls.certify(names);
        }
    }

    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>) {
        if let Some(network) = self.network.upgrade() {
            network.tasks.spawn_on(task, &network.runtime);
        }
    }
}

impl fmt::Debug for Mains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mains")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}
