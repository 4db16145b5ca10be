//! Makes failed calls again, see [`RetryConfig`](crate::RetryConfig) and [`RetryClass`](crate::RetryClass).

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tower::retry::Retry;
use tower_layer::Layer;
use tower_service::Service;

use super::attempt::AttemptService;
use crate::body::{ReplayBody, ResponseBody};
use crate::retry::{Attempts, RetryConfig, RetryPolicy, class};

/// Puts [`RetryService`] around a service.
#[derive(Debug, Clone)]
pub struct RetryLayer {
    policy: RetryPolicy,
}

/// Keeps what is sent, makes attempts, and makes further ones after failures that may pass.
///
/// Services made by one layer share one budget.
#[derive(Debug, Clone)]
pub struct RetryService<S> {
    policy: RetryPolicy,
    inner: Retry<RetryPolicy, AttemptService<S>>,
}

pin_project! {
    /// Future of [`RetryService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct RetryFuture<S>
    where
        S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status>,
        S::Future: Send,
        S::Future: 'static,
    {
        #[pin]
        inner: tower::retry::future::ResponseFuture<RetryPolicy, AttemptService<S>, Request<ReplayBody>>,
    }
}

impl RetryLayer {
    /// A layer with a budget of its own.
    pub fn new(config: RetryConfig) -> Self {
        Self {
            policy: RetryPolicy::new(config),
        }
    }
}

impl<S: Clone> Layer<S> for RetryLayer {
    type Service = RetryService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryService {
            policy: self.policy.clone(),
            inner: Retry::new(self.policy.clone(), AttemptService::new(inner)),
        }
    }
}

impl<S> RetryService<S> {
    /// The service inside.
    pub fn inner(&self) -> &S {
        self.inner.get_ref().inner()
    }
}

impl<S> Service<Request<Body>> for RetryService<S>
where
    S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status> + Clone,
    S::Future: Send + 'static,
{
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = RetryFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let limit = class(&request).replay_limit();
        Attempts::of(&mut request);
        self.policy.deposit();
        let request = request.map(|body| ReplayBody::new(body, limit));
        RetryFuture {
            inner: self.inner.call(request),
        }
    }
}

impl<S> Future for RetryFuture<S>
where
    S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status> + Clone,
    S::Future: Send + 'static,
{
    type Output = Result<Response<ResponseBody>, Status>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().inner.poll(cx)
    }
}

impl<S> fmt::Debug for RetryFuture<S>
where
    S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status>,
    S::Future: Send + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryFuture")
    }
}
