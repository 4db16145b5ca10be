//! A gRPC server over TLS that answers only calls with a valid signature, as Omni does.

use std::{
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use http::{HeaderMap, HeaderValue, Request, Response, request::Parts};
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use talos_client::proto::{common, machine};
use talos_testkit::omni::{PublicKey, SignatureVerifier};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, pki_types::PrivateKeyDer},
};

use crate::siderov1::unix;

/// A running server; it stops when dropped.
pub(crate) struct Omni {
    pub(crate) endpoint: String,
    pub(crate) ca: String,
    pub(crate) state: Arc<State>,
    accepting: JoinHandle<()>,
}

/// What it knows and what it was asked.
#[derive(Default)]
pub(crate) struct State {
    /// Unix time.
    pub(crate) clock: AtomicU64,
    /// Refuses this many calls with a valid signature.
    pub(crate) refuse: AtomicUsize,
    /// Ends calls that it refuses in their trailers, after the headers of a response.
    pub(crate) refuse_late: AtomicBool,
    verifier: Mutex<SignatureVerifier>,
    received: Mutex<Vec<Received>>,
}

/// One call.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Who signed it, or why the signature is not valid.
    pub(crate) signer: Result<String, String>,
}

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

impl Omni {
    pub(crate) async fn start(now: u64) -> Self {
        let certificate =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(certificate.signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|tls| {
                tls.with_no_client_auth()
                    .with_single_cert(vec![certificate.cert.der().clone()], key)
            })
            .expect("TLS settings");
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));

        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let endpoint = listener.local_addr().expect("bound").to_string();
        let state = Arc::new(State::default());
        state.clock.store(now, Ordering::Relaxed);
        let serving = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&serving));
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.expect("TLS");
                    let service = hyper::service::service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(state.answer(request).await) }
                    });
                    // Clients end connections as they like.
                    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self {
            endpoint,
            ca: certificate.cert.pem(),
            state,
            accepting,
        }
    }

    /// Accepts signatures of this identity by this key, besides those that were accepted before.
    pub(crate) fn accept(&self, identity: &str, armored: &str) {
        self.state.accept(identity, armored);
    }

    /// Forgets all keys.
    pub(crate) fn forget_keys(&self) {
        *self.state.verifier.lock().expect("no panic") = SignatureVerifier::new();
    }

    /// The calls since the last time.
    pub(crate) fn received(&self) -> Vec<Received> {
        std::mem::take(&mut *self.state.received.lock().expect("no panic"))
    }
}

impl Drop for Omni {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl State {
    pub(crate) fn accept(&self, identity: &str, armored: &str) {
        let key = PublicKey::from_armor(armored).expect("a key");
        self.verifier.lock().expect("no panic").accept(identity, key);
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let signer = self.verify(&parts);
        let accepted = signer.is_ok();
        let body = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .unwrap_or_default();
        self.received.lock().expect("no panic").push(Received {
            path: path.clone(),
            headers: parts.headers,
            body,
            signer,
        });
        if path.starts_with("/auth.AuthService/") {
            return reply([Bytes::new()]);
        }
        let refused = self
            .refuse
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
            .is_ok();
        if !accepted || refused {
            let late = self.refuse_late.load(Ordering::Relaxed);
            return status(16, "invalid signature", late);
        }
        match path.as_str() {
            "/machine.MachineService/Hostname" => {
                let hostname = machine::Hostname {
                    hostname: "omni".to_owned(),
                    ..Default::default()
                };
                let messages = vec![hostname];
                reply([machine::HostnameResponse { messages }.encode_to_vec().into()])
            }
            "/machine.MachineService/Read" => reply(["one ", "two ", "three"].map(|text| {
                let bytes = text.into();
                common::Data {
                    bytes,
                    metadata: None,
                }
                .encode_to_vec()
                .into()
            })),
            _ => status(12, "unknown method", false),
        }
    }

    /// The identity behind a valid signature.
    pub(crate) fn verify(&self, call: &Parts) -> Result<String, String> {
        let now = unix(self.clock.load(Ordering::Relaxed));
        let verifier = self.verifier.lock().expect("no panic");
        let verified = verifier.verify(call.uri.path(), &call.headers, now);
        verified.map(str::to_owned).map_err(|problem| problem.to_string())
    }
}

/// An answer of these messages.
fn reply<const N: usize>(messages: [Bytes; N]) -> Reply {
    let frames = messages.map(|message| {
        let mut frame = vec![0];
        let length = u32::try_from(message.len()).expect("short");
        frame.extend(length.to_be_bytes());
        frame.extend(message);
        Ok(Frame::data(frame.into()))
    });
    let end = Ok(Frame::trailers(grpc_status(0, "")));
    let body = StreamBody::new(futures_util::stream::iter(frames.into_iter().chain([end])));
    response(body.boxed_unsync())
}

/// A failure, in the trailers of a response that has begun if it is `late`.
fn status(code: u16, message: &'static str, late: bool) -> Reply {
    let status = grpc_status(code, message);
    if late {
        let end = Ok(Frame::trailers(status));
        return response(StreamBody::new(futures_util::stream::iter([end])).boxed_unsync());
    }
    let mut response = response(Full::default().boxed_unsync());
    response.headers_mut().extend(status);
    response
}

fn response(body: UnsyncBoxBody<Bytes, Infallible>) -> Reply {
    let mut response = Response::new(body);
    let grpc = HeaderValue::from_static("application/grpc");
    response.headers_mut().insert("content-type", grpc);
    response
}

fn grpc_status(code: u16, message: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-message", HeaderValue::from_static(message));
    headers
}
