//! Ports of loopback that stay ours while nobody listens on them.
//!
//! The port of a server that is killed would be free otherwise, and the system could give it to another test: what is to be
//! refused would be answered, and a server could not come back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use talos_transport::Endpoint;
use tokio::net::{TcpListener, TcpSocket};

/// Bound, but not listening; as long as this process lives.
static RESERVED: Mutex<Vec<TcpSocket>> = Mutex::new(Vec::new());

/// How many connections may wait to be accepted.
const BACKLOG: u32 = 1024;

/// An address of our own where connections are refused, until somebody [listens](listen).
pub(crate) fn reserve() -> SocketAddr {
    reserve_at((Ipv4Addr::LOCALHOST, 0).into())
}

/// The same as an endpoint.
pub(crate) fn refusing() -> Endpoint {
    Endpoint::try_from(reserve()).unwrap()
}

/// Listens at this address. If its port is 0, the address it gets is reserved.
pub(super) fn listen(address: SocketAddr) -> TcpListener {
    let address = match address.port() {
        0 => reserve_at(address),
        _ => address,
    };
    bind(address).listen(BACKLOG).unwrap()
}

fn reserve_at(address: SocketAddr) -> SocketAddr {
    let socket = bind(address);
    let address = socket.local_addr().unwrap();
    // Elsewhere, two sockets cannot have one address.
    if cfg!(unix) {
        let mut reserved = RESERVED.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.push(socket);
    }
    address
}

fn bind(address: SocketAddr) -> TcpSocket {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }
    .unwrap();
    #[cfg(unix)]
    {
        socket.set_reuseaddr(true).unwrap();
        socket.set_reuseport(true).unwrap();
    }
    socket.bind(address).unwrap();
    socket
}
