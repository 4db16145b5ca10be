//! The layer around a service that records what comes through.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::HeaderValue;
use http_body_util::{BodyExt as _, Full};

use super::*;
use crate::error::Delivery;
use crate::layer::BoxError;

/// What a server got.
type Received = (Parts, Bytes);

/// Reads each request and answers with the next of the prepared outcomes.
#[derive(Clone)]
struct Server {
    outcomes: Arc<Mutex<Vec<Outcome>>>,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Server {
    fn new(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let mut outcomes: Vec<_> = outcomes.into_iter().collect();
        outcomes.reverse();
        Self {
            outcomes: Arc::new(Mutex::new(outcomes)),
            received: Arc::default(),
        }
    }

    fn received(&self) -> Vec<Received> {
        mem::take(&mut *self.received.lock().expect("no panic"))
    }
}

impl Service<Request<Body>> for Server {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = Pin<Box<dyn Future<Output = Outcome> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            this.received.lock().expect("no panic").push((parts, body));
            let outcome = this.outcomes.lock().expect("no panic").pop();
            outcome.expect("no more requests than outcomes")
        })
    }
}

/// Numbers its signatures, and does after a refusal what it is told.
#[derive(Clone, Default)]
struct Counter {
    signed: Arc<AtomicUsize>,
    refused: Arc<Mutex<Vec<String>>>,
    after_refusal: Option<AfterRefusal>,
    fails_at: Option<usize>,
}

impl RequestSigner for Counter {
    async fn sign(&self, request: Unsigned<'_>) -> Result<HeaderMap, BoxError> {
        let number = self.signed.fetch_add(1, Ordering::Relaxed);
        if self.fails_at == Some(number) {
            return Err("no key".into());
        }
        let node = request.metadata.get("node").cloned();
        let mut headers = HeaderMap::new();
        headers.insert("signature", HeaderValue::from(number));
        headers.append("signature", HeaderValue::from_str(request.path)?);
        headers.insert("signed-node", node.unwrap_or(HeaderValue::from_static("none")));
        Ok(headers)
    }

    async fn on_unauthenticated(&self, refusal: Refusal<'_>) -> Result<AfterRefusal, BoxError> {
        let text = format!("{:?} {}", refusal.headers["signature"], refusal.message);
        self.refused.lock().expect("no panic").push(text);
        self.after_refusal.ok_or_else(|| "login failed".into())
    }
}

fn answer() -> Outcome {
    Ok(Response::new(ResponseBody::new(Body::empty())))
}

fn refusal() -> Outcome {
    let mut status = Status::unauthenticated("who are you?");
    let endpoint = "10.5.0.2".parse().expect("an endpoint");
    status.set_source(Arc::new(AnsweredBy::new(endpoint)));
    Err(status)
}

fn request(body: impl Into<Bytes>) -> Request<Body> {
    Request::builder()
        .uri("https://talos/machine.MachineService/Version")
        .header("node", "10.5.0.3")
        .header("signature", "of the caller's own")
        .body(Body::new(Full::new(body.into())))
        .expect("a request")
}

async fn call(signer: &Counter, server: &Server, body: impl Into<Bytes>) -> Outcome {
    SignLayer::new(signer.clone())
        .layer(server.clone())
        .call(request(body))
        .await
}

fn signatures(received: &[Received]) -> Vec<Vec<&str>> {
    received
        .iter()
        .map(|(parts, _)| {
            let values = parts.headers.get_all("signature").iter();
            values.map(|value| value.to_str().expect("text")).collect()
        })
        .collect()
}

fn signing_error(outcome: Outcome) -> SignError {
    let status = outcome.expect_err("a failure");
    assert_eq!(status.code(), Code::Unauthenticated);
    match status.source().and_then(|source| source.downcast_ref()) {
        Some(Error::Signing(error)) => error.clone(),
        other => panic!("not a signing error: {other:?}"),
    }
}

#[tokio::test]
async fn requests_pass_unchanged_and_unboxed_without_a_signer() {
    let server = Server::new([answer()]);
    let future = SignLayer::default().layer(server.clone()).call(request("ping"));
    assert!(matches!(future.inner, Inner::Plain { .. }));
    future.await.expect("an answer");
    let received = server.received();
    assert_eq!(signatures(&received), [["of the caller's own"]]);
    assert_eq!(received[0].1, "ping");
}

#[tokio::test]
async fn a_signature_covers_the_metadata_and_replaces_headers_of_its_names() {
    let server = Server::new([answer()]);
    call(&Counter::default(), &server, "ping")
        .await
        .expect("an answer");
    let received = server.received();
    assert_eq!(signatures(&received), [["0", "/machine.MachineService/Version"]]);
    assert_eq!(received[0].0.headers["signed-node"], "10.5.0.3");
    assert_eq!(received[0].0.headers["node"], "10.5.0.3");
    assert_eq!(received[0].1, "ping");
}

#[tokio::test]
async fn a_request_that_cannot_be_signed_is_not_sent() {
    let server = Server::new([]);
    let signer = Counter {
        fails_at: Some(0),
        ..Counter::default()
    };
    let error = signing_error(call(&signer, &server, "ping").await);
    assert_eq!(error.delivery(), Delivery::NotSent);
    assert_eq!(error.refusal(), None);
    assert_eq!(error.source().expect("a cause").to_string(), "no key");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_refused_request_is_signed_and_sent_once_more() {
    let server = Server::new([refusal(), answer()]);
    let signer = Counter {
        after_refusal: Some(AfterRefusal::SignAgain),
        ..Counter::default()
    };
    call(&signer, &server, "ping").await.expect("an answer");
    let received = server.received();
    let path = "/machine.MachineService/Version";
    assert_eq!(signatures(&received), [["0", path], ["1", path]]);
    assert!(received.iter().all(|(_, body)| body == "ping"));
    assert_eq!(*signer.refused.lock().expect("no panic"), [r#""0" who are you?"#]);
}

#[tokio::test]
async fn a_second_refusal_is_final() {
    let server = Server::new([refusal(), refusal()]);
    let signer = Counter {
        after_refusal: Some(AfterRefusal::SignAgain),
        ..Counter::default()
    };
    let status = call(&signer, &server, "ping").await.expect_err("refused twice");
    assert_eq!(status.message(), "who are you?");
    assert!(status.source().is_some_and(|source| source.is::<AnsweredBy>()));
    assert_eq!(server.received().len(), 2);
    assert_eq!(signer.refused.lock().expect("no panic").len(), 1);
}

#[tokio::test]
async fn the_servers_words_survive_when_the_signer_gives_up() {
    let server = Server::new([refusal()]);
    let signer = Counter {
        after_refusal: Some(AfterRefusal::GiveUp),
        ..Counter::default()
    };
    let status = call(&signer, &server, "ping").await.expect_err("refused");
    assert_eq!(status.message(), "who are you?");
    assert!(status.source().is_some_and(|source| source.is::<AnsweredBy>()));
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_failed_reaction_tells_the_refusal_and_its_cause() {
    let server = Server::new([refusal()]);
    let error = signing_error(call(&Counter::default(), &server, "ping").await);
    assert_eq!(error.delivery(), Delivery::Refused);
    assert_eq!(error.refusal(), Some("who are you?"));
    assert_eq!(error.source().expect("a cause").to_string(), "login failed");

    let server = Server::new([refusal()]);
    let signer = Counter {
        after_refusal: Some(AfterRefusal::SignAgain),
        fails_at: Some(1),
        ..Counter::default()
    };
    let error = signing_error(call(&signer, &server, "ping").await);
    assert_eq!(error.delivery(), Delivery::Refused);
    assert_eq!(error.source().expect("a cause").to_string(), "no key");
}

#[tokio::test]
async fn only_a_server_that_speaks_grpc_can_refuse_a_signature() {
    let not_grpc = Error::NotGrpc {
        endpoint: "10.5.0.2".parse().expect("an endpoint"),
        status: 401,
        content_type: None,
    };
    assert_eq!(not_grpc.code(), Code::Unauthenticated);
    let denied = Err(Status::permission_denied("not you"));
    for outcome in [Err(not_grpc.into()), denied, answer()] {
        let server = Server::new([outcome]);
        let signer = Counter {
            after_refusal: Some(AfterRefusal::SignAgain),
            ..Counter::default()
        };
        let _ = call(&signer, &server, "ping").await;
        assert_eq!(server.received().len(), 1);
        assert!(signer.refused.lock().expect("no panic").is_empty());
    }
}

#[tokio::test]
async fn a_body_too_long_to_be_kept_makes_the_refusal_final() {
    let server = Server::new([refusal()]);
    let signer = Counter {
        after_refusal: Some(AfterRefusal::SignAgain),
        ..Counter::default()
    };
    let status = call(&signer, &server, vec![0; 1024 * 1024 + 1])
        .await
        .expect_err("refused");
    assert_eq!(status.message(), "who are you?");
    assert_eq!(server.received().len(), 1);
}
