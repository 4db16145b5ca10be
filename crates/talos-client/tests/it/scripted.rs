//! A gRPC server over TLS that does what a test says, however wrong that is, and tells what it received.
//!
//! For what no node does: lies about lengths, missing exit codes, streams that stop in the middle. Everything else is
//! tested against the simulated cluster.

use std::{convert::Infallible, sync::Arc};

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use talos_client::{Client, ClientBuilder, Node};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{self, pki_types::PrivateKeyDer},
};

/// A running server; it stops when dropped.
pub(crate) struct Scripted {
    endpoint: String,
    ca: String,
    received: watch::Receiver<Vec<Received>>,
    accepting: JoinHandle<()>,
}

/// One call.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    /// What came of the request so far; after 8 MiB no more is read.
    pub(crate) body: Vec<u8>,
    /// How it ended: `Ok` by the caller, `Err` by a reset. `None` while it goes on.
    pub(crate) end: Option<Result<(), String>>,
}

/// What to do next in the answer of a call.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Sends a message as gRPC wants it.
    Message(Bytes),
    /// Sends these bytes as they are.
    Raw(Bytes),
    /// Waits until the request has come to its end.
    AwaitRequest,
    /// Waits until this many bytes of the request are there.
    AwaitBytes(usize),
    /// Leaves the request unread, whatever else there is to do.
    DontRead,
    /// Does nothing more.
    Hang,
    /// Ends with this status.
    Status(u16, &'static str),
    /// Ends the body without trailers.
    Stop,
}

impl Step {
    pub(crate) fn message(message: &impl prost::Message) -> Self {
        Self::Message(message.encode_to_vec().into())
    }
}

/// The answer of a call that ends well.
pub(crate) fn ok(messages: impl IntoIterator<Item = Step>) -> Vec<Step> {
    messages.into_iter().chain([Step::Status(0, "")]).collect()
}

impl Scripted {
    /// Answers each call by what `script` says for its path.
    pub(crate) async fn start(script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static) -> Self {
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
        let (log, received) = watch::channel(Vec::new());
        let state = Arc::new(State {
            script: Box::new(script),
            log,
        });
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
                tokio::spawn(async move {
                    let stream = acceptor.accept(stream).await.expect("TLS");
                    let service = hyper::service::service_fn(move |request| {
                        let answer = state.answer(request);
                        async move { Ok::<_, Infallible>(answer) }
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
            received,
            accepting,
        }
    }

    /// Answers every call so.
    pub(crate) async fn always(steps: Vec<Step>) -> Self {
        Self::start(move |_| steps.clone()).await
    }

    pub(crate) fn builder(&self) -> ClientBuilder {
        Client::builder()
            .endpoints([self.endpoint.as_str()])
            .ca_pem(self.ca.as_str())
    }

    pub(crate) fn node(&self) -> Node {
        let client = self.builder().build().expect("a client");
        client.node("10.5.0.3").expect("a name")
    }

    /// The calls so far.
    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// Waits until the calls so far are like this.
    pub(crate) async fn wait_for(&self, wanted: impl FnMut(&Vec<Received>) -> bool) -> Vec<Received> {
        let mut received = self.received.clone();
        received.wait_for(wanted).await.expect("the server runs").clone()
    }

    /// Waits until the only call is over, and returns it.
    pub(crate) async fn ended(&self) -> Received {
        let mut calls = self
            .wait_for(|calls| calls.iter().all(|call| call.end.is_some()) && !calls.is_empty())
            .await;
        assert_eq!(calls.len(), 1, "{calls:#?}");
        calls.remove(0)
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Received {
    /// The messages of the request, as far as they are complete.
    pub(crate) fn messages<M: prost::Message + Default>(&self) -> Vec<M> {
        let mut rest = &self.body[..];
        let mut messages = Vec::new();
        while let Some((header, body)) = rest.split_first_chunk::<5>() {
            let length = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
            let Some((message, after)) = body.split_at_checked(length) else {
                break;
            };
            messages.push(M::decode(message).expect("a message"));
            rest = after;
        }
        messages
    }

    /// The only message of the request.
    pub(crate) fn message<M: prost::Message + Default>(&self) -> M {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1);
        messages.remove(0)
    }
}

/// What is answered to a call of this path.
type Script = Box<dyn Fn(&str) -> Vec<Step> + Send + Sync>;

struct State {
    script: Script,
    log: watch::Sender<Vec<Received>>,
}

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>;

impl State {
    fn answer(self: &Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let (parts, mut body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let steps = (self.script)(&path);
        let mut index = 0;
        self.log.send_modify(|log| {
            index = log.len();
            log.push(Received {
                path,
                headers: parts.headers,
                body: Vec::new(),
                end: None,
            });
        });
        let state = Arc::clone(self);
        let reads = !steps.contains(&Step::DontRead);
        // Reads the request beside the answer.
        tokio::spawn(async move {
            if !reads {
                // Keeps what is not read, until the test is over.
                std::future::pending::<()>().await;
            }
            loop {
                let end = match body.frame().await {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            let mut full = false;
                            state.log.send_modify(|log| {
                                log[index].body.extend_from_slice(&data);
                                full = log[index].body.len() > MOST_KEPT;
                            });
                            if full {
                                // Not read any further, so that a client that does not stop is stopped.
                                std::future::pending::<()>().await;
                            }
                        }
                        continue;
                    }
                    Some(Err(error)) => Err(error.to_string()),
                    None => Ok(()),
                };
                state.log.send_modify(|log| log[index].end = Some(end));
                break;
            }
        });
        let answer = Answer {
            steps: steps.into_iter(),
            log: self.log.subscribe(),
            index,
        };
        let frames = futures_util::stream::unfold(answer, |mut answer| async move {
            let frame = answer.next().await?;
            Some((Ok::<_, Infallible>(frame), answer))
        });
        let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
        let grpc = HeaderValue::from_static("application/grpc");
        response.headers_mut().insert("content-type", grpc);
        response
    }
}

struct Answer {
    steps: std::vec::IntoIter<Step>,
    log: watch::Receiver<Vec<Received>>,
    index: usize,
}

impl Answer {
    async fn next(&mut self) -> Option<Frame<Bytes>> {
        loop {
            let index = self.index;
            match self.steps.next()? {
                Step::Message(message) => {
                    let mut frame = vec![0];
                    let length = u32::try_from(message.len()).expect("short");
                    frame.extend(length.to_be_bytes());
                    frame.extend(message);
                    return Some(Frame::data(frame.into()));
                }
                Step::Raw(bytes) => return Some(Frame::data(bytes)),
                Step::AwaitRequest => self.until(|log| log[index].end.is_some()).await,
                Step::AwaitBytes(count) => self.until(|log| log[index].body.len() >= count).await,
                Step::DontRead => {}
                Step::Hang => std::future::pending().await,
                Step::Status(code, message) => {
                    let mut trailers = HeaderMap::new();
                    trailers.insert("grpc-status", HeaderValue::from(code));
                    trailers.insert("grpc-message", HeaderValue::from_static(message));
                    return Some(Frame::trailers(trailers));
                }
                Step::Stop => return None,
            }
        }
    }

    async fn until(&mut self, wanted: impl FnMut(&Vec<Received>) -> bool) {
        // The server may stop first.
        let _ = self.log.wait_for(wanted).await;
    }
}

/// Most of a request that is read and kept, in bytes.
const MOST_KEPT: usize = 8 * 1024 * 1024;
