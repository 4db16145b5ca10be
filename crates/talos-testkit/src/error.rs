//! Why a simulated cluster cannot start.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::pki::PkiError;

/// Why a simulated cluster, or one of its nodes, cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SimError {
    /// The cluster was asked to have no control plane node, so that nothing could be dialled.
    #[error("a cluster needs at least one control plane node")]
    NoControlPlane,
    /// There are more nodes than addresses in the simulated network.
    #[error("{asked} nodes were asked for, the simulated network has room for {room}")]
    TooManyNodes {
        /// Number of nodes asked for.
        asked: usize,
        /// Number of addresses.
        room: usize,
    },
    /// The ports after the first one that was asked for do not suffice.
    #[error("there is no port for node {index} when the first one has port {first}")]
    NoPort {
        /// Port of the first node.
        first: u16,
        /// Index of the node that has none.
        index: usize,
    },
    /// A socket could not be opened for listening.
    #[error("listening on {address} failed")]
    Listen {
        /// The address; its port is 0 if any would have done.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// A unix socket could not be opened for listening.
    #[error("listening on {} failed", path.display())]
    Socket {
        /// Where the socket was to be.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A fault was to be injected into a node that the cluster does not have.
    #[error("the cluster has no node called {name}")]
    UnknownNode {
        /// The name, as it was given.
        name: String,
    },
    /// The cluster of the node has been shut down or dropped.
    #[error("the cluster has been shut down")]
    Stopped,
    /// Keys or certificates could not be made.
    #[error("setting up the cluster's certificates failed")]
    Pki(#[from] PkiError),
    /// The TLS library refused the configuration.
    #[error("setting up TLS failed")]
    Tls(#[from] rustls::Error),
}
