//! A span per call, and metrics where they are compiled in.

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::call::AnsweredBy;
use crate::observe::Observed;

/// Puts [`TraceService`] around a service.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TraceLayer {}

/// Runs every call in a span called `rpc`, of level info, from the request to the end of the response's body.
///
/// Its fields follow OpenTelemetry: `rpc.system`, `rpc.service`, `rpc.method`, `talos.node` if the call names one,
/// `server.address` once it has answered, and `rpc.grpc.status_code` at the end, 1 (`CANCELLED`) if it was given up. Each
/// attempt is a span called `attempt` in it, of level debug, with the same fields and the number of the attempt as
/// `attempt`. Metadata values and bodies are never recorded.
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
        observed: Option<Observed>,
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

impl<S, B> Service<Request<B>> for TraceService<S>
where
    S: Service<Request<B>, Response = Response<ResponseBody>, Error = Status>,
{
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = TraceFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let observed = Observed::call(&request);
        let inner = observed.span().in_scope(|| self.inner.call(request));
        TraceFuture {
            inner,
            observed: Some(observed),
        }
    }
}

impl<F> Future for TraceFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, Status>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let entered = this.observed.as_ref().map(|observed| observed.span().enter());
        let polled = this.inner.poll(cx);
        drop(entered);
        polled.map(|mut result| {
            if let Some(observed) = this.observed.take()
                && let Some((body, observed)) = begun(observed, &mut result)
            {
                body.observe_call(observed);
            }
            result
        })
    }
}

/// Notes who answered, and the status if that was all. Else the body goes on observing.
pub(super) fn begun(
    observed: Observed,
    result: &mut Result<Response<ResponseBody>, Status>,
) -> Option<(&mut ResponseBody, Observed)> {
    match result {
        Ok(response) => {
            if let Some(answered_by) = response.extensions().get::<AnsweredBy>() {
                observed.server(answered_by.endpoint());
            }
            Some((response.body_mut(), observed))
        }
        Err(status) => {
            let source = status.source();
            let endpoint = source.and_then(|source| {
                let answered_by = source.downcast_ref().map(AnsweredBy::endpoint);
                answered_by.or_else(|| source.downcast_ref::<crate::Error>()?.endpoint())
            });
            if let Some(endpoint) = endpoint {
                observed.server(endpoint);
            }
            observed.end(status.code());
            None
        }
    }
}
