//! The layers of a channel, put together in one place.

use http::{HeaderMap, Request};
use tonic::body::Body;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::dispatch::Dispatch;
use crate::layer::{
    DeadlineLayer, DeadlineService, Layered, MetadataLayer, MetadataService, RetryLayer, RetryService,
    TraceLayer, TraceService, UserLayers,
};
use crate::retry::RetryConfig;

/// Outermost first: call span and metrics, the user's layers around calls, deadline, metadata and routing, retry with its
/// attempts, the user's layers around attempts, connection.
pub(crate) type Stack =
    TraceService<Layered<DeadlineService<MetadataService<RetryService<Layered<Dispatch>>>>>>;

pub(crate) type StackFuture = <Stack as Service<Request<Body>>>::Future;

/// What a stack is made from.
#[derive(Clone, Debug)]
pub(crate) struct StackSettings {
    pub(crate) metadata: HeaderMap,
    pub(crate) retry: RetryConfig,
    pub(crate) call_layers: UserLayers,
    pub(crate) attempt_layers: UserLayers,
}

impl StackSettings {
    pub(crate) fn build(self, dispatch: Dispatch) -> Stack {
        let service = self.attempt_layers.wrap(dispatch);
        let service = RetryLayer::new(self.retry).layer(service);
        let service = MetadataLayer::new(self.metadata).layer(service);
        let service = DeadlineLayer::new().layer(service);
        TraceLayer::new().layer(self.call_layers.wrap(service))
    }
}
