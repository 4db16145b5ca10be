//! Small proxies on loopback that remember what they are asked for.
//!
//! They are the name service of their side: whatever host they are asked for, they connect to the one server they know.

use std::{
    ffi::OsString,
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use talos_client::proxy::ProxyEnvironment;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A running proxy; it ends when dropped.
pub(crate) struct TestProxy {
    scheme: &'static str,
    address: SocketAddr,
    seen: Seen,
    _accepting: JoinSet<()>,
}

type Seen = Arc<Mutex<Vec<String>>>;

impl TestProxy {
    /// An HTTP proxy. It refuses everything if it knows no server.
    pub(crate) async fn http(server: Option<SocketAddr>) -> Self {
        Self::start("http", move |stream, seen| http(stream, server, seen)).await
    }

    /// A SOCKS5 proxy that wants user and password.
    pub(crate) async fn socks5(server: SocketAddr) -> Self {
        Self::start("socks5", move |stream, seen| socks5(stream, server, seen)).await
    }

    async fn start<F>(scheme: &'static str, serve: impl Fn(TcpStream, Seen) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Option<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("bound");
        let seen = Seen::default();
        let log = Arc::clone(&seen);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, Arc::clone(&log)));
            }
        });
        Self {
            scheme,
            address,
            seen,
            _accepting: accepting,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// With the user `me` and the password `SECRET`.
    pub(crate) fn url(&self) -> String {
        format!("{}://me:SECRET@{}", self.scheme, self.address)
    }

    /// The heads of the requests, or for SOCKS5 where each connection was to go.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").clone()
    }
}

/// An environment with this `HTTPS_PROXY`.
pub(crate) fn environment(url: &str) -> ProxyEnvironment {
    ProxyEnvironment::with_variables(|name| (name == "HTTPS_PROXY").then(|| OsString::from(url)))
}

/// Ends with `None` where the client goes away.
async fn http(mut stream: TcpStream, server: Option<SocketAddr>, seen: Seen) -> Option<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.ok()?));
    }
    seen.lock().expect("no panic").push(head);
    let Some(server) = server else {
        return stream.write_all(b"HTTP/1.1 403 Forbidden\r\n\r\n").await.ok();
    };
    let established = b"HTTP/1.1 200 Connection established\r\n\r\n";
    stream.write_all(established).await.ok()?;
    forward(stream, server).await
}

/// Ends with `None` where the client goes away, or has the wrong password.
async fn socks5(mut stream: TcpStream, server: SocketAddr, seen: Seen) -> Option<()> {
    let [version, methods] = read(&mut stream).await?;
    assert_eq!(version, 5);
    let mut offered = vec![0; usize::from(methods)];
    stream.read_exact(&mut offered).await.ok()?;
    if !offered.contains(&2) {
        return stream.write_all(&[5, 0xff]).await.ok();
    }
    stream.write_all(&[5, 2]).await.ok()?;
    let [1] = read(&mut stream).await? else {
        return None;
    };
    let login = (text(&mut stream).await?, text(&mut stream).await?);
    let accepted = login == ("me".to_owned(), "SECRET".to_owned());
    stream.write_all(&[1, u8::from(!accepted)]).await.ok()?;
    accepted.then_some(())?;
    let [5, 1, 0, kind] = read(&mut stream).await? else {
        return None;
    };
    let host = match kind {
        1 => format!(
            "address {}",
            std::net::Ipv4Addr::from(stream.read_u32().await.ok()?)
        ),
        3 => format!("name {}", text(&mut stream).await?),
        other => panic!("address type {other}"),
    };
    let port = stream.read_u16().await.ok()?;
    seen.lock().expect("no panic").push(format!("{host} port {port}"));
    let connected = [5, 0, 0, 1, 127, 0, 0, 1, 0, 1];
    stream.write_all(&connected).await.ok()?;
    forward(stream, server).await
}

async fn read<const N: usize>(stream: &mut TcpStream) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.ok()?;
    Some(bytes)
}

async fn text(stream: &mut TcpStream) -> Option<String> {
    let mut text = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut text).await.ok()?;
    String::from_utf8(text).ok()
}

async fn forward(mut stream: TcpStream, server: SocketAddr) -> Option<()> {
    let mut server = TcpStream::connect(server).await.ok()?;
    copy_bidirectional(&mut stream, &mut server).await.ok().map(drop)
}
