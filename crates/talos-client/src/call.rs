//! How one call is made: whom it is for, how long it may take, and what its failure means.

use std::{future::Future, sync::Arc, time::Duration};

use talos_proto::methods::MethodInfo;
use talos_transport::{AnsweredBy, Attempts, Channel, Endpoint, Node, NodeName};

use crate::error::{Error, ErrorKind, Origin, Result};

mod failure;
mod options;
#[cfg(feature = "machine")]
mod reattach;
mod releases;
#[cfg(any(
    feature = "cluster",
    feature = "inspect",
    feature = "machine",
    feature = "storage",
    feature = "time"
))]
mod reply;
mod request;
mod time;
#[cfg(any(
    feature = "cluster",
    feature = "inspect",
    feature = "machine",
    feature = "storage",
    feature = "time"
))]
mod unary;

pub(crate) use options::Kind;
pub use options::{CallOptions, Timeouts};
#[cfg(feature = "machine")]
pub(crate) use reattach::Reattach;
pub(crate) use releases::{Facts, Releases};
#[cfg(feature = "machine")]
pub(crate) use reply::{Reply, single, split};
pub(crate) use request::request;
pub(crate) use time::system_time;

/// Where calls go: a channel, and who is to answer.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) channel: Channel,
    pub(crate) route: Route,
    pub(crate) timeouts: Arc<Timeouts>,
    pub(crate) options: CallOptions,
    pub(crate) releases: Releases,
}

/// Who is to answer.
#[derive(Clone, Debug)]
pub(crate) enum Route {
    /// Whichever endpoint is asked.
    Any,
    /// This node, by its metadata `node`.
    Node(NodeName),
    /// The machine that is dialled, which answers to no other name: in maintenance mode and on the sockets of a node,
    /// `node` would be ignored.
    Dialled(NodeName),
    /// All of these, by the metadata `nodes`.
    Aggregate(Arc<[NodeName]>),
}

/// One call, for its errors.
#[derive(Clone, Debug)]
pub(crate) struct CallInfo {
    method: &'static MethodInfo,
    node: Option<NodeName>,
    endpoint: Option<Endpoint>,
    attempts: Attempts,
}

impl Target {
    /// What is behind a channel that leads to one server only.
    pub(crate) fn of_channel(channel: Channel, timeouts: Arc<Timeouts>) -> Self {
        Self {
            channel,
            route: Route::Any,
            timeouts,
            options: CallOptions::new(),
            releases: Releases::default(),
        }
    }

    /// The same, with these options for what they set.
    pub(crate) fn with_options(mut self, options: CallOptions) -> Self {
        self.options = options.or(&self.options);
        self
    }

    /// Makes a call, with the limits on time and silence that suit the RPC. The reply may be a message or a
    /// stream; nodes send the response headers of a stream only with its first message.
    pub(crate) async fn call<M, R, F>(
        &self,
        method: &'static MethodInfo,
        message: M,
        send: impl FnOnce(tonic::Request<M>) -> F,
    ) -> Result<(R, CallInfo)>
    where
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        self.call_as(Kind::of(method), method, message, send).await
    }

    /// Makes a call of one of the services whose replies do not wrap anything, `Empty` included.
    pub(crate) async fn plain<M, R, F>(
        &self,
        method: &'static MethodInfo,
        message: M,
        send: impl FnOnce(tonic::Request<M>) -> F,
    ) -> Result<R>
    where
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        self.call(method, message, send).await.map(|(reply, _)| reply)
    }

    /// Makes a call that is of this kind, whatever others of the same RPC are.
    pub(crate) async fn call_as<M, R, F>(
        &self,
        kind: Kind,
        method: &'static MethodInfo,
        message: M,
        send: impl FnOnce(tonic::Request<M>) -> F,
    ) -> Result<(R, CallInfo)>
    where
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let mut call = CallInfo {
            method,
            node: self.route.node().cloned(),
            endpoint: None,
            attempts: Attempts::new(),
        };
        let mut request = tonic::Request::new(message);
        match &self.route {
            Route::Any | Route::Dialled(_) => {}
            Route::Node(node) => {
                request.extensions_mut().insert(Node(node.clone()));
            }
            Route::Aggregate(nodes) => {
                for value in nodes.iter().filter_map(|node| node.as_str().parse().ok()) {
                    request.metadata_mut().append("nodes", value);
                }
            }
        }
        let extensions = request.extensions_mut();
        extensions.insert(call.attempts.clone());
        self.options.apply(&self.timeouts, kind, method, extensions);
        match send(request).await {
            Ok(response) => {
                call.endpoint = response
                    .extensions()
                    .get::<AnsweredBy>()
                    .map(|by| by.endpoint().clone());
                self.note_success(method);
                Ok((response.into_inner(), call))
            }
            Err(status) => Err(self.note_failure(method, call.fail(status))),
        }
    }
}

/// Checks of what the caller gave, before anything is dialled.
impl Target {
    /// An error about a value that cannot be sent.
    pub(crate) fn invalid_input(&self, method: &'static MethodInfo, message: impl Into<String>) -> Error {
        Error::new(ErrorKind::InvalidInput, Origin::Local)
            .with_method(method.path)
            .with_node(self.route.node().cloned())
            .with_message(message)
    }

    /// Text that must be there.
    pub(crate) fn require(&self, method: &'static MethodInfo, what: &str, value: &str) -> Result<()> {
        if value.trim().is_empty() {
            return Err(self.invalid_input(method, format!("{what} is empty")));
        }
        Ok(())
    }

    /// A time that must not be zero, for the wire.
    pub(crate) fn positive(
        &self,
        method: &'static MethodInfo,
        what: &str,
        value: Duration,
    ) -> Result<prost_types::Duration> {
        if value.is_zero() {
            return Err(self.invalid_input(method, format!("{what} is zero")));
        }
        value
            .try_into()
            .map_err(|_| self.invalid_input(method, format!("{what} is too long")))
    }
}

impl Route {
    /// The one machine, if it is one.
    pub(crate) fn node(&self) -> Option<&NodeName> {
        match self {
            Self::Node(node) | Self::Dialled(node) => Some(node),
            Self::Any | Self::Aggregate(_) => None,
        }
    }
}

impl CallInfo {
    #[cfg(test)]
    pub(crate) fn for_tests(method: &'static MethodInfo) -> Self {
        Self {
            method,
            node: None,
            endpoint: None,
            attempts: Attempts::new(),
        }
    }

    /// An error about this call.
    pub(crate) fn error(&self, kind: ErrorKind, origin: Origin) -> Error {
        Error::new(kind, origin)
            .with_method(self.method.path)
            .with_node(self.node.clone())
            .with_endpoint(self.endpoint.clone())
            .with_attempts(self.attempts.count())
    }

    /// An error about an answer that cannot be understood.
    pub(crate) fn malformed(&self, message: impl Into<String>) -> Error {
        self.error(ErrorKind::Malformed, Origin::Local)
            .with_message(message)
    }
}
