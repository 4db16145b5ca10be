//! A small gRPC server over HTTP/2, with TLS as apid has it, and with every kind of bad manners on request.

mod answers;
pub(crate) mod ports;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use talos_transport::connect::Connect;
use talos_transport::{ConnectReason, Endpoint};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use self::answers::answer;
use crate::pki::Pair;

pub(crate) static TLS_1_3: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
pub(crate) static TLS_1_2: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS12];

/// TLS settings of a [`Server`].
#[derive(Clone)]
pub(crate) struct ServerTls {
    pub(crate) pair: Pair,
    /// Client certificates must be signed by one of these; `None` asks for none.
    pub(crate) client_ca: Option<String>,
    pub(crate) alpn: Vec<&'static str>,
    pub(crate) versions: &'static [&'static rustls::SupportedProtocolVersion],
}

/// A running server; it stops when dropped.
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
    command: watch::Sender<Command>,
}

#[derive(Default)]
struct State {
    connections: AtomicUsize,
    open: watch::Sender<usize>,
    requests: Mutex<Vec<http::request::Parts>>,
    /// Counts with `requests`, for waiting.
    received: watch::Sender<usize>,
    /// Bodies of `HangAfterHeaders` that are over.
    given_up: watch::Sender<usize>,
    /// What the next requests are answered as, in place of their methods.
    script: Mutex<VecDeque<&'static str>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Command {
    Serve,
    GoAway,
    Die,
}

impl ServerTls {
    /// What apid does: a client certificate of the same CA is required.
    pub(crate) fn new(pair: Pair, client_ca: &str) -> Self {
        Self {
            pair,
            client_ca: Some(client_ca.to_owned()),
            alpn: vec!["h2"],
            versions: rustls::ALL_VERSIONS,
        }
    }

    /// What apid does in maintenance mode.
    pub(crate) fn without_client_certificates(pair: Pair) -> Self {
        Self {
            client_ca: None,
            ..Self::new(pair, "")
        }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(self.versions)
            .unwrap();
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let mut roots = RootCertStore::empty();
                roots
                    .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
                    .unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let chain = vec![CertificateDer::from_pem_slice(self.pair.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::Pkcs8(self.pair.key_der.clone().into());
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl Server {
    pub(crate) async fn start(tls: ServerTls) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), tls).await
    }

    pub(crate) async fn start_at(address: SocketAddr, tls: ServerTls) -> Self {
        let listener = ports::listen(address);
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::from(tls.config());
        let state = Arc::new(State::default());
        let (command, commands) = watch::channel(Command::Serve);
        let serving = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, state, commands) = (acceptor.clone(), Arc::clone(&serving), commands.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        serve(stream, state, commands).await;
                    }
                });
            }
        });
        Self {
            address,
            state,
            accepting,
            command,
        }
    }

    /// Serves without TLS on a unix socket.
    pub(crate) async fn start_unix(path: &std::path::Path) -> Self {
        let listener = tokio::net::UnixListener::bind(path).unwrap();
        let state = Arc::new(State::default());
        let (command, commands) = watch::channel(Command::Serve);
        let serving = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(stream, Arc::clone(&serving), commands.clone()));
            }
        });
        Self {
            address: "127.0.0.1:1".parse().unwrap(),
            state,
            accepting,
            command,
        }
    }

    /// Serves without TLS and without a network, for tests with a clock of their own; use it as a connector.
    pub(crate) fn in_memory() -> (Self, Memory) {
        let state = Arc::new(State::default());
        let (command, commands) = watch::channel(Command::Serve);
        let memory = Memory {
            state: Arc::clone(&state),
            commands,
        };
        let accepting = tokio::spawn(async {});
        (
            Self {
                address: "127.0.0.1:1".parse().unwrap(),
                state,
                accepting,
                command,
            },
            memory,
        )
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::try_from(self.address).unwrap()
    }

    /// How many connections got through the TLS handshake.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }

    /// The heads of all requests so far.
    pub(crate) fn requests(&self) -> Vec<http::request::Parts> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Answers the next requests as if they were for these methods. Replaces what was left of an earlier script.
    pub(crate) fn script(&self, methods: impl IntoIterator<Item = &'static str>) {
        *self.state.script.lock().unwrap() = methods.into_iter().collect();
    }

    /// Waits until so many requests have arrived.
    pub(crate) async fn received(&self, count: usize) {
        let mut received = self.state.received.subscribe();
        received.wait_for(|received| *received >= count).await.unwrap();
    }

    /// Waits until so many calls were given up that hung after the headers.
    pub(crate) async fn given_up(&self, count: usize) {
        let mut given_up = self.state.given_up.subscribe();
        given_up.wait_for(|given_up| *given_up >= count).await.unwrap();
    }

    pub(crate) fn last_request(&self) -> http::request::Parts {
        self.requests().pop().expect("a request arrived")
    }

    /// Ends the open connections gracefully; new ones are still accepted.
    pub(crate) fn go_away(&self) {
        self.command.send_replace(Command::GoAway);
        self.command.send_replace(Command::Serve);
    }

    /// Ends everything at once, as a crash does. From now on its address refuses connections.
    pub(crate) async fn kill(mut self) {
        self.command.send_replace(Command::Die);
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }

    /// Waits until no connection is open.
    pub(crate) async fn connections_ended(&self) {
        let mut open = self.state.open.subscribe();
        open.wait_for(|open| *open == 0).await.unwrap();
    }
}

/// Connects to a [`Server`] in memory.
pub(crate) struct Memory {
    state: Arc<State>,
    commands: watch::Receiver<Command>,
}

impl Connect for Memory {
    type Io = tokio::io::DuplexStream;

    async fn connect(&self, _endpoint: &Endpoint) -> Result<Self::Io, ConnectReason> {
        Ok(self.open())
    }
}

impl Memory {
    /// A connection to the server.
    pub(crate) fn open(&self) -> tokio::io::DuplexStream {
        let (ours, theirs) = tokio::io::duplex(64 << 10);
        tokio::spawn(serve(theirs, Arc::clone(&self.state), self.commands.clone()));
        ours
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    state: Arc<State>,
    mut commands: watch::Receiver<Command>,
) {
    state.connections.fetch_add(1, Ordering::SeqCst);
    let _open = Open::new(&state);
    let service = service_fn(move |request| {
        let state = Arc::clone(&state);
        async move { answer(request, &state).await }
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(1 << 20)
            .serve_connection(TokioIo::new(io), service)
    );
    // Killed while it was being made.
    if *commands.borrow_and_update() == Command::Die {
        return;
    }
    let mut leaving = false;
    loop {
        tokio::select! {
            _ = &mut connection => return,
            changed = commands.changed() => {
                if changed.is_err() || *commands.borrow() == Command::Die {
                    return;
                }
                if !leaving {
                    leaving = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    }
}

/// Counts a connection as open while it lives.
struct Open(Arc<State>);

impl Open {
    fn new(state: &Arc<State>) -> Self {
        state.open.send_modify(|open| *open += 1);
        Self(Arc::clone(state))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.send_modify(|open| *open -= 1);
    }
}

/// How long a test waits for what must happen; it is only ever reached by a failing test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
