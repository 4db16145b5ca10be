//! [`Channel`]: the service generated clients are made from.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tower_service::Service;

use crate::body::ResponseBody;
use crate::builder::{BuildError, ChannelBuilder, EndpointRules};
use crate::connect::{ConnectError, Establish};
use crate::dispatch::Dispatch;
use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::pool::{EndpointSnapshot, EndpointsWatch, PickPolicy, Pool};
use crate::stack::{Stack, StackFuture, StackSettings};
use crate::tls::TlsHandle;

/// A gRPC channel to one Talos endpoint or to several equivalent ones.
///
/// Cloning is cheap, and all clones share their connections, each of which carries any number of calls at once.
///
/// # Endpoints
///
/// A connection is made when the first call needs it and made again when a call finds it broken. By default the first
/// endpoint that answers is used, and used further as long as it does, see [`PickPolicy`]. When there is no connection,
/// endpoints are dialled in turn, the next 250 ms after the previous or as soon as that one failed, and the first one to
/// answer wins; a dead endpoint costs little.
///
/// An endpoint that failed is left alone for a while and then tried again in the background, see
/// [`eject_for`](ChannelBuilder::eject_for), so that the next failover does not run into it. A call that finds no other
/// endpoint tries it at once: calls never fail because of what happened before them. A channel that was not used for five
/// minutes dials nothing by itself.
///
/// # Failures
///
/// Failures are [`tonic::Status`] values; see [`Error`] for telling those of the channel from those of a server.
///
/// # Retries
///
/// A request whose connection turns out to be dead before any of it was sent is sent once more on another connection. A
/// call that failed otherwise is made again if the failure may pass and the [`RetryClass`](crate::RetryClass) of the call
/// allows it: by default only if no server can have acted on it. How often, and when, is up to
/// [`RetryConfig`](crate::RetryConfig).
#[derive(Clone)]
pub struct Channel {
    stack: Stack,
    pool: Arc<Pool<Establish>>,
    tls: Option<TlsHandle>,
    rules: EndpointRules,
}

/// Replaces the endpoints of a channel without keeping it alive, see [`Channel::endpoints_handle`].
#[derive(Clone)]
pub struct EndpointsHandle {
    pool: Weak<Pool<Establish>>,
    rules: EndpointRules,
}

/// Future of a call on a [`Channel`]. Dropping it cancels the call.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(StackFuture);

impl Channel {
    /// Starts building a channel to these endpoints, which should lead to the same cluster.
    pub fn builder(endpoints: impl IntoIterator<Item = Endpoint>) -> ChannelBuilder {
        ChannelBuilder::new(endpoints)
    }

    /// The configured endpoints, in the order they were given and without repetitions.
    pub fn endpoints(&self) -> Vec<Endpoint> {
        self.pool.endpoints()
    }

    /// The TLS settings, to read the client certificate's validity and to replace them while connected. `None` if the
    /// channel was built without, for unix sockets only.
    pub fn tls(&self) -> Option<&TlsHandle> {
        self.tls.as_ref()
    }

    /// Replaces the endpoints, for this channel and all its clones.
    ///
    /// Endpoints that stay keep their connections. Calls under way to others are finished, new calls do not go there.
    ///
    /// # Errors
    ///
    /// What [`build`](ChannelBuilder::build) would have said about these endpoints; then nothing is changed.
    pub fn set_endpoints(&self, endpoints: impl IntoIterator<Item = Endpoint>) -> Result<(), BuildError> {
        let endpoints = self.rules.checked(endpoints)?;
        replace(&self.pool, endpoints);
        Ok(())
    }

    /// A handle to replace the endpoints with, for whatever finds out about them. It does not keep the channel alive.
    pub fn endpoints_handle(&self) -> EndpointsHandle {
        EndpointsHandle {
            pool: Arc::downgrade(&self.pool),
            rules: self.rules,
        }
    }

    /// What the channel knows about each endpoint at this moment, in the order they were given.
    pub fn endpoints_state(&self) -> Vec<EndpointSnapshot> {
        self.pool.snapshot()
    }

    /// Tells when [`endpoints_state`](Self::endpoints_state) has something new to say.
    pub fn watch_endpoints(&self) -> EndpointsWatch {
        self.pool.watch()
    }

    /// Makes a connection now, unless there is one, and tells which endpoint it leads to.
    ///
    /// Calls do this by themselves; this is for finding out early whether the cluster can be reached.
    ///
    /// # Errors
    ///
    /// [`Error::Connect`] with the reason of every endpoint that was tried.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; an attempt that was begun goes on for the next caller.
    pub async fn connect(&self) -> Result<Endpoint, Error> {
        Ok(self.pool.pick(&[]).await?.connection.peer().endpoint.clone())
    }

    /// Connects before there are calls to do so: to one endpoint, or with [`PickPolicy::RoundRobin`] to all of them.
    ///
    /// Returns every endpoint it learned something about with what that is: each one under round robin; else the one that
    /// is now connected, or all that were tried if none is. An error is [`Error::Connect`] about this endpoint alone.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost; attempts that were begun go on.
    pub async fn warm_up(&self) -> Vec<(Endpoint, Result<(), Error>)> {
        let results = match self.pool.policy() {
            PickPolicy::RoundRobin => self.pool.warm_up().await,
            PickPolicy::StickyWithFailover => match self.pool.pick(&[]).await {
                Ok(picked) => vec![(picked.connection.peer().endpoint.clone(), Ok(()))],
                Err(error) => {
                    let failed = error.failures().iter().cloned();
                    failed
                        .map(|failure| (failure.endpoint().clone(), Err(failure)))
                        .collect()
                }
            },
        };
        let error = |failure| Error::from(ConnectError::new(vec![failure]));
        let results = results.into_iter();
        results
            .map(|(endpoint, result)| (endpoint, result.map_err(error)))
            .collect()
    }

    pub(crate) fn assemble(
        pool: Arc<Pool<Establish>>,
        tls: Option<TlsHandle>,
        rules: EndpointRules,
        settings: StackSettings,
    ) -> Self {
        let stack = settings.build(Dispatch::new(Arc::clone(&pool)));
        if let Some(tls) = &tls {
            tls.check_expiry();
            tls.outdates(Arc::downgrade(&pool) as _);
        }
        Self {
            stack,
            pool,
            tls,
            rules,
        }
    }
}

impl EndpointsHandle {
    /// Says whether a channel like this can have these endpoints. Nothing is changed.
    ///
    /// # Errors
    ///
    /// As for [`Channel::set_endpoints`].
    pub fn check(&self, endpoints: impl IntoIterator<Item = Endpoint>) -> Result<(), BuildError> {
        self.rules.checked(endpoints).map(drop)
    }

    /// As [`Channel::set_endpoints`]. Says whether the channel is still there.
    ///
    /// # Errors
    ///
    /// As for [`Channel::set_endpoints`].
    pub fn set(&self, endpoints: impl IntoIterator<Item = Endpoint>) -> Result<bool, BuildError> {
        let endpoints = self.rules.checked(endpoints)?;
        let pool = self.pool.upgrade();
        if let Some(pool) = &pool {
            replace(pool, endpoints);
        }
        Ok(pool.is_some())
    }
}

fn replace(pool: &Pool<Establish>, endpoints: Vec<Endpoint>) {
    let alone = endpoints.len() == 1;
    pool.dial().port_in_authority.store(alone, Ordering::Relaxed);
    pool.set_endpoints(endpoints);
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
            .field("endpoints", &self.endpoints())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for EndpointsHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EndpointsHandle")
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture")
    }
}
