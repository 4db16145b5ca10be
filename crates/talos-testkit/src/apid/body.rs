//! Bodies that `apid` puts around those it relays.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::BodyExt as _;
use tonic::body::Body;
use tonic::{Code, Status};

use super::frame::{Encoding, MessageReader, frame, gzip_frame};

/// Headers-first is not how grpc-go answers: it sends them along with the first message, or with the final
/// status if there is none. Waits for the one or the other.
pub(crate) async fn with_first_message(response: Response<Body>) -> Response<Body> {
    let (mut parts, mut body) = response.into_parts();
    match body.frame().await {
        None => Response::from_parts(parts, Body::empty()),
        Some(Err(status)) => status.into_http(),
        Some(Ok(first)) => match first.into_data() {
            Ok(data) => Response::from_parts(
                parts,
                Body::new(Prefixed {
                    first: Some(data),
                    rest: body,
                }),
            ),
            Err(first) => {
                parts.headers.extend(first.into_trailers().unwrap_or_default());
                Response::from_parts(parts, Body::empty())
            }
        },
    }
}

/// A body whose first data was taken out already.
struct Prefixed {
    first: Option<Bytes>,
    rest: Body,
}

impl http_body::Body for Prefixed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.first.take() {
            Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }
}

/// Runs once, with the final status of a call, or with `Canceled` if the call is dropped before its end.
pub(crate) struct OnEnd(Option<Box<dyn FnOnce(Status) + Send>>);

impl OnEnd {
    pub(crate) fn new(run: impl FnOnce(Status) + Send + 'static) -> Self {
        Self(Some(Box::new(run)))
    }

    fn finish(&mut self, status: Status) {
        if let Some(run) = self.0.take() {
            run(status);
        }
    }

    /// Watches `response` until its end.
    pub(crate) fn observe(mut self, response: Response<Body>) -> Response<Body> {
        if let Some(status) = Status::from_header_map(response.headers()) {
            self.finish(status);
            return response;
        }
        response.map(|inner| Body::new(Observed { inner, end: self }))
    }
}

impl Drop for OnEnd {
    fn drop(&mut self) {
        self.finish(Status::cancelled("context canceled"));
    }
}

struct Observed {
    inner: Body,
    end: OnEnd,
}

impl http_body::Body for Observed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            // A failed body would reset the HTTP/2 stream; gRPC has trailers for that.
            Some(Err(status)) => Some(Ok(Frame::trailers(trailers(&status)))),
            frame => frame,
        };
        match &frame {
            Some(Ok(frame)) => {
                if let Some(status) = frame.trailers_ref().and_then(Status::from_header_map) {
                    self.end.finish(status);
                }
            }
            _ => self.end.finish(Status::new(Code::Ok, "")),
        }
        Poll::Ready(frame)
    }
}

/// A future that decides that a call is over: a deadline, a dead node.
pub(crate) type Abort = Pin<Box<dyn Future<Output = Status> + Send>>;

/// Waits for `response`, and relays its body, until `abort` says that the call is over.
pub(crate) async fn abort_on(
    response: impl Future<Output = Response<Body>>,
    mut abort: Abort,
) -> Response<Body> {
    tokio::select! {
        biased;
        status = &mut abort => status.into_http(),
        response = response => {
            if response.headers().contains_key(Status::GRPC_STATUS) {
                response
            } else {
                response.map(|inner| Body::new(Abortable { inner, abort: Some(abort) }))
            }
        }
    }
}

struct Abortable {
    inner: Body,
    abort: Option<Abort>,
}

impl http_body::Body for Abortable {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(abort) = self.abort.as_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(status) = abort.as_mut().poll(cx) {
            self.abort = None;
            self.inner = Body::empty();
            return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status)))));
        }
        Pin::new(&mut self.inner).poll_frame(cx)
    }
}

/// `status` as trailers.
pub(crate) fn trailers(status: &Status) -> HeaderMap {
    let mut map = HeaderMap::new();
    if status.add_header(&mut map).is_err() {
        map.insert(Status::GRPC_STATUS, HeaderValue::from(i32::from(Code::Internal)));
    }
    map
}

/// Sends a response body gzip-compressed, as grpc-go does when the request was.
pub(crate) fn compressed(mut response: Response<Body>) -> Response<Body> {
    if response.headers().contains_key(Status::GRPC_STATUS) {
        return response;
    }
    response
        .headers_mut()
        .insert("grpc-encoding", HeaderValue::from_static("gzip"));
    response.map(|body| {
        Body::new(Compressed {
            reader: MessageReader::new(body, Encoding::Identity),
            trailers_sent: false,
        })
    })
}

struct Compressed {
    reader: MessageReader<Body>,
    trailers_sent: bool,
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.trailers_sent {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(match ready!(self.reader.poll_message(cx)) {
            Some(Ok(message)) => gzip_frame(&message)
                .map(Frame::data)
                .map_err(|error| Status::internal(error.to_string())),
            Some(Err(status)) => Err(status),
            None => {
                self.trailers_sent = true;
                let ok = || trailers(&Status::new(Code::Ok, ""));
                Ok(Frame::trailers(
                    self.reader.trailers().cloned().unwrap_or_else(ok),
                ))
            }
        }))
    }
}

/// The request body of a call, re-framed message by message: decompressed, checked against the size limit,
/// and shown to `on_message`.
pub(crate) struct RequestRelay<B, F> {
    reader: MessageReader<B>,
    on_message: F,
    prefetched: Option<Option<Result<Frame<Bytes>, Status>>>,
}

impl<B, F> RequestRelay<B, F>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<tonic::codegen::StdError>,
{
    pub(crate) fn new(body: B, encoding: Encoding, on_message: F) -> Self {
        Self {
            reader: MessageReader::new(body, encoding),
            on_message,
            prefetched: None,
        }
    }
}

impl<B, F> RequestRelay<B, F>
where
    Self: http_body::Body<Data = Bytes, Error = Status> + Unpin,
{
    /// Takes the first message in, so that it is seen even if nobody asks for it.
    pub(crate) async fn prefetch(&mut self) {
        let first = std::future::poll_fn(|cx| http_body::Body::poll_frame(Pin::new(&mut *self), cx)).await;
        self.prefetched = Some(first);
    }
}

impl<B, F> http_body::Body for RequestRelay<B, F>
where
    B: http_body::Body<Data = Bytes> + Unpin,
    B::Error: Into<tonic::codegen::StdError>,
    F: FnMut(&Bytes) + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Some(first) = self.prefetched.take() {
            return Poll::Ready(first);
        }
        Poll::Ready(match ready!(self.reader.poll_message(cx)) {
            None => None,
            Some(Ok(message)) => {
                (self.on_message)(&message);
                Some(Ok(Frame::data(frame(&message))))
            }
            Some(Err(status)) => Some(Err(Status::internal(format!(
                "failed proxying s2c: {}",
                crate::text::go_error(&status)
            )))),
        })
    }
}
