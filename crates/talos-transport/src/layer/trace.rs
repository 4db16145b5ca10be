//! A span per call.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;
use tracing::field::{Empty, display};
use tracing::{Span, info_span};

use crate::call::AnsweredBy;
use crate::node::Node;

/// Puts [`TraceService`] around a service.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TraceLayer {}

/// Runs every call in a span called `rpc`, from the request to the response headers.
///
/// Its fields follow OpenTelemetry: `rpc.system`, `rpc.service`, `rpc.method`, `talos.node` if the call names one,
/// `server.address` once it has answered, and `rpc.grpc.status_code` if the call failed before its response began.
/// Metadata values and bodies are never recorded.
#[derive(Debug, Clone)]
pub struct TraceService<S> {
    inner: S,
}

pin_project! {
    /// Future of [`TraceService`].
    #[must_use = "futures do nothing unless polled"]
    #[derive(Debug)]
    pub struct TraceFuture<F> {
        #[pin]
        inner: F,
        span: Span,
    }
}

impl TraceLayer {
    /// The layer.
    pub const fn new() -> Self {
        Self {}
    }
}

impl<S> TraceService<S> {
    /// The service inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S> Layer<S> for TraceLayer {
    type Service = TraceService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        TraceService { inner }
    }
}

impl<S, B, R> Service<Request<B>> for TraceService<S>
where
    S: Service<Request<B>, Response = Response<R>, Error = Status>,
{
    type Response = Response<R>;
    type Error = Status;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let span = span(&request);
        let inner = {
            let _entered = span.enter();
            self.inner.call(request)
        };
        TraceFuture { inner, span }
    }
}

impl<F, R> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response<R>, Status>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = this.span.enter();
        let polled = this.inner.poll(cx);
        drop(entered);
        if let Poll::Ready(result) = &polled
            && !this.span.is_disabled()
        {
            record(this.span, result);
        }
        polled
    }
}

fn span<B>(request: &Request<B>) -> Span {
    let path = request.uri().path();
    let (service, method) = path
        .strip_prefix('/')
        .unwrap_or(path)
        .rsplit_once('/')
        .unwrap_or(("", path));
    let span = info_span!(
        "rpc",
        rpc.system = "grpc",
        rpc.service = service,
        rpc.method = method,
        rpc.grpc.status_code = Empty,
        server.address = Empty,
        talos.node = Empty,
    );
    if let Some(Node(name)) = request.extensions().get() {
        span.record("talos.node", name.as_str());
    }
    span
}

/// A response that has begun well can still end badly, so a status is recorded only when it is final.
fn record<R>(span: &Span, result: &Result<Response<R>, Status>) {
    let answered_by = match result {
        Ok(response) => response.extensions().get(),
        Err(status) => {
            span.record("rpc.grpc.status_code", status.code() as i32);
            std::error::Error::source(status).and_then(|source| source.downcast_ref::<AnsweredBy>())
        }
    };
    if let Some(answered_by) = answered_by {
        span.record("server.address", display(answered_by.endpoint()));
    }
}
