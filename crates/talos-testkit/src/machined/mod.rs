//! `machined`: authorizes calls and answers them from the state of its node.

mod adapter;
mod maintenance;
mod policy;
mod rpc;

use std::sync::Arc;

use http::{Request, Response};
use talos_proto::cosi::resource::state_server::StateServer;
use talos_proto::machine::lifecycle_service_server::LifecycleServiceServer;
use talos_proto::machine::machine_service_server::MachineServiceServer;
use talos_proto::methods::{MethodInfo, Release};
use tonic::body::Body;
use tower_service::Service as _;

use crate::apid::body::{OnEnd, with_first_message};
use crate::apid::frame::MAX_MESSAGE;
use crate::call_log::CallLine;
use crate::node::Node;
use crate::roles::Roles;
use adapter::Handlers;
pub(crate) use rpc::Items;

/// Who calls what.
#[derive(Debug, Clone, Default)]
struct Caller {
    roles: Roles,
    method: &'static str,
}

/// The gRPC services of one node.
#[derive(Clone, Debug)]
pub(crate) struct Machined {
    node: Arc<Node>,
    lifecycle: LifecycleServiceServer<Handlers>,
    machine: MachineServiceServer<Handlers>,
    state: StateServer<Handlers>,
}

impl Machined {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let handlers = Arc::new(Handlers {
            node: Arc::clone(&node),
        });
        Self {
            node,
            lifecycle: LifecycleServiceServer::from_arc(Arc::clone(&handlers))
                .max_decoding_message_size(MAX_MESSAGE),
            machine: MachineServiceServer::from_arc(Arc::clone(&handlers))
                .max_decoding_message_size(MAX_MESSAGE),
            state: StateServer::from_arc(handlers).max_decoding_message_size(MAX_MESSAGE),
        }
    }

    /// Serves one call whose effective roles are in its `talos-role` metadata.
    pub(crate) async fn call(&self, request: Request<Body>) -> Response<Body> {
        let path = request.uri().path();
        let method = match policy::find(path, &self.node.version.lock().tag) {
            Ok(method) => method,
            // grpc-go answers these itself, before any interceptor: neither roles nor logs see them.
            Err(status) => return status.into_http(),
        };
        if self.node.in_maintenance() && self.node.release() < Release::new(1, 13) {
            let roles = Roles::from_metadata(request.headers());
            if let Err(status) = maintenance::before_1_13(method, &roles) {
                return status.into_http();
            }
        }
        let line = CallLine::begin(method, &request);
        let node = Arc::clone(&self.node);
        let end = OnEnd::new(move |status| node.logs.append("machined", &line.finish(&status)));
        let response = self.authorized(method, request).await;
        end.observe(with_first_message(response).await)
    }

    async fn authorized(&self, method: &'static MethodInfo, mut request: Request<Body>) -> Response<Body> {
        let roles = Roles::from_metadata(request.headers());
        if let Err(status) = policy::authorize(method, &roles, self.node.in_maintenance()) {
            return status.into_http();
        }
        request.extensions_mut().insert(Caller {
            roles,
            method: method.name,
        });
        let served = match method.service {
            "machine.LifecycleService" => self.lifecycle.clone().call(request).await,
            "machine.MachineService" => self.machine.clone().call(request).await,
            "cosi.resource.State" => self.state.clone().call(request).await,
            _ => Ok(rpc::not_simulated(method.name).into_http()),
        };
        match served {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
