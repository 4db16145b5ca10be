//! One machine of the network. What it knows comes into being with the first look at it, so that a cluster
//! of a thousand costs what its busy ones cost.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};

use tokio_util::sync::CancellationToken;

use super::Network;
use super::endpoint::Endpoint;
use crate::clock::Moment;
use crate::cluster::mains::Mains;
use crate::machined::Machined;
use crate::node::{ClusterFacts, Identity, Making, Node};
use crate::rng::SimRng;
use crate::sync::Guarded;
use crate::tls::ServerTls;

/// What a machine is built from.
#[derive(Debug)]
pub(crate) struct Blueprint {
    pub(crate) facts: Arc<ClusterFacts>,
    pub(crate) making: Making,
    pub(crate) rng: SimRng,
    /// When the machine booted.
    pub(crate) boot: Moment,
    /// Whether it has no configuration.
    pub(crate) maintenance: bool,
}

/// A machine that is to be.
pub(crate) type Plan = (Identity, Endpoint, Blueprint);

/// A machine with its API.
#[derive(Debug)]
pub(crate) struct Machine {
    pub(crate) index: usize,
    pub(crate) identity: Arc<Identity>,
    pub(crate) endpoint: Endpoint,
    /// The endpoint of `trustd`.
    pub(crate) trustd: Endpoint,
    pub(crate) tls: ServerTls,
    blueprint: Blueprint,
    network: Weak<Network>,
    running: OnceLock<Running>,
    /// Set when the cluster is gone.
    ended: Guarded<bool>,
}

#[derive(Debug)]
struct Running {
    node: Arc<Node>,
    machined: Machined,
}

impl Machine {
    pub(super) fn new(index: usize, plan: Plan, network: Weak<Network>) -> Self {
        let (identity, endpoint, blueprint) = plan;
        Self {
            index,
            trustd: Endpoint::new(SocketAddr::new(identity.listen, 0)),
            identity: Arc::new(identity),
            endpoint,
            tls: ServerTls::default(),
            blueprint,
            network,
            running: OnceLock::new(),
            ended: Guarded::default(),
        }
    }

    /// The state of the machine.
    pub(crate) fn node(&self) -> &Arc<Node> {
        &self.running().node
    }

    /// The machine's `machined`.
    pub(crate) fn machined(&self) -> &Machined {
        &self.running().machined
    }

    /// Whether the machine has come into being.
    pub(crate) fn is_looked_at(&self) -> bool {
        self.running.get().is_some()
    }

    /// Whether the machine's configuration calls it `name`.
    pub(super) fn has_name(&self, name: &str) -> bool {
        let running = self.running.get();
        running.is_some_and(|running| running.node.current_identity().is_called(name))
    }

    /// The token of the current life; `None` while the machine is down.
    pub(crate) fn life(&self) -> Option<CancellationToken> {
        self.node().life()
    }

    /// Ends the machine for good.
    pub(crate) fn end(&self) {
        *self.ended.lock() = true;
        self.endpoint.close();
        self.trustd.close();
        if let Some(running) = self.running.get() {
            running.node.cut_power();
            running.node.power_off();
        }
    }

    fn running(&self) -> &Running {
        self.running.get_or_init(|| {
            let node = Arc::new(Node::booted(Arc::clone(&self.identity), &self.blueprint));
            node.plug_in(Box::new(Mains::new(Weak::clone(&self.network), self.index)));
            if node.in_maintenance() {
                self.trustd.take_down();
            }
            let ended = self.ended.lock();
            if !*ended {
                node.power_on();
            }
            drop(ended);
            Running {
                machined: Machined::new(Arc::clone(&node)),
                node,
            }
        })
    }
}
