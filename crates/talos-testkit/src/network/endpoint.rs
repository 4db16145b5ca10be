//! The socket of one node: opened when somebody wants to know its address, closed at any moment.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::addressing;
use crate::error::SimError;
use crate::sync::Guarded;

/// Address and socket of one node.
pub(crate) struct Endpoint {
    /// Address as asked for; a port of 0 is chosen by the system.
    wanted: SocketAddr,
    state: Guarded<State>,
}

struct State {
    /// The address once it is known.
    address: Option<SocketAddr>,
    socket: Socket,
    down: bool,
    refusing: bool,
    /// The task that accepts.
    acceptor: Option<Waker>,
}

enum Socket {
    /// Not opened yet.
    Dormant,
    Listening(TcpListener),
    /// Nobody may connect. The address stays ours, where the system allows that.
    Reserved {
        _socket: Option<TcpSocket>,
    },
    /// The cluster is gone, and with it the claim to the address.
    Closed,
}

/// What became of asking for the address of an endpoint.
pub(crate) struct Opened {
    pub(crate) address: SocketAddr,
    /// Whether this call opened the socket, so that somebody has to accept from it.
    pub(crate) first: bool,
}

impl Endpoint {
    pub(crate) const fn new(wanted: SocketAddr) -> Self {
        Self {
            wanted,
            state: Guarded::new(State {
                address: None,
                socket: Socket::Dormant,
                down: false,
                refusing: false,
                acceptor: None,
            }),
        }
    }

    /// The address, whose socket is opened if nobody asked before. Must run within a Tokio runtime.
    pub(crate) fn open(&self) -> Result<Opened, SimError> {
        let mut state = self.state.lock();
        if let Some(address) = state.address {
            return Ok(Opened {
                address,
                first: false,
            });
        }
        if matches!(state.socket, Socket::Closed) {
            return Err(SimError::Stopped);
        }
        if self.wanted.port() != 0 {
            addressing::must_be_free(self.wanted)?;
        }
        let listener = addressing::listen(self.wanted)?;
        let address = listener.local_addr().map_err(|source| SimError::Listen {
            address: self.wanted,
            source,
        })?;
        state.address = Some(address);
        state.socket = Socket::Listening(listener);
        state.settle()?;
        Ok(Opened { address, first: true })
    }

    /// Whether the address has been asked for.
    pub(crate) fn is_open(&self) -> bool {
        let state = self.state.lock();
        state.address.is_some() && !matches!(state.socket, Socket::Closed)
    }

    /// Stops listening: from now on connections are refused.
    pub(crate) fn take_down(&self) {
        self.change(|state| state.down = true).ok();
    }

    /// Undoes [`Self::take_down`]; does nothing while the endpoint is up.
    pub(crate) fn bring_up(&self) -> Result<(), SimError> {
        self.change(|state| state.down = false)
    }

    /// Refuses connections, or stops doing so, without ending those that there are.
    pub(crate) fn refuse(&self, refusing: bool) -> Result<(), SimError> {
        self.change(|state| state.refusing = refusing)
    }

    /// Gives the address up for good.
    pub(crate) fn close(&self) {
        self.state.lock().socket = Socket::Closed;
    }

    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<TcpStream>> {
        let mut state = self.state.lock();
        // A listener that is dropped wakes nobody.
        if !state
            .acceptor
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            state.acceptor = Some(cx.waker().clone());
        }
        match &state.socket {
            Socket::Listening(listener) => listener.poll_accept(cx).map_ok(|(stream, _)| stream),
            _ => Poll::Pending,
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), SimError> {
        let mut state = self.state.lock();
        change(&mut state);
        state.settle()
    }
}

impl State {
    /// Brings the socket in line with what is wanted of it.
    fn settle(&mut self) -> Result<(), SimError> {
        let open = !self.down && !self.refusing;
        match (&self.socket, self.address) {
            (Socket::Closed, _) => return Err(SimError::Stopped),
            (Socket::Listening(_), Some(address)) if !open => {
                self.socket = Socket::Reserved {
                    _socket: addressing::reserve(address).ok(),
                };
            }
            (Socket::Reserved { .. }, Some(address)) if open => {
                // Listening comes before the reservation goes away, so that nobody else can take the port.
                self.socket = Socket::Listening(addressing::listen(address)?);
            }
            _ => return Ok(()),
        }
        if let Some(waker) = self.acceptor.take() {
            waker.wake();
        }
        Ok(())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("wanted", &self.wanted)
            .finish_non_exhaustive()
    }
}
