//! The methods of the test server: well-behaved, and every kind of bad manners on request.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::server::State;

pub(crate) type Body = UnsyncBoxBody<Bytes, Failure>;

/// Ends a call without a status; its reason becomes the HTTP/2 error code.
#[derive(Debug)]
pub(crate) struct Failure(h2::Reason);

pub(crate) async fn answer(request: Request<Incoming>, state: &State) -> Result<Response<Body>, Failure> {
    let (head, mut body) = request.into_parts();
    let path = head.uri.path().to_owned();
    state.requests.lock().unwrap().push(head);
    state.received.send_modify(|received| *received += 1);
    let scripted = state.script.lock().unwrap().pop_front();
    let method = scripted.unwrap_or_else(|| path.strip_prefix("/test.Echo/").unwrap_or_default());
    match method {
        "RefusedStream" => return Err(Failure(h2::Reason::REFUSED_STREAM)),
        "RefusedAfterRequest" => {
            body.frame().await;
            return Err(Failure(h2::Reason::REFUSED_STREAM));
        }
        "ResetEarly" => return Err(Failure(h2::Reason::INTERNAL_ERROR)),
        _ => {}
    }
    if method == "Duplex" {
        // Answers each piece as it comes.
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                if sender.send(Ok(frame)).await.is_err() {
                    return;
                }
            }
            let _ = sender.send(Ok(Frame::trailers(status("0")))).await;
        });
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        return Ok(grpc(StreamBody::new(stream).boxed_unsync()));
    }
    let message = body
        .collect()
        .await
        .map_err(|_| Failure(h2::Reason::CANCEL))?
        .to_bytes();
    Ok(match method {
        "Unary" => grpc(with_trailers(message, status("0"))),
        "Refuse" => {
            let mut response = grpc(empty());
            response.headers_mut().extend(status("7"));
            response
                .headers_mut()
                .insert("grpc-message", HeaderValue::from_static("not authorized"));
            response
                .headers_mut()
                .insert("x-from", HeaderValue::from_static("machined"));
            response
        }
        "Unavailable" => unavailable(),
        "UnavailableAfter20Seconds" => {
            tokio::time::sleep(Duration::from_secs(20)).await;
            unavailable()
        }
        "UnavailableInTrailers" => grpc(with_trailers(Bytes::new(), status("14"))),
        "Late" => grpc(with_trailers(Bytes::new(), status("4"))),
        "Exhausted" => grpc(with_trailers(Bytes::new(), status("8"))),
        "FailLate" => {
            let mut trailers = status("9");
            trailers.insert("grpc-message", HeaderValue::from_static("too%20early"));
            trailers.insert("grpc-status-details-bin", HeaderValue::from_static("CAk"));
            grpc(with_trailers(message, trailers))
        }
        "BadDetails" => {
            let mut trailers = status("9");
            trailers.insert("grpc-status-details-bin", HeaderValue::from_static("!!!"));
            grpc(with_trailers(message, trailers))
        }
        "LongError" => {
            let mut trailers = status("2");
            trailers.insert(
                "grpc-message",
                HeaderValue::try_from("x".repeat(100_000)).unwrap(),
            );
            grpc(with_trailers(message, trailers))
        }
        "Hang" => std::future::pending().await,
        "HangAfterHeaders" => {
            let given_up = GivenUp(state.given_up.clone());
            let frames = tokio_stream::StreamExt::map(tokio_stream::pending(), move |frame| {
                let _ = &given_up;
                frame
            });
            grpc(StreamBody::new(frames).boxed_unsync())
        }
        "HangAfterMessage" => {
            let frames = tokio_stream::StreamExt::chain(
                tokio_stream::iter([Ok(Frame::data(message))]),
                tokio_stream::pending(),
            );
            grpc(StreamBody::new(frames).boxed_unsync())
        }
        // Endless messages of 64 KiB.
        "Flood" => {
            let mut frame = vec![0; 5 + (64 << 10)];
            frame[1..5].copy_from_slice(&(64_u32 << 10).to_be_bytes());
            let frame = Bytes::from(frame);
            let frames =
                tokio_stream::StreamExt::map(tokio_stream::iter(std::iter::repeat(frame)), |frame| {
                    Ok(Frame::data(frame))
                });
            grpc(StreamBody::new(frames).boxed_unsync())
        }
        "Abort" => {
            let frames =
                tokio_stream::iter([Ok(Frame::data(message)), Err(Failure(h2::Reason::INTERNAL_ERROR))]);
            grpc(StreamBody::new(frames).boxed_unsync())
        }
        "Page" => {
            let mut page = Response::new(
                Full::new(Bytes::from_static(b"<h1>no</h1>"))
                    .map_err(|never| match never {})
                    .boxed_unsync(),
            );
            *page.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
            page.headers_mut()
                .insert("content-type", HeaderValue::from_static("text/html"));
            page
        }
        other => panic!("no method {other:?} in {path:?}"),
    })
}

fn grpc(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// What an endpoint says that cannot reach the node.
fn unavailable() -> Response<Body> {
    let mut response = grpc(empty());
    response.headers_mut().extend(status("14"));
    response
        .headers_mut()
        .insert("grpc-message", HeaderValue::from_static("connection error"));
    response
}

fn with_trailers(message: Bytes, trailers: HeaderMap) -> Body {
    Full::new(message)
        .map_err(|never| match never {})
        .with_trailers(std::future::ready(Some(Ok(trailers))))
        .boxed_unsync()
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

fn status(code: &'static str) -> HeaderMap {
    [(
        http::HeaderName::from_static("grpc-status"),
        HeaderValue::from_static(code),
    )]
    .into_iter()
    .collect()
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Failure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        // The library looks for an error of this type to learn the code to send.
        static REFUSED: std::sync::LazyLock<h2::Error> =
            std::sync::LazyLock::new(|| h2::Reason::REFUSED_STREAM.into());
        (self.0 == h2::Reason::REFUSED_STREAM).then_some(&*REFUSED as _)
    }
}

/// Counts a body when it ends.
struct GivenUp(watch::Sender<usize>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.send_modify(|given_up| *given_up += 1);
    }
}
