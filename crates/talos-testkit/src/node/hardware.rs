//! Processors, mounts, network interfaces and connections, and what counters say about them.

use crate::sync::Guarded;

/// The processors of a node, all alike. See [`SimNode::set_processors`](crate::SimNode::set_processors).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SimProcessors {
    /// Number of them. Default: 4.
    pub count: u32,
    /// Who made them. Default: `GenuineIntel`.
    pub vendor: String,
    /// Model name.
    pub model: String,
    /// Current frequency in kHz; the limits are half and twice of it. 0 lets the node have no frequency
    /// scaling. Default: 2 000 000.
    pub frequency_khz: u64,
}

impl Default for SimProcessors {
    fn default() -> Self {
        Self {
            count: 4,
            vendor: "GenuineIntel".to_owned(),
            model: "Simulated CPU @ 2.00GHz".to_owned(),
            frequency_khz: 2_000_000,
        }
    }
}

impl SimProcessors {
    /// `count` processors of the default model.
    #[must_use]
    pub fn new(count: u32) -> Self {
        Self {
            count,
            ..Self::default()
        }
    }
}

/// A mounted file system. See [`SimNode::set_mounts`](crate::SimNode::set_mounts).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimMount {
    /// What is mounted: a device, or the name of a pseudo file system.
    pub source: String,
    /// Where.
    pub target: String,
    /// Kind of file system, such as `xfs`.
    pub kind: String,
    /// Size in bytes.
    pub size: u64,
    /// Free bytes.
    pub available: u64,
}

impl SimMount {
    /// A file system with room.
    #[must_use]
    pub fn new(
        source: impl Into<String>,
        target: impl Into<String>,
        kind: impl Into<String>,
        size: u64,
        available: u64,
    ) -> Self {
        Self {
            source: source.into(),
            target: target.into(),
            kind: kind.into(),
            size,
            available,
        }
    }
}

/// A network interface. See [`SimNode::set_interfaces`](crate::SimNode::set_interfaces).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimInterface {
    /// Name, such as `eth0`.
    pub name: String,
    /// What kind of link it is, which decides how packets are captured. Default: [`LinkKind::Ether`].
    pub kind: LinkKind,
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets received.
    pub received_packets: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
}

/// Kind of a network link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LinkKind {
    /// Ethernet.
    Ether,
    /// Loopback.
    Loopback,
    /// Without a link layer, such as WireGuard.
    None,
    /// Anything that packets cannot be captured on: the number the kernel gives the hardware type.
    Other(u16),
}

impl SimInterface {
    /// An interface that nothing went over yet.
    #[must_use]
    pub fn new(name: impl Into<String>, kind: LinkKind) -> Self {
        Self {
            name: name.into(),
            kind,
            received_bytes: 0,
            received_packets: 0,
            sent_bytes: 0,
            sent_packets: 0,
        }
    }

    /// Sets what has been received and sent, in bytes and packets.
    #[must_use]
    pub const fn traffic(mut self, received: (u64, u64), sent: (u64, u64)) -> Self {
        (self.received_bytes, self.received_packets) = received;
        (self.sent_bytes, self.sent_packets) = sent;
        self
    }
}

/// Transport protocol of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are all there is to say")]
#[non_exhaustive]
pub enum SocketProtocol {
    Tcp,
    Tcp6,
    Udp,
    Udp6,
    UdpLite,
    UdpLite6,
    Raw,
    Raw6,
}

impl SocketProtocol {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tcp6 => "tcp6",
            Self::Udp => "udp",
            Self::Udp6 => "udp6",
            Self::UdpLite => "udplite",
            Self::UdpLite6 => "udplite6",
            Self::Raw => "raw",
            Self::Raw6 => "raw6",
        }
    }
}

/// State of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SocketState {
    /// Connected to a peer.
    Established,
    /// Being closed; also what sockets without connection have.
    Close,
    /// Waiting after the end.
    TimeWait,
    /// Waiting for connections.
    Listen,
}

/// A socket. See [`SimNode::set_sockets`](crate::SimNode::set_sockets).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SimSocket {
    /// Protocol.
    pub protocol: SocketProtocol,
    /// Local address.
    pub local: (String, u16),
    /// Address of the peer; `0.0.0.0` or `::` with port 0 if there is none.
    pub remote: (String, u16),
    /// State.
    pub state: SocketState,
    /// Process id and name of who has it.
    pub process: (u32, String),
    /// Network namespace; empty for the node's own.
    pub netns: String,
}

impl SimSocket {
    /// A socket in the node's own network namespace.
    #[must_use]
    pub fn new(
        protocol: SocketProtocol,
        local: (&str, u16),
        remote: (&str, u16),
        state: SocketState,
        process: (u32, &str),
    ) -> Self {
        Self {
            protocol,
            local: (local.0.to_owned(), local.1),
            remote: (remote.0.to_owned(), remote.1),
            state,
            process: (process.0, process.1.to_owned()),
            netns: String::new(),
        }
    }

    /// Puts the socket into a network namespace, as [`SimPod`](crate::SimPod)s have them.
    #[must_use]
    pub fn in_netns(mut self, name: impl Into<String>) -> Self {
        self.netns = name.into();
        self
    }
}

/// What tests have set; `None` stands for what every node has, which takes no room.
#[derive(Debug, Default)]
pub(crate) struct Hardware {
    pub(crate) processors: Guarded<Option<SimProcessors>>,
    pub(crate) mounts: Guarded<Option<Vec<SimMount>>>,
    pub(crate) interfaces: Guarded<Option<Vec<SimInterface>>>,
    pub(crate) sockets: Guarded<Option<Vec<SimSocket>>>,
}
