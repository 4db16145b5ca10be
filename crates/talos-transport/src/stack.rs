//! The layers of a channel, put together in one place.

use http::{HeaderMap, Request};
use tonic::body::Body;
use tower_layer::Layer as _;
use tower_service::Service;

use crate::dispatch::Dispatch;
use crate::layer::{
    AnySigner, DeadlineLayer, DeadlineService, Layered, MetadataLayer, MetadataService, RetryLayer,
    RetryService, SignLayer, SignService, TraceLayer, TraceService, UserLayers,
};
use crate::retry::RetryConfig;

/// Outermost first: call span and metrics, the user's layers around calls, deadline, metadata and routing, retry with its
/// attempts, the user's layers around attempts, signature, connection.
pub(crate) type Stack =
    TraceService<Layered<DeadlineService<MetadataService<RetryService<Layered<SignService<Dispatch>>>>>>>;

pub(crate) type StackFuture = <Stack as Service<Request<Body>>>::Future;

/// What a stack is made from.
#[derive(Clone, Debug)]
pub(crate) struct StackSettings {
    pub(crate) metadata: HeaderMap,
    pub(crate) retry: RetryConfig,
    pub(crate) call_layers: UserLayers,
    pub(crate) attempt_layers: UserLayers,
    pub(crate) signer: Option<AnySigner>,
}

impl StackSettings {
    pub(crate) fn build(self, dispatch: Dispatch) -> Stack {
        let service = SignLayer::from_option(self.signer).layer(dispatch);
        let service = self.attempt_layers.wrap(service);
        let service = RetryLayer::new(self.retry).layer(service);
        let service = MetadataLayer::new(self.metadata).layer(service);
        let service = DeadlineLayer::new().layer(service);
        TraceLayer::new().layer(self.call_layers.wrap(service))
    }
}
