//! Layers that users of a channel add.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::Status;
use tonic::body::Body;
use tower::util::BoxCloneSyncService;
use tower_layer::Layer;
use tower_service::Service;

use crate::body::ResponseBody;

/// What a layer of [`ChannelBuilder::call_layer`](crate::ChannelBuilder::call_layer) or
/// [`ChannelBuilder::attempt_layer`](crate::ChannelBuilder::attempt_layer) wraps: the rest of the channel.
#[derive(Clone, Debug)]
pub struct Next(BoxCloneSyncService<Request<Body>, Response<ResponseBody>, Status>);

/// The layers of one place, outermost first.
#[derive(Clone, Default)]
pub(crate) struct UserLayers(Vec<Arc<dyn Fn(Next) -> Next + Send + Sync>>);

/// A service in the user's layers; without any it is called directly.
#[derive(Clone, Debug)]
pub(crate) enum Layered<S> {
    Plain(S),
    Layered(Next),
}

pin_project! {
    #[project = LayeredProjection]
    pub(crate) enum LayeredFuture<F> {
        Plain { #[pin] future: F },
        Layered { future: NextFuture },
    }
}

/// Future of [`Next`].
type NextFuture = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Status>> + Send>>;

impl UserLayers {
    pub(crate) fn push<L>(&mut self, layer: L)
    where
        L: Layer<Next> + Send + Sync + 'static,
        L::Service: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status>,
        L::Service: Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Body>>>::Future: Send + 'static,
    {
        self.0.push(Arc::new(move |next| {
            Next(BoxCloneSyncService::new(layer.layer(next)))
        }));
    }

    pub(crate) fn wrap<S>(&self, service: S) -> Layered<S>
    where
        S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        let Some((innermost, others)) = self.0.split_last() else {
            return Layered::Plain(service);
        };
        let next = innermost(Next(BoxCloneSyncService::new(service)));
        Layered::Layered(others.iter().rev().fold(next, |next, layer| layer(next)))
    }
}

impl Service<Request<Body>> for Next {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = NextFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.0.call(request)
    }
}

impl<S> Service<Request<Body>> for Layered<S>
where
    S: Service<Request<Body>, Response = Response<ResponseBody>, Error = Status>,
{
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = LayeredFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        match self {
            Self::Plain(service) => service.poll_ready(cx),
            Self::Layered(next) => next.poll_ready(cx),
        }
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self {
            Self::Plain(service) => LayeredFuture::Plain {
                future: service.call(request),
            },
            Self::Layered(next) => LayeredFuture::Layered {
                future: next.call(request),
            },
        }
    }
}

impl<F> Future for LayeredFuture<F>
where
    F: Future<Output = Result<Response<ResponseBody>, Status>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            LayeredProjection::Plain { future } => future.poll(cx),
            LayeredProjection::Layered { future } => future.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for UserLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} layers", self.0.len())
    }
}
