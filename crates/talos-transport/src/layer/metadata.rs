//! Metadata every call carries, and the routing of a call to a [`Node`].

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{HeaderMap, HeaderName, Request};
use tower_layer::Layer;
use tower_service::Service;

use crate::node::Node;

/// Puts [`MetadataService`] around a service.
#[derive(Debug, Clone)]
pub struct MetadataLayer {
    common: Arc<HeaderMap>,
}

/// Adds metadata common to all calls, and turns the [`Node`] of a call into its `node` metadata.
///
/// Metadata the call already has under the same name stays as it is. With a [`Node`] the request has exactly one `node` and
/// neither `nodes`, which a Talos endpoint would prefer, nor `proxyfrom`, which would keep it from forwarding the call.
/// Without one, `node` and `nodes` written by hand pass; `proxyfrom` never does, since only Talos itself may send it.
#[derive(Debug, Clone)]
pub struct MetadataService<S> {
    inner: S,
    common: Arc<HeaderMap>,
}

impl MetadataLayer {
    /// Adds these headers to every call.
    pub fn new(common: HeaderMap) -> Self {
        Self {
            common: Arc::new(common),
        }
    }
}

impl<S> MetadataService<S> {
    /// The service inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S> Layer<S> for MetadataLayer {
    type Service = MetadataService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        MetadataService {
            inner,
            common: Arc::clone(&self.common),
        }
    }
}

impl<S, B> Service<Request<B>> for MetadataService<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let node = request
            .extensions()
            .get()
            .map(|Node(name)| name.to_header_value());
        let headers = request.headers_mut();
        headers.remove(PROXY_FROM);
        if let Some(node) = node {
            headers.remove(NODES);
            headers.insert(NODE, node);
        }
        for name in self.common.keys() {
            if !headers.contains_key(name) {
                for value in self.common.get_all(name) {
                    headers.append(name, value.clone());
                }
            }
        }
        self.inner.call(request)
    }
}

/// The one machine that is to answer.
pub(crate) const NODE: HeaderName = HeaderName::from_static("node");
/// Several machines, whose answers the endpoint merges; deprecated by Talos.
pub(crate) const NODES: HeaderName = HeaderName::from_static("nodes");
/// Set by an endpoint on calls it forwards.
pub(crate) const PROXY_FROM: HeaderName = HeaderName::from_static("proxyfrom");
