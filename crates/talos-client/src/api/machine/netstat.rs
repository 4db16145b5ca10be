//! Sockets of a node.

use std::{net::IpAddr, time::Duration};

use talos_proto::{
    machine::{self as proto, netstat_request as parts},
    methods::machine::machine_service as methods,
};

use crate::{
    Node,
    api::wire::{wire_enum, wraps},
    call::request,
};

/// Which sockets [`Node::netstat`] lists, by what is at their other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocketFilter {
    /// Every socket.
    #[default]
    All,
    /// Those with an address and a port at the other end.
    Connected,
    /// Those with neither: listeners, and UDP and raw sockets that are not connected.
    Listening,
}

/// A table of sockets in the kernel, for IPv4 and IPv6 both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names say it")]
pub enum Protocol {
    Tcp,
    Udp,
    UdpLite,
    Raw,
}

wire_enum! {
    /// The state of a socket, in the kernel's numbers for TCP.
    pub enum SocketState {
        /// Not used by the kernel.
        Reserved = 0 as "reserved",
        /// Connected.
        Established = 1 as "established",
        /// Connecting, without an answer so far.
        SynSent = 2 as "syn_sent",
        /// Asked to connect, with the handshake unfinished.
        SynReceived = 3 as "syn_recv",
        /// Closed here; the other end has not said that it knows.
        FinWait1 = 4 as "fin_wait1",
        /// Closed here; the other end knows and has not closed.
        FinWait2 = 5 as "fin_wait2",
        /// Closed on both sides, kept for packets that come late.
        TimeWait = 6 as "time_wait",
        /// Closed; for UDP, not connected.
        Close = 7 as "close",
        /// Closed by the other end only.
        CloseWait = 8 as "closewait",
        /// Closed on both sides; the other end has not said that it knows.
        LastAck = 9 as "lastack",
        /// Listening.
        Listen = 10 as "listen",
        /// Closed on both sides at the same time.
        Closing = 11 as "closing",
    }
}

wire_enum! {
    /// The timer of the kernel that is pending for a socket.
    pub enum SocketTimer {
        /// None.
        Off = 0 as "off",
        /// Until something is sent again.
        Retransmission = 1 as "on",
        /// Until the other end is probed, or another general timer.
        Keepalive = 2 as "keepalive",
        /// Until a closed socket is forgotten.
        TimeWait = 3 as "timewait",
        /// Until a closed window is probed.
        Probe = 4 as "probe",
    }
}

wraps! {
    /// A socket of a node.
    pub struct Socket(proto::ConnectRecord);
}

impl Socket {
    /// The table it is from: `tcp`, `tcp6`, `udp`, `udp6`, `udplite`, `udplite6`, `raw` or `raw6`.
    pub fn table(&self) -> &str {
        &self.raw.l4proto
    }

    /// The address on this side; unspecified where it is bound to any. `None` where the node sent none.
    pub fn local_address(&self) -> Option<IpAddr> {
        self.raw.localip.parse().ok()
    }

    /// The port on this side; of raw sockets, the number of the protocol.
    pub fn local_port(&self) -> u32 {
        self.raw.localport
    }

    /// The address of the other end; `None` where it is not connected.
    pub fn remote_address(&self) -> Option<IpAddr> {
        let address: IpAddr = self.raw.remoteip.parse().ok()?;
        (!address.is_unspecified()).then_some(address)
    }

    /// The port of the other end; `None` where it is not connected.
    pub fn remote_port(&self) -> Option<u32> {
        Some(self.raw.remoteport).filter(|port| *port != 0)
    }

    /// Its state.
    pub fn state(&self) -> SocketState {
        SocketState::from_wire(self.raw.state)
    }

    /// The timer that is pending, and when it goes off.
    pub fn timer(&self) -> (SocketTimer, Duration) {
        // Hundredths of a second on the wire.
        let after = Duration::from_millis(self.raw.timerwhen.saturating_mul(10));
        (SocketTimer::from_wire(self.raw.tr), after)
    }

    /// Bytes that are to be sent or acknowledged.
    pub fn send_queue(&self) -> u64 {
        self.raw.txqueue
    }

    /// Bytes that its program has not read; of listeners, connections that are to be accepted.
    pub fn receive_queue(&self) -> u64 {
        self.raw.rxqueue
    }

    /// The user that owns it.
    pub fn uid(&self) -> u32 {
        self.raw.uid
    }

    /// Its inode; `None` where no process holds it any more.
    pub fn inode(&self) -> Option<u64> {
        Some(self.raw.inode).filter(|inode| *inode != 0)
    }

    /// Id and name of the process that holds it, if [`NetstatRequest::processes`] asked for it and there is one.
    pub fn process(&self) -> Option<(u32, &str)> {
        let process = self.raw.process.as_ref()?;
        (process.pid != 0).then_some((process.pid, process.name.as_str()))
    }

    /// The network namespace that it is in; `None` for the host's own.
    pub fn network_namespace(&self) -> Option<&str> {
        Some(self.raw.netns.as_str()).filter(|name| !name.is_empty())
    }
}

/// Where nothing was chosen, what talosctl asks for; the wire's own default lists nothing at all.
#[derive(Clone, Debug)]
pub(crate) struct Sockets {
    filter: SocketFilter,
    protocols: Vec<Protocol>,
    processes: bool,
    host: bool,
    namespaces: Vec<String>,
    pods: bool,
}

request! {
    /// Which sockets to list; made by [`Node::netstat`].
    pub struct NetstatRequest(Sockets) {
        /// Only sockets of this kind. Default: [`SocketFilter::All`].
        fn filter(message, filter: SocketFilter) {
            message.filter = filter;
        }

        /// Sockets of these protocols, IPv4 and IPv6. Default, also for an empty list: TCP and UDP.
        fn protocols(message, protocols: impl IntoIterator<Item = Protocol>) {
            message.protocols = protocols.into_iter().collect();
        }

        /// Finds the process of each socket, for which the node looks at the open files of every process.
        /// Default: false.
        fn processes(message, processes: bool) {
            message.processes = processes;
        }

        /// Sockets of the host's own network. Default: true.
        fn host(message, host: bool) {
            message.host = host;
        }

        /// Sockets in all pods, too. Default: false.
        fn all_pods(message, all_pods: bool) {
            message.pods = all_pods;
        }

        /// Sockets in these network namespaces, too: the names that the sandboxes of pods have in the list of
        /// containers. Default: none.
        fn network_namespaces(message, names: impl IntoIterator<Item = impl Into<String>>) {
            message.namespaces = names.into_iter().map(Into::into).collect();
        }
    }

    /// Lists the sockets.
    ///
    /// # Errors
    ///
    /// `InvalidInput` where neither the host nor any pod is asked for, and every [`ErrorKind`](crate::ErrorKind) of
    /// a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    send(target, message) -> Vec<Socket> {
        let method = &methods::NETSTAT;
        if !message.host && !message.pods && message.namespaces.is_empty() {
            return Err(target.invalid_input(method, "neither the host nor a pod is asked for"));
        }
        let reply = target
            .single(method, message.into_message(), |request| async {
                target.machine().netstat(request).await
            })
            .await?;
        Ok(reply.connectrecord.into_iter().map(Socket::from).collect())
    }
}

impl Sockets {
    fn into_message(self) -> proto::NetstatRequest {
        let chosen = |protocol| match self.protocols.as_slice() {
            [] => matches!(protocol, Protocol::Tcp | Protocol::Udp),
            chosen => chosen.contains(&protocol),
        };
        let (tcp, udp) = (chosen(Protocol::Tcp), chosen(Protocol::Udp));
        let (udplite, raw) = (chosen(Protocol::UdpLite), chosen(Protocol::Raw));
        proto::NetstatRequest {
            filter: match self.filter {
                SocketFilter::All => parts::Filter::All,
                SocketFilter::Connected => parts::Filter::Connected,
                SocketFilter::Listening => parts::Filter::Listening,
            }
            .into(),
            feature: Some(parts::Feature { pid: self.processes }),
            l4proto: Some(parts::L4proto {
                tcp,
                tcp6: tcp,
                udp,
                udp6: udp,
                udplite,
                udplite6: udplite,
                raw,
                raw6: raw,
            }),
            netns: Some(parts::NetNs {
                hostnetwork: self.host,
                netns: self.namespaces,
                allnetns: self.pods,
            }),
        }
    }
}

impl Node {
    /// The sockets of the node: by default TCP and UDP of the host's own network.
    ///
    /// ```
    /// use talos_client::api::machine::SocketFilter;
    ///
    /// # use talos_client::{Client, config::Talosconfig};
    /// #
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let cluster = talos_testkit::SimCluster::builder().start().await?;
    /// # let client = Client::builder().talosconfig(Talosconfig::parse(cluster.talosconfig())?).build()?;
    /// # let node = client.node(cluster.node(0).name())?;
    /// let listeners = node.netstat().filter(SocketFilter::Listening).processes(true).send().await?;
    /// for socket in listeners {
    ///     println!("{} {} {:?}", socket.table(), socket.local_port(), socket.process());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `machine.MachineService/Netstat` · talosctl netstat · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub fn netstat(&self) -> NetstatRequest {
        let message = Sockets {
            filter: SocketFilter::All,
            protocols: Vec::new(),
            processes: false,
            host: true,
            namespaces: Vec::new(),
            pods: false,
        };
        NetstatRequest::new(self.target(), message)
    }
}
