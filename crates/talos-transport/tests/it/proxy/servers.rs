//! Small proxies on loopback that remember what they are asked.
//!
//! They are the name service of their side: whatever host they are asked for, they connect to the one server they know.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use talos_transport::proxy::Proxy;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::server::ServerTls;

/// A running proxy; it stops when dropped.
pub(crate) struct TestProxy {
    scheme: &'static str,
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

/// What an HTTP proxy does after it has read a request.
#[derive(Clone)]
pub(crate) enum Answer {
    /// Connects to this server, if the request has this in its head.
    Tunnel(SocketAddr, &'static str),
    /// Says this and closes.
    Say(Vec<u8>),
    /// Says this, and connects to the server then.
    SayAndTunnel(Vec<u8>, SocketAddr),
}

/// What a SOCKS proxy does.
#[derive(Clone)]
pub(crate) struct Socks {
    pub(crate) target: SocketAddr,
    /// User and password it asks for; `None` lets everybody in.
    pub(crate) login: Option<(&'static str, &'static str)>,
    /// Its reply, 0 for a connection.
    pub(crate) reply: u8,
}

impl TestProxy {
    pub(crate) async fn http(answer: Answer) -> Self {
        Self::start("http", None, answer).await
    }

    pub(crate) async fn https(tls: &ServerTls, answer: Answer) -> Self {
        Self::start("https", Some(TlsAcceptor::from(tls.config())), answer).await
    }

    async fn start(scheme: &'static str, tls: Option<TlsAcceptor>, answer: Answer) -> Self {
        Self::serve(scheme, move |stream, seen| {
            let (tls, answer) = (tls.clone(), answer.clone());
            async move {
                match tls {
                    None => http(stream, answer, &seen).await,
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => http(stream, answer, &seen).await,
                        Err(_) => Some(()),
                    },
                }
            }
        })
        .await
    }

    pub(crate) async fn socks(settings: Socks) -> Self {
        Self::serve("socks5", move |stream, seen| {
            let settings = settings.clone();
            async move { socks(stream, &settings, &seen).await }
        })
        .await
    }

    async fn serve<F>(
        scheme: &'static str,
        answer: impl Fn(TcpStream, Arc<Mutex<Vec<String>>>) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Option<()>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(answer(stream, Arc::clone(&log)));
            }
        });
        Self {
            scheme,
            address,
            seen,
            accepting,
        }
    }

    /// The proxy under this name or address, for a client.
    pub(crate) fn under(&self, user_info: &str, host: &str) -> Proxy {
        let url = format!("{}://{user_info}{host}:{}", self.scheme, self.address.port());
        url.parse().unwrap()
    }

    pub(crate) fn proxy(&self) -> Proxy {
        self.under("", "127.0.0.1")
    }

    /// The heads of the requests, or for SOCKS what was told of each connection.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for TestProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Ends with `None` where the client goes away.
async fn http(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Answer,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        head.push(char::from(stream.read_u8().await.ok()?));
    }
    seen.lock().unwrap().push(head.clone());
    let target = match answer {
        Answer::Tunnel(target, needed) if head.contains(needed) => {
            let connected = b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n";
            stream.write_all(connected).await.ok()?;
            target
        }
        Answer::Tunnel(..) => {
            let denied = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\n\r\n";
            stream.write_all(denied).await.ok()?;
            return stream.shutdown().await.ok();
        }
        Answer::Say(text) => {
            stream.write_all(&text).await.ok()?;
            return stream.shutdown().await.ok();
        }
        Answer::SayAndTunnel(text, target) => {
            stream.write_all(&text).await.ok()?;
            target
        }
    };
    stream.flush().await.ok()?;
    forward(stream, target).await
}

async fn socks(mut stream: TcpStream, settings: &Socks, seen: &Mutex<Vec<String>>) -> Option<()> {
    let mut methods = vec![0; usize::from(greeting(&mut stream).await?)];
    stream.read_exact(&mut methods).await.ok()?;
    match settings.login {
        None => stream.write_all(&[5, 0]).await.ok()?,
        Some(_) if !methods.contains(&2) => return stream.write_all(&[5, 0xff]).await.ok(),
        Some((user, password)) => {
            stream.write_all(&[5, 2]).await.ok()?;
            assert_eq!(stream.read_u8().await.ok()?, 1);
            let given = (text(&mut stream).await?, text(&mut stream).await?);
            let accepted = given == (user.to_owned(), password.to_owned());
            stream.write_all(&[1, u8::from(!accepted)]).await.ok()?;
            if !accepted {
                return Some(());
            }
        }
    }
    let mut request = [0; 4];
    stream.read_exact(&mut request).await.ok()?;
    assert_eq!(request[..3], [5, 1, 0]);
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(stream.read_u32().await.ok()?).to_string(),
        4 => std::net::Ipv6Addr::from(stream.read_u128().await.ok()?).to_string(),
        3 => format!("name {}", text(&mut stream).await?),
        other => panic!("address type {other}"),
    };
    let port = stream.read_u16().await.ok()?;
    seen.lock().unwrap().push(format!("{host} port {port}"));
    if settings.reply != 0 {
        return stream.write_all(&[5, settings.reply, 0]).await.ok();
    }
    let bound = b"\x05\x00\x00\x03\x05bound\x12\x34";
    stream.write_all(bound).await.ok()?;
    forward(stream, settings.target).await
}

async fn greeting(stream: &mut TcpStream) -> Option<u8> {
    assert_eq!(stream.read_u8().await.ok()?, 5);
    stream.read_u8().await.ok()
}

async fn text(stream: &mut TcpStream) -> Option<String> {
    let mut text = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut text).await.ok()?;
    Some(String::from_utf8(text).unwrap())
}

async fn forward(mut stream: impl AsyncRead + AsyncWrite + Unpin, target: SocketAddr) -> Option<()> {
    let mut server = TcpStream::connect(target).await.unwrap();
    copy_bidirectional(&mut stream, &mut server).await.ok().map(drop)
}
