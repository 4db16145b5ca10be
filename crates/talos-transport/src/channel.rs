//! [`Channel`]: the service generated clients are made from. Its stack of layers is put together here, in one place.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::builder::ChannelBuilder;
use crate::connect::Establish;
use crate::dispatch::{Dispatch, DispatchFuture};
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::layer::{
    AnySigner, DeadlineFuture, DeadlineLayer, DeadlineService, MetadataLayer, MetadataService, SignFuture,
    SignLayer, SignService, TraceFuture, TraceLayer, TraceService,
};
use crate::pool::Pool;
use crate::tls::TlsHandle;

/// A gRPC channel to one Talos endpoint or to several equivalent ones.
///
/// Cloning is cheap, and all clones share one HTTP/2 connection, which carries any number of calls at once. It is made
/// when the first call needs it and made again when a call finds it broken. With several endpoints the first one that
/// answers is used, and used further as long as it does; the next is tried 250 ms after the previous or as soon as that
/// one failed, so a dead endpoint costs little.
///
/// Failures are [`tonic::Status`] values; see [`Error`] for telling those of the channel from those of a server.
///
/// A request whose connection turns out to be dead before any of it was sent is sent once more on a new connection.
/// Nothing else is repeated.
#[derive(Clone)]
pub struct Channel {
    stack: Stack,
    tls: Option<TlsHandle>,
    endpoints: Arc<[Endpoint]>,
}

/// The default stack, outermost first: call span, deadline, metadata and routing, signature, connection.
type Stack = TraceService<DeadlineService<MetadataService<SignService<Dispatch>>>>;

/// Future of a call on a [`Channel`]. Dropping it cancels the call.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(TraceFuture<DeadlineFuture<SignFuture<DispatchFuture>>>);

impl Channel {
    /// Starts building a channel to these endpoints, which should lead to the same cluster.
    pub fn builder(endpoints: impl IntoIterator<Item = Endpoint>) -> ChannelBuilder {
        ChannelBuilder::new(endpoints)
    }

    /// The configured endpoints, in the order they were given and without repetitions.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// The TLS settings, to read the client certificate's validity and to replace them while connected. `None` if the
    /// channel was built without, for unix sockets only.
    pub fn tls(&self) -> Option<&TlsHandle> {
        self.tls.as_ref()
    }

    /// Makes the connection now, unless there is one, and tells which endpoint it leads to.
    ///
    /// Calls do this by themselves; this is for finding out early whether the cluster can be reached.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with the reason of every endpoint.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; an attempt that was begun goes on for the next caller.
    pub async fn connect(&self) -> Result<Endpoint, Error> {
        Ok(self.dispatch().pool().connection().await?.peer().endpoint.clone())
    }

    pub(crate) fn assemble(
        pool: Pool<Establish>,
        tls: Option<TlsHandle>,
        metadata: HeaderMap,
        signer: Option<AnySigner>,
        endpoints: Vec<Endpoint>,
    ) -> Self {
        let pool = Arc::new(pool);
        if let Some(tls) = &tls {
            tls.check_expiry();
            tls.outdates(Arc::downgrade(&pool) as _);
        }
        let service = Dispatch::new(pool);
        let service = SignLayer::from_option(signer).layer(service);
        let service = MetadataLayer::new(metadata).layer(service);
        let service = DeadlineLayer::new().layer(service);
        let stack = TraceLayer::new().layer(service);
        Self {
            stack,
            tls,
            endpoints: endpoints.into(),
        }
    }

    fn dispatch(&self) -> &Dispatch {
        self.stack.inner().inner().inner().inner()
    }
}

impl Service<Request<Body>> for Channel {
    type Response = Response<ResponseBody>;
    type Error = Status;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.stack.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if let Some(tls) = &self.tls {
            tls.check_expiry();
        }
        ResponseFuture(self.stack.call(request))
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<ResponseBody>, Status>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
