//! How one call is made: whom it is for, how long it may take, and what its failure means.

use std::{future::Future, time::Duration};

use talos_proto::methods::MethodInfo;
use talos_transport::{AnsweredBy, CallTimeout, Channel, Endpoint, Node, NodeName};

use crate::error::{Error, ErrorKind, Origin, Result};

mod failure;
#[cfg(feature = "machine")]
mod reply;
#[cfg(any(feature = "machine", feature = "cosi"))]
mod time;

#[cfg(feature = "machine")]
pub(crate) use reply::single;
#[cfg(any(feature = "machine", feature = "cosi"))]
pub(crate) use time::system_time;

/// Where calls go: a channel, and the node that is to answer.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) channel: Channel,
    pub(crate) node: Option<NodeName>,
    pub(crate) timeout: Duration,
}

/// One call, for its errors.
#[derive(Clone, Debug)]
pub(crate) struct CallInfo {
    method: &'static MethodInfo,
    node: Option<NodeName>,
    endpoint: Option<Endpoint>,
}

impl Target {
    /// Makes a unary call and returns the reply.
    pub(crate) async fn unary<M, R, F>(
        &self,
        method: &'static MethodInfo,
        message: M,
        send: impl FnOnce(tonic::Request<M>) -> F,
    ) -> Result<(R, CallInfo)>
    where
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        let mut request = self.request(message);
        request.extensions_mut().insert(CallTimeout(self.timeout));
        self.finish(method, send(request).await)
    }

    /// Opens a call whose reply is a stream. There is no limit on time: a quiet stream is a healthy one,
    /// and nodes send response headers only with the first message.
    pub(crate) async fn streaming<M, R, F>(
        &self,
        method: &'static MethodInfo,
        message: M,
        send: impl FnOnce(tonic::Request<M>) -> F,
    ) -> Result<(R, CallInfo)>
    where
        F: Future<Output = Result<tonic::Response<R>, tonic::Status>>,
    {
        self.finish(method, send(self.request(message)).await)
    }

    fn request<M>(&self, message: M) -> tonic::Request<M> {
        let mut request = tonic::Request::new(message);
        if let Some(node) = &self.node {
            request.extensions_mut().insert(Node(node.clone()));
        }
        request
    }

    fn finish<R>(
        &self,
        method: &'static MethodInfo,
        outcome: Result<tonic::Response<R>, tonic::Status>,
    ) -> Result<(R, CallInfo)> {
        let mut call = CallInfo {
            method,
            node: self.node.clone(),
            endpoint: None,
        };
        match outcome {
            Ok(response) => {
                call.endpoint = response
                    .extensions()
                    .get::<AnsweredBy>()
                    .map(|by| by.endpoint().clone());
                Ok((response.into_inner(), call))
            }
            Err(status) => Err(call.fail(status)),
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
        }
    }

    /// An error about this call.
    pub(crate) fn error(&self, kind: ErrorKind, origin: Origin) -> Error {
        Error::new(kind, origin)
            .with_method(self.method.path)
            .with_node(self.node.clone())
            .with_endpoint(self.endpoint.clone())
    }

    /// An error about an answer that cannot be understood.
    pub(crate) fn malformed(&self, message: impl Into<String>) -> Error {
        self.error(ErrorKind::Malformed, Origin::Local)
            .with_message(message)
    }
}
