//! `machined`: authorizes calls and answers them from the state of its node.

mod adapter;
mod maintenance;
pub(crate) mod policy;
mod rpc;

use std::sync::Arc;

use http::{Request, Response};
use talos_proto::cluster::cluster_service_server::ClusterServiceServer;
use talos_proto::cosi::resource::state_server::StateServer;
use talos_proto::inspect::inspect_service_server::InspectServiceServer;
use talos_proto::machine::debug_service_server::DebugServiceServer;
use talos_proto::machine::image_service_server::ImageServiceServer;
use talos_proto::machine::lifecycle_service_server::LifecycleServiceServer;
use talos_proto::machine::lvm_service_server::LvmServiceServer;
use talos_proto::machine::machine_service_server::MachineServiceServer;
use talos_proto::machine::md_service_server::MdServiceServer;
use talos_proto::methods::{MethodInfo, Release};
use talos_proto::storage::storage_service_server::StorageServiceServer;
use talos_proto::time::time_service_server::TimeServiceServer;
use tonic::Status;
use tonic::body::Body;
use tower_service::Service as _;

use crate::apid::body::{OnEnd, with_first_message};
use crate::apid::frame::MAX_MESSAGE;
use crate::call_log::CallLine;
use crate::node::Node;
use crate::roles::Roles;
use adapter::Handlers;
pub(crate) use rpc::Items;

/// Who calls.
#[derive(Debug, Clone, Default)]
struct Caller {
    roles: Roles,
}

/// The gRPC services of one node.
#[derive(Clone, Debug)]
pub(crate) struct Machined {
    node: Arc<Node>,
    cluster: ClusterServiceServer<Handlers>,
    debug: DebugServiceServer<Handlers>,
    image: ImageServiceServer<Handlers>,
    inspect: InspectServiceServer<Handlers>,
    lifecycle: LifecycleServiceServer<Handlers>,
    lvm: LvmServiceServer<Handlers>,
    machine: MachineServiceServer<Handlers>,
    md: MdServiceServer<Handlers>,
    state: StateServer<Handlers>,
    storage: StorageServiceServer<Handlers>,
    time: TimeServiceServer<Handlers>,
}

/// A generated server around the handlers, with Talos's limit for messages.
macro_rules! server {
    ($server:ident, $handlers:expr) => {
        $server::from_arc(Arc::clone($handlers)).max_decoding_message_size(MAX_MESSAGE)
    };
}

impl Machined {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        let handlers = Arc::new(Handlers {
            node: Arc::clone(&node),
        });
        Self {
            node,
            cluster: server!(ClusterServiceServer, &handlers),
            debug: server!(DebugServiceServer, &handlers),
            image: server!(ImageServiceServer, &handlers),
            inspect: server!(InspectServiceServer, &handlers),
            lifecycle: server!(LifecycleServiceServer, &handlers),
            lvm: server!(LvmServiceServer, &handlers),
            machine: server!(MachineServiceServer, &handlers),
            md: server!(MdServiceServer, &handlers),
            state: server!(StateServer, &handlers),
            storage: server!(StorageServiceServer, &handlers),
            time: server!(TimeServiceServer, &handlers),
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
        let line = CallLine::begin(method, &request);
        let node = Arc::clone(&self.node);
        let end = OnEnd::new(move |status| node.logs.append("machined", &line.finish(&status)));
        let response = self.authorized(method, request).await;
        end.observe(with_first_message(response).await)
    }

    /// Lets a caller with `roles` in.
    fn admit(&self, method: &MethodInfo, roles: &Roles) -> Result<(), Status> {
        let tag = self.node.version.lock().tag.clone();
        if !self.node.in_maintenance() {
            policy::authorize(method, &tag, roles)
        } else if self.node.is_older_than(Release::new(1, 13)) {
            maintenance::admit(method, &tag, roles)
        } else {
            policy::authorize_in_maintenance(method, &tag, roles)
        }
    }

    async fn authorized(&self, method: &'static MethodInfo, mut request: Request<Body>) -> Response<Body> {
        let roles = Roles::from_metadata(request.headers());
        if let Err(status) = self.admit(method, &roles) {
            return status.into_http();
        }
        request.extensions_mut().insert(Caller { roles });
        let served = match method.service {
            "machine.MachineService" => self.machine.clone().call(request).await,
            "machine.DebugService" => self.debug.clone().call(request).await,
            "machine.ImageService" => self.image.clone().call(request).await,
            "machine.LifecycleService" => self.lifecycle.clone().call(request).await,
            "machine.LVMService" => self.lvm.clone().call(request).await,
            "machine.MDService" => self.md.clone().call(request).await,
            "cluster.ClusterService" => self.cluster.clone().call(request).await,
            "inspect.InspectService" => self.inspect.clone().call(request).await,
            "storage.StorageService" => self.storage.clone().call(request).await,
            "time.TimeService" => self.time.clone().call(request).await,
            "cosi.resource.State" => self.state.clone().call(request).await,
            _ => Ok(rpc::not_simulated(method.name).into_http()),
        };
        match served {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}
