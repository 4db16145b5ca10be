//! The layers of a channel, put together in one place.

use http::{HeaderMap, Request};
use tonic::body::Body;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::dispatch::Dispatch;
use crate::layer::{
    DeadlineLayer, DeadlineService, MetadataLayer, MetadataService, RetryLayer, RetryService, TraceLayer,
    TraceService,
};
use crate::retry::RetryConfig;

/// Outermost first: call span, deadline, metadata and routing, retry with its attempts, connection.
pub(crate) type Stack = TraceService<DeadlineService<MetadataService<RetryService<Dispatch>>>>;

pub(crate) type StackFuture = <Stack as Service<Request<Body>>>::Future;

/// What a stack is made from.
#[derive(Clone, Debug)]
pub(crate) struct StackSettings {
    pub(crate) metadata: HeaderMap,
    pub(crate) retry: RetryConfig,
}

impl StackSettings {
    pub(crate) fn build(self, dispatch: Dispatch) -> Stack {
        let service = RetryLayer::new(self.retry).layer(dispatch);
        let service = MetadataLayer::new(self.metadata).layer(service);
        let service = DeadlineLayer::new().layer(service);
        TraceLayer::new().layer(service)
    }
}
