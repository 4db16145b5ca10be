//! The two layers.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use http::{HeaderValue, Request};
use talos_client::transport::Node;
use tower::{Layer, Service, layer::layer_fn};

/// How long calls took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Times {
    calls: Arc<Mutex<Vec<Call>>>,
}

/// A call as the program made it.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Such as `Version`.
    pub(crate) method: String,
    /// The node that was named.
    pub(crate) node: String,
    /// Until the response began, retries included.
    pub(crate) time: Duration,
}

impl Times {
    pub(crate) fn layer<S>(&self) -> impl Layer<S, Service = Timed<S>> + use<S> {
        let times = self.clone();
        layer_fn(move |inner| Timed {
            inner,
            times: times.clone(),
        })
    }

    pub(crate) fn all(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Measures the service inside, and says who calls.
#[derive(Debug, Clone)]
pub(crate) struct Timed<S> {
    inner: S,
    times: Times,
}

impl<S, B> Service<Request<B>> for Timed<S>
where
    S: Service<Request<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let headers = request.headers_mut();
        headers.insert("x-requested-by", HeaderValue::from_static("custom-layer"));
        let method = method_of(&request);
        let node = request.extensions().get::<Node>();
        let node = node.map_or_else(String::new, |node| node.0.to_string());
        let times = self.times.clone();
        let started = Instant::now();
        let response = self.inner.call(request);
        Box::pin(async move {
            let response = response.await;
            let time = started.elapsed();
            let mut calls = times.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push(Call { method, node, time });
            response
        })
    }
}

/// How often something was sent, by method.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts {
    counts: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl Attempts {
    pub(crate) fn layer<S>(&self) -> impl Layer<S, Service = Counted<S>> + use<S> {
        let attempts = self.clone();
        layer_fn(move |inner| Counted {
            inner,
            attempts: attempts.clone(),
        })
    }

    pub(crate) fn all(&self) -> BTreeMap<String, u32> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts what goes into the service inside.
#[derive(Debug, Clone)]
pub(crate) struct Counted<S> {
    inner: S,
    attempts: Attempts,
}

impl<S, B> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut counts = self
            .attempts
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *counts.entry(method_of(&request)).or_default() += 1;
        drop(counts);
        self.inner.call(request)
    }
}

/// The last part of the path.
fn method_of<B>(request: &Request<B>) -> String {
    request
        .uri()
        .path()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned()
}
