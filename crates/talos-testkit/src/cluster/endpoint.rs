//! The socket of one node, which its owner can close at any moment.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::addressing;
use crate::apid::listener::Accept;
use crate::error::SimError;
use crate::sync::Guarded;

/// Address, socket and TLS identity of one node.
pub(super) struct Endpoint {
    pub(super) address: SocketAddr,
    pub(super) acceptor: TlsAcceptor,
    socket: Guarded<Socket>,
}

enum Socket {
    Listening(TcpListener),
    /// The node is down. The address stays ours, where the system allows that.
    Down {
        _reserved: Option<TcpSocket>,
    },
    /// The cluster is gone, and with it the claim to the address.
    Closed,
}

impl Endpoint {
    pub(super) fn new(address: SocketAddr, acceptor: TlsAcceptor, listener: TcpListener) -> Self {
        Self {
            address,
            acceptor,
            socket: Guarded::new(Socket::Listening(listener)),
        }
    }

    /// Stops listening: from now on connections are refused.
    pub(super) fn take_down(&self) {
        let mut socket = self.socket.lock();
        if matches!(*socket, Socket::Listening(_)) {
            *socket = Socket::Down {
                _reserved: addressing::reserve(self.address).ok(),
            };
        }
    }

    /// Listens again after [`Self::take_down`]; does nothing while it listens.
    pub(super) fn bring_up(&self) -> Result<(), SimError> {
        let mut socket = self.socket.lock();
        match *socket {
            Socket::Listening(_) => Ok(()),
            Socket::Closed => Err(SimError::Stopped),
            Socket::Down { .. } => {
                // Listening comes before the reservation goes away, so that nobody else can take the port.
                *socket = Socket::Listening(addressing::listen(self.address)?);
                Ok(())
            }
        }
    }

    /// Gives the address up for good.
    pub(super) fn close(&self) {
        *self.socket.lock() = Socket::Closed;
    }
}

impl Accept for Endpoint {
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        match &*self.socket.lock() {
            Socket::Listening(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| stream),
            // The end of the node's life, which comes with this, ends the task that asks.
            Socket::Down { .. } | Socket::Closed => Poll::Pending,
        }
    }
}
