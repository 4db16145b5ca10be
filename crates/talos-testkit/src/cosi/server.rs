//! `cosi.resource.State` without a policy in front of it.

use std::sync::Arc;

use talos_proto::cosi::resource::state_server::State;
use talos_proto::cosi::resource::*;
use tonic::{Request, Response, Status};

use super::state::Held;
use super::{read, watch, write};
use crate::machined::Items;
use crate::node::resources::collection::Collection;

#[derive(Debug, Clone)]
pub(super) struct Server(pub(super) Arc<Held>);

impl Server {
    fn collection(&self, namespace: &str, kind: &str) -> Arc<Collection> {
        self.0.resources.collection(namespace, kind)
    }

    fn knows(&self, method: &str) -> Result<(), Status> {
        if self.0.without_teardown {
            return Err(Status::unimplemented(format!(
                "unknown method {method} for service cosi.resource.State"
            )));
        }
        Ok(())
    }
}

/// Which resource a request is about.
fn identity(namespace: String, kind: String, id: String) -> Metadata {
    Metadata {
        namespace,
        r#type: kind,
        id,
        ..Metadata::default()
    }
}

/// Where a resource that is to be written belongs.
fn place(resource: &Resource) -> (&str, &str) {
    let metadata = resource.metadata.as_ref();
    metadata.map_or(("", ""), |metadata| (&metadata.namespace, &metadata.r#type))
}

#[tonic::async_trait]
impl State for Server {
    type ListStream = Items<ListResponse>;
    type WatchStream = Items<WatchResponse>;

    async fn get(&self, request: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let request = request.into_inner();
        let collection = self.collection(&request.namespace, &request.r#type);
        read::get(&collection, &request).map(Response::new)
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<Self::ListStream>, Status> {
        let request = request.into_inner();
        let collection = self.collection(&request.namespace, &request.r#type);
        read::list(&collection, request.options).map(Response::new)
    }

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let collection = self.collection(&request.namespace, &request.r#type);
        watch::watch(collection, self.0.resources.cookie(), request).map(Response::new)
    }

    async fn create(&self, request: Request<CreateRequest>) -> Result<Response<CreateResponse>, Status> {
        let request = request.into_inner();
        let resource = write::complete(request.resource)?;
        let (namespace, kind) = place(&resource);
        let collection = self.collection(namespace, kind);
        let owner = request.options.unwrap_or_default().owner;
        let created = write::create(&collection, resource, owner)?;
        Ok(Response::new(CreateResponse {
            resource: Some(Arc::unwrap_or_clone(created)),
        }))
    }

    async fn update(&self, request: Request<UpdateRequest>) -> Result<Response<UpdateResponse>, Status> {
        let request = request.into_inner();
        let resource = write::complete(request.new_resource)?;
        let (namespace, kind) = place(&resource);
        let collection = self.collection(namespace, kind);
        let options = request.options.unwrap_or_default();
        let phase = options.expected_phase.as_deref();
        let updated = write::update(&collection, resource, &options.owner, phase)?;
        Ok(Response::new(UpdateResponse {
            resource: Some(Arc::unwrap_or_clone(updated)),
        }))
    }

    async fn destroy(&self, request: Request<DestroyRequest>) -> Result<Response<DestroyResponse>, Status> {
        let request = request.into_inner();
        let collection = self.collection(&request.namespace, &request.r#type);
        let owner = request.options.unwrap_or_default().owner;
        let identity = identity(request.namespace, request.r#type, request.id);
        write::destroy(&collection, &identity, &owner)?;
        Ok(Response::new(DestroyResponse {}))
    }

    async fn teardown(
        &self,
        request: Request<TeardownRequest>,
    ) -> Result<Response<TeardownResponse>, Status> {
        self.knows("Teardown")?;
        let request = request.into_inner();
        let collection = self.collection(&request.namespace, &request.r#type);
        let owner = request.options.unwrap_or_default().owner;
        let identity = identity(request.namespace, request.r#type, request.id);
        let destroy_ready = write::teardown(&collection, &identity, &owner)?;
        Ok(Response::new(TeardownResponse { destroy_ready }))
    }

    async fn teardown_and_destroy(
        &self,
        request: Request<TeardownAndDestroyRequest>,
    ) -> Result<Response<TeardownAndDestroyResponse>, Status> {
        self.knows("TeardownAndDestroy")?;
        let request = request.into_inner();
        let collection = self.collection(&request.namespace, &request.r#type);
        let owner = request.options.unwrap_or_default().owner;
        let identity = identity(request.namespace, request.r#type, request.id);
        write::teardown_and_destroy(&collection, &identity, &owner).await?;
        Ok(Response::new(TeardownAndDestroyResponse {}))
    }
}
