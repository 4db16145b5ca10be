//! What is told about calls and attempts, from their beginning to the end of their bodies.

use http::Request;
use tonic::Code;
use tracing::field::{Empty, display};
use tracing::{Span, debug_span, info_span};

use crate::Endpoint;
use crate::node::Node;
use crate::retry::Attempt;

/// A call or an attempt under way. When it is dropped without having ended, it was given up.
#[derive(Debug)]
pub(crate) struct Observed {
    span: Span,
    #[cfg(feature = "metrics")]
    meter: crate::metrics::Meter,
    ended: bool,
}

impl Observed {
    pub(crate) fn call<B>(request: &Request<B>) -> Self {
        let (service, method) = names(request);
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
        Self {
            span,
            #[cfg(feature = "metrics")]
            meter: crate::metrics::Meter::call(service, method),
            ended: false,
        }
    }

    pub(crate) fn attempt<B>(request: &Request<B>, attempt: Attempt) -> Self {
        let (service, method) = names(request);
        let span = debug_span!(
            "attempt",
            rpc.system = "grpc",
            rpc.service = service,
            rpc.method = method,
            rpc.grpc.status_code = Empty,
            server.address = Empty,
            talos.node = Empty,
            attempt = attempt.number(),
        );
        if let Some(Node(name)) = request.extensions().get() {
            span.record("talos.node", name.as_str());
        }
        Self {
            span,
            #[cfg(feature = "metrics")]
            meter: crate::metrics::Meter::attempt(service, method),
            ended: false,
        }
    }

    pub(crate) fn span(&self) -> &Span {
        &self.span
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn meter(&self) -> &crate::metrics::Meter {
        &self.meter
    }

    pub(crate) fn server(&self, endpoint: &Endpoint) {
        if !self.span.is_disabled() {
            self.span.record("server.address", display(endpoint));
        }
    }

    /// Part of the response has come, of this many bytes.
    pub(crate) fn received(&self, bytes: usize) {
        #[cfg(feature = "metrics")]
        self.meter.received(bytes);
        #[cfg(not(feature = "metrics"))]
        let _ = bytes;
    }

    pub(crate) fn end(mut self, code: Code) {
        self.record(code);
    }

    fn record(&mut self, code: Code) {
        self.ended = true;
        if !self.span.is_disabled() {
            self.span.record("rpc.grpc.status_code", code as i32);
        }
        #[cfg(feature = "metrics")]
        self.meter.end(code);
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        if !self.ended {
            self.record(Code::Cancelled);
        }
    }
}

fn names<B>(request: &Request<B>) -> (&str, &str) {
    let path = request.uri().path();
    path.strip_prefix('/')
        .unwrap_or(path)
        .rsplit_once('/')
        .unwrap_or(("", path))
}
