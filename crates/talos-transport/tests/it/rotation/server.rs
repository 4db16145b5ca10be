//! A server whose certificate and accepted client CAs can be replaced, as apid's can, and that answers when told to.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use talos_transport::Endpoint;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::pki::{Ca, Pair};
use crate::server::PATIENCE;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;

pub(super) struct Rotating {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    tls: Mutex<Arc<ServerConfig>>,
    counters: watch::Sender<Counters>,
    /// Whether TLS handshakes are answered.
    shaking: watch::Sender<bool>,
    /// Whether calls of `Hold` and `Follow` are answered to the end.
    answering: watch::Sender<bool>,
    /// Grows when open connections are to end gracefully.
    go_away: watch::Sender<u64>,
    /// Client certificate of each call, in the order the calls came.
    callers: Mutex<Vec<Vec<u8>>>,
}

#[derive(Default, Clone, Copy)]
pub(super) struct Counters {
    /// TCP connections that came in.
    pub(super) arrived: usize,
    /// Connections that are open now, TLS done.
    pub(super) open: usize,
    /// Calls that wait for permission to be answered.
    pub(super) held: usize,
}

/// What a Talos node with this certificate has: clients of any of these CAs are let in.
pub(super) fn accepting(pair: &Pair, client_cas: &[&Ca]) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for ca in client_cas {
        roots
            .add(CertificateDer::from_pem_slice(ca.pem.as_bytes()).unwrap())
            .unwrap();
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .unwrap();
    let chain = vec![CertificateDer::from_pem_slice(pair.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::Pkcs8(pair.key_der.clone().into());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

impl Rotating {
    /// Serves with a certificate of this CA and accepts clients of it.
    pub(super) async fn start(ca: &Ca) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            tls: Mutex::new(accepting(&ca.server(&["127.0.0.1"]), &[ca])),
            counters: watch::Sender::default(),
            shaking: watch::Sender::new(true),
            answering: watch::Sender::new(true),
            go_away: watch::Sender::default(),
            callers: Mutex::default(),
        });
        let serving = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                serving.counters.send_modify(|counters| counters.arrived += 1);
                tokio::spawn(serve(stream, Arc::clone(&serving)));
            }
        });
        Self {
            address,
            state,
            accepting,
        }
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        Endpoint::try_from(self.address).unwrap()
    }

    /// Uses these settings for new connections, ends the open ones gracefully, and waits until they are gone.
    pub(super) async fn replace(&self, config: Arc<ServerConfig>) {
        *self.state.tls.lock().unwrap() = config;
        self.state.go_away.send_modify(|times| *times += 1);
        self.wait_until(|now| now.open == 0).await;
    }

    pub(super) fn shake_hands(&self, on: bool) {
        self.state.shaking.send_replace(on);
    }

    pub(super) fn answer(&self, on: bool) {
        self.state.answering.send_replace(on);
    }

    pub(super) async fn wait_until(&self, condition: impl Fn(&Counters) -> bool) {
        let mut counters = self.state.counters.subscribe();
        let waiting = tokio::time::timeout(PATIENCE, counters.wait_for(|counters| condition(counters)));
        waiting.await.expect("it happens in time").unwrap();
    }

    pub(super) fn counters(&self) -> Counters {
        *self.state.counters.borrow()
    }

    /// How many calls came with each of these client certificates.
    pub(super) fn calls_by<const N: usize>(&self, clients: [&Pair; N]) -> [usize; N] {
        let callers = self.state.callers.lock().unwrap();
        clients.map(|client| {
            let certificate = CertificateDer::from_pem_slice(client.certificate.as_bytes()).unwrap();
            callers
                .iter()
                .filter(|caller| **caller == certificate[..])
                .count()
        })
    }
}

impl Drop for Rotating {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let mut shaking = state.shaking.subscribe();
    shaking.wait_for(|on| *on).await.unwrap();
    let config = Arc::clone(&state.tls.lock().unwrap_or_else(PoisonError::into_inner));
    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else {
        return;
    };
    let (_, session) = stream.get_ref();
    let caller = session.peer_certificates().unwrap()[0].to_vec();
    let _open = Counted::new(&state, |counters| &mut counters.open);
    let mut go_away = state.go_away.subscribe();
    let serving = Arc::clone(&state);
    let service = service_fn(move |request| {
        serving.callers.lock().unwrap().push(caller.clone());
        answer(request, Arc::clone(&serving))
    });
    let mut connection = std::pin::pin!(
        hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service)
    );
    tokio::select! {
        _ = &mut connection => return,
        _ = go_away.changed() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// `Unary` answers at once, `Hold` when allowed, and `Follow` begins at once and ends when allowed.
async fn answer(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Body>, hyper::Error> {
    let (head, body) = request.into_parts();
    let message = body.collect().await?.to_bytes();
    let mut ok = HeaderMap::new();
    ok.insert("grpc-status", HeaderValue::from_static("0"));
    let mut allowed = state.answering.subscribe();
    let (sender, frames) = tokio::sync::mpsc::channel(3);
    match head.uri.path() {
        "/test.Echo/Unary" => {}
        "/test.Echo/Hold" => {
            let _held = Counted::new(&state, |counters| &mut counters.held);
            allowed.wait_for(|on| *on).await.unwrap();
        }
        "/test.Echo/Follow" => {
            let (sender, message) = (sender.clone(), message.clone());
            let held = Counted::new(&state, |counters| &mut counters.held);
            tokio::spawn(async move {
                let _held = held;
                let _ = sender.send(Ok(Frame::data(message.clone()))).await;
                allowed.wait_for(|on| *on).await.unwrap();
                let _ = sender.send(Ok(Frame::data(message))).await;
                let _ = sender.send(Ok(Frame::trailers(ok))).await;
            });
            return Ok(grpc(frames));
        }
        other => panic!("no method {other}"),
    }
    let _ = sender.send(Ok(Frame::data(message))).await;
    let _ = sender.send(Ok(Frame::trailers(ok))).await;
    Ok(grpc(frames))
}

fn grpc(frames: tokio::sync::mpsc::Receiver<Result<Frame<Bytes>, hyper::Error>>) -> Response<Body> {
    let frames = tokio_stream::wrappers::ReceiverStream::new(frames);
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// Counts something while it lives.
struct Counted {
    state: Arc<State>,
    counter: fn(&mut Counters) -> &mut usize,
}

impl Counted {
    fn new(state: &Arc<State>, counter: fn(&mut Counters) -> &mut usize) -> Self {
        state.counters.send_modify(|counters| *counter(counters) += 1);
        Self {
            state: Arc::clone(state),
            counter,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.state
            .counters
            .send_modify(|counters| *(self.counter)(counters) -= 1);
    }
}
