//! Faults of connections.

use std::ops::RangeBounds;
use std::time::Duration;

use super::filter::Filter;

/// A server certificate that clients should not accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Certificate {
    /// It expired an hour ago.
    Expired,
    /// It becomes valid in an hour.
    NotYetValid,
    /// It names another machine, `elsewhere.invalid`.
    WrongName,
    /// Another authority has issued it.
    ForeignAuthority,
}

/// Whose connections are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Origin {
    #[default]
    Anybody,
    Clients,
    Nodes,
}

/// What happens to a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LinkFault {
    Refuse,
    Reset,
    BlackHole,
    Certificate(Certificate),
}

/// A fault of the connections that clients, and other nodes, make to a node.
#[derive(Debug, Clone)]
#[must_use = "a fault does nothing until it is injected"]
pub struct ConnectionFault {
    pub(crate) node: Option<String>,
    pub(crate) origin: Origin,
    pub(crate) from: Option<String>,
    pub(crate) filter: Filter,
    pub(crate) delay: Duration,
    pub(crate) cut_after: Option<u64>,
    pub(crate) fault: Option<LinkFault>,
}

impl ConnectionFault {
    fn new(node: Option<String>) -> Self {
        Self {
            node,
            origin: Origin::default(),
            from: None,
            filter: Filter::default(),
            delay: Duration::ZERO,
            cut_after: None,
            fault: None,
        }
    }

    /// Connections to the node called `name`: name, hostname or address.
    pub fn to(name: impl Into<String>) -> Self {
        Self::new(Some(name.into()))
    }

    /// Connections to any node.
    pub fn to_all() -> Self {
        Self::new(None)
    }

    /// Only connections of clients, to the node as an endpoint. Default: those of other nodes as well.
    pub fn from_clients(mut self) -> Self {
        self.origin = Origin::Clients;
        self
    }

    /// Only connections of nodes that forward calls. A control plane node also forwards to itself.
    pub fn from_nodes(mut self) -> Self {
        self.origin = Origin::Nodes;
        self
    }

    /// Only connections of the node called `name`: a cut between two nodes.
    pub fn from_node(mut self, name: impl Into<String>) -> Self {
        self.origin = Origin::Nodes;
        self.from = Some(name.into());
        self
    }

    /// Only those of the matching connections whose number is in `range`; the first has number 1. For nodes
    /// each forwarded call counts. Default: all.
    pub fn attempts(mut self, range: impl RangeBounds<u64>) -> Self {
        self.filter.set_calls(range);
        self
    }

    /// The chance that a matching connection is hit, from 0 to 1. Default: 1.
    pub fn probability(mut self, probability: f64) -> Self {
        self.filter.set_probability(probability);
        self
    }

    /// Seed of that chance. Default: derived from the cluster's seed and the number of faults injected before.
    pub fn seed(mut self, seed: u64) -> Self {
        self.filter.set_seed(seed);
        self
    }

    /// Lets the node wait before it answers the TLS handshake.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Breaks a client's connection when the node has written `count` bytes to it, TLS not counted.
    pub fn cut_after_bytes(mut self, count: u64) -> Self {
        self.cut_after = Some(count);
        self
    }

    /// Refuses connections (`ECONNREFUSED`). Connections that there are stay.
    ///
    /// A listening socket cannot refuse some and accept others: with [`attempts`](Self::attempts) or
    /// [`probability`](Self::probability) this is the same as [`reset`](Self::reset).
    pub fn refuse(self) -> Self {
        self.with(LinkFault::Refuse)
    }

    /// Accepts connections and resets them at once (`ECONNRESET`).
    pub fn reset(self) -> Self {
        self.with(LinkFault::Reset)
    }

    /// Accepts connections and says nothing, ever. Without [`attempts`](Self::attempts) and
    /// [`probability`](Self::probability), clients' connections that there are fall silent as well, until
    /// the fault is removed.
    ///
    /// A node that forwards a call gives up after 20 seconds: `i/o timeout`.
    pub fn black_hole(self) -> Self {
        self.with(LinkFault::BlackHole)
    }

    /// Presents `certificate` in place of the node's own.
    pub fn certificate(self, certificate: Certificate) -> Self {
        self.with(LinkFault::Certificate(certificate))
    }

    fn with(mut self, fault: LinkFault) -> Self {
        self.fault = Some(fault);
        self
    }
}
