//! Why a simulated cluster cannot start.

use std::io;
use std::net::IpAddr;
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
    /// A socket could not be opened for listening.
    #[error("listening on {address} failed")]
    Listen {
        /// The loopback address.
        address: IpAddr,
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
