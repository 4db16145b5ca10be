//! The machine's own sockets: TCP and unix.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::resolve::{AnyResolver, Resolve};
use super::{Connect, ConnectReason};
use crate::Endpoint;
use crate::race;

/// Connects by TCP, or to a unix socket where there are any.
///
/// Names are resolved at each attempt, by the system unless there is a [`resolver`](Self::resolver); all addresses of a name are tried, a new one every 250 ms or as soon as the
/// previous one failed, and the first to answer is used.
///
/// Instead of HTTP/2 pings, to which Talos answers by hanging up, dead peers are noticed by TCP: keepalive probes
/// after 30 s of silence, then every 10 s, 3 of them; and on Linux data that stays unacknowledged for 30 s
/// (`TCP_USER_TIMEOUT`) ends the connection. Nagle's algorithm is off.
#[derive(Debug, Clone, Default)]
pub struct SocketConnector {
    resolver: AnyResolver,
}

impl SocketConnector {
    /// The connector with its defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Finds the addresses of names in this way. Default: [`SystemResolver`](super::SystemResolver).
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = AnyResolver::new(resolver);
        self
    }
}

impl Connect for SocketConnector {
    type Io = Socket;

    async fn connect(&self, endpoint: &Endpoint) -> Result<Self::Io, ConnectReason> {
        if let Some(path) = endpoint.socket_path() {
            return connect_unix(path).await;
        }
        let (Some(host), Some(port)) = (endpoint.host(), endpoint.port()) else {
            return Err(ConnectReason::Io(io::ErrorKind::Unsupported.into()));
        };
        let addresses = self.resolver.resolve(host, port).await;
        let addresses = alternate_families(addresses.map_err(ConnectReason::Resolve)?);
        if addresses.is_empty() {
            return Err(ConnectReason::Resolve(io::Error::new(
                io::ErrorKind::NotFound,
                "the name has no address",
            )));
        }
        race::staggered(addresses, race::DELAY, connect_tcp)
            .await
            .map(Socket::Tcp)
            .map_err(summary)
    }
}

/// A connected TCP or unix socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum Socket {
    /// A TCP connection.
    Tcp(TcpStream),
    /// A connection to a unix socket.
    #[cfg(unix)]
    Unix(tokio::net::UnixStream),
}

async fn connect_tcp(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    // A socket that refuses an option still carries data.
    if let Err(error) = tune(&stream) {
        tracing::debug!(%address, %error, "cannot set socket options");
    }
    Ok(stream)
}

fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_TIME);
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows))]
    let keepalive = keepalive.with_interval(KEEPALIVE_INTERVAL);
    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    let keepalive = keepalive.with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

#[cfg(unix)]
async fn connect_unix(path: &std::path::Path) -> Result<Socket, ConnectReason> {
    Ok(Socket::Unix(tokio::net::UnixStream::connect(path).await?))
}

#[cfg(not(unix))]
async fn connect_unix(_path: &std::path::Path) -> Result<Socket, ConnectReason> {
    Err(ConnectReason::Io(io::Error::new(
        io::ErrorKind::Unsupported,
        "there are no unix sockets on this system",
    )))
}

/// IPv6 and IPv4 in turn, each in the resolver's order, so that one broken family costs one delay and not many.
fn alternate_families(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let (one, other) = (first.next(), second.next());
        if one.is_none() && other.is_none() {
            return mixed;
        }
        mixed.extend(one);
        mixed.extend(other);
    }
}

/// One reason for several addresses: "refused" if all of them refused, else the last failure of another kind.
fn summary(failures: Vec<(SocketAddr, io::Error)>) -> ConnectReason {
    let mut reason = ConnectReason::Refused;
    for (address, error) in failures {
        tracing::debug!(%address, %error, "cannot connect");
        if error.kind() != io::ErrorKind::ConnectionRefused {
            reason = ConnectReason::from_io(error);
        }
    }
    reason
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(unix)]
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// Silence before the first keepalive probe.
const KEEPALIVE_TIME: Duration = Duration::from_secs(30);
/// Time between keepalive probes.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple", windows))]
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Unanswered probes before the connection counts as dead.
#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
const KEEPALIVE_RETRIES: u32 = 3;
/// How long sent data may stay unacknowledged.
#[cfg(any(target_os = "linux", target_os = "android"))]
const USER_TIMEOUT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternates_between_address_families_from_the_preferred_one() {
        let parse = |list: &[&str]| -> Vec<SocketAddr> { list.iter().map(|a| a.parse().unwrap()).collect() };
        let mixed = alternate_families(parse(&[
            "[::1]:1",
            "[::2]:1",
            "[::3]:1",
            "10.0.0.1:1",
            "10.0.0.2:1",
        ]));
        assert_eq!(
            mixed,
            parse(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"])
        );
        let v4_first = alternate_families(parse(&["10.0.0.1:1", "[::1]:1"]));
        assert_eq!(v4_first, parse(&["10.0.0.1:1", "[::1]:1"]));
    }

    #[test]
    fn says_refused_only_if_every_address_refused() {
        let address: SocketAddr = "10.0.0.1:1".parse().unwrap();
        let refused = || (address, io::Error::from(io::ErrorKind::ConnectionRefused));
        let unreachable = || (address, io::Error::from(io::ErrorKind::HostUnreachable));
        assert!(matches!(
            summary(vec![refused(), refused()]),
            ConnectReason::Refused
        ));
        assert!(matches!(
            summary(vec![refused(), unreachable(), refused()]),
            ConnectReason::Io(error) if error.kind() == io::ErrorKind::HostUnreachable
        ));
    }

    #[tokio::test]
    async fn sets_the_documented_socket_options() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connect_tcp(listener.local_addr().unwrap()).await.unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_TIME);
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        }
    }
}
