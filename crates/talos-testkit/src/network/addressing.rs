//! Which addresses the machines of a cluster have.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::net::{TcpListener, TcpSocket};

use crate::error::SimError;

/// Where the endpoints of a cluster listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Listen {
    /// [`Listen::DistinctLoopback`] where the system allows it (Linux), else [`Listen::SharedLoopback`].
    #[default]
    Auto,
    /// Every node has a loopback address of its own: 127.0.0.2, 127.0.0.3, … (Linux only). That address is
    /// also one of the node's names.
    DistinctLoopback,
    /// All nodes listen on 127.0.0.1 and differ by port.
    SharedLoopback,
    /// All nodes listen on this address and differ by port; `0.0.0.0` is every address of the machine. Clients
    /// that come by a name of the host need it in the certificates, see
    /// [`SimClusterBuilder::cert_sans`](crate::SimClusterBuilder::cert_sans).
    Ip(IpAddr),
}

impl Listen {
    /// Decides [`Listen::Auto`] by trying.
    pub(crate) fn resolve(self) -> Self {
        match self {
            Self::Auto if std::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).is_ok() => {
                Self::DistinctLoopback
            }
            Self::Auto => Self::SharedLoopback,
            chosen => chosen,
        }
    }

    /// The address that the node at `index` listens on; `self` must not be `Auto`.
    pub(crate) fn address(self, index: usize) -> IpAddr {
        match self {
            Self::Ip(address) => address,
            Self::DistinctLoopback => nth(Ipv4Addr::new(127, 0, 0, 2), index),
            Self::Auto | Self::SharedLoopback => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

/// First address of the simulated network, that of the first node.
const FIRST: Ipv4Addr = Ipv4Addr::new(10, 5, 0, 2);
/// Addresses from [`FIRST`] to the last of 10.5.0.0/16 that is no broadcast address.
pub(crate) const ROOM: usize = 65_533;

/// The address that the node at `index` is named by, inside the cluster and by clients.
pub(crate) fn node_address(index: usize) -> IpAddr {
    nth(FIRST, index)
}

fn nth(first: Ipv4Addr, index: usize) -> IpAddr {
    let offset = u32::try_from(index).unwrap_or(u32::MAX);
    Ipv4Addr::from(u32::from(first).saturating_add(offset)).into()
}

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Fails if anything uses `address`, whose port is a certain one. [`listen`] alone would share the port with
/// another simulator of the same user.
pub(crate) fn must_be_free(address: SocketAddr) -> Result<(), SimError> {
    match std::net::TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(source) => Err(SimError::Listen { address, source }),
    }
}

/// Opens a listening socket at `address`, whose port may be 0.
pub(crate) fn listen(address: SocketAddr) -> Result<TcpListener, SimError> {
    let open = || -> io::Result<TcpListener> { socket(address)?.listen(BACKLOG) };
    open().map_err(|source| SimError::Listen { address, source })
}

/// Keeps `address` for this process without listening: whoever connects is refused, and nobody else gets
/// the port. The socket of a running listener does not stand in the way.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<TcpSocket> {
    socket(address)
}

fn socket(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // The condition is that of `TcpSocket::set_reuseport`.
    #[cfg(all(
        unix,
        not(any(target_os = "solaris", target_os = "illumos", target_os = "cygwin"))
    ))]
    {
        socket.set_reuseaddr(true)?;
        socket.set_reuseport(true)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpStream;

    use super::*;

    #[test]
    fn addresses_count_up_from_the_second() {
        assert_eq!(node_address(0).to_string(), "10.5.0.2");
        assert_eq!(node_address(300).to_string(), "10.5.1.46");
        assert_eq!(node_address(ROOM - 1).to_string(), "10.5.255.254");
        assert_eq!(Listen::DistinctLoopback.address(2).to_string(), "127.0.0.4");
        assert_eq!(Listen::SharedLoopback.address(2).to_string(), "127.0.0.1");
    }

    #[tokio::test]
    async fn a_reserved_address_refuses_connections_and_can_be_listened_on_again() {
        let listener = listen(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        let reserved = reserve(address).unwrap();
        drop(listener);
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        let listener = listen(address).unwrap();
        drop(reserved);
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        assert!(client.is_ok() && server.is_ok());
    }
}
