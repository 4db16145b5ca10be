//! `cosi.resource.State`: reading resources, and refusing to write them.

use std::sync::Arc;

use talos_proto::cosi::resource::{
    CreateRequest, CreateResponse, DestroyRequest, DestroyResponse, GetRequest, GetResponse, ListRequest,
    ListResponse, TeardownAndDestroyRequest, TeardownAndDestroyResponse, TeardownRequest, TeardownResponse,
    UpdateRequest, UpdateResponse, WatchRequest, WatchResponse,
};
use tonic::Status;

use super::{Call, Items};
use crate::cosi;
use crate::machined::policy::not_authorized;
use crate::node::resources::collection::Collection;
use crate::node::resources::types;

/// The collection a caller wants to read, after the access policy: type, sensitivity, namespace, in this
/// order.
fn readable(call: &Call, namespace: &str, kind: &str) -> Result<Arc<Collection>, Status> {
    let tag = call.node.version.lock().tag.clone();
    let Some(found) = types::find(kind, &tag) else {
        return Err(Status::permission_denied(format!(
            "resource type \"{kind}\" is not supported"
        )));
    };
    if found.sensitive && !call.caller.roles.is_admin() {
        return Err(not_authorized());
    }
    if !types::namespace_exists(namespace) {
        return Err(Status::permission_denied(format!(
            "namespace \"{namespace}\" is not supported"
        )));
    }
    // From here on the spelling counts: another one finds nothing.
    let release = types::release_of(&tag);
    Ok(call.node.resources.collection_in(release, namespace, kind))
}

pub(in crate::machined) async fn get(call: Call, request: GetRequest) -> Result<GetResponse, Status> {
    cosi::read::get(&*readable(&call, &request.namespace, &request.r#type)?, &request)
}

pub(in crate::machined) async fn list(
    call: Call,
    request: ListRequest,
) -> Result<Items<ListResponse>, Status> {
    cosi::read::list(
        &*readable(&call, &request.namespace, &request.r#type)?,
        request.options,
    )
}

pub(in crate::machined) async fn watch(
    call: Call,
    request: WatchRequest,
) -> Result<Items<WatchResponse>, Status> {
    let collection = readable(&call, &request.namespace, &request.r#type)?;
    cosi::watch::watch(collection, call.node.resources.cookie(), request)
}

fn refused() -> Status {
    Status::permission_denied("write access is not allowed")
}

/// Parts are looked for before rights.
pub(in crate::machined) async fn create(_: Call, request: CreateRequest) -> Result<CreateResponse, Status> {
    cosi::write::complete(request.resource).and(Err(refused()))
}

/// As [`create`].
pub(in crate::machined) async fn update(_: Call, request: UpdateRequest) -> Result<UpdateResponse, Status> {
    cosi::write::complete(request.new_resource).and(Err(refused()))
}

pub(in crate::machined) async fn destroy(_: Call, _: DestroyRequest) -> Result<DestroyResponse, Status> {
    Err(refused())
}

/// Begins with a read, whose failures come first. A resource that is being torn down already is left alone,
/// which is no write.
pub(in crate::machined) async fn teardown(
    call: Call,
    request: TeardownRequest,
) -> Result<TeardownResponse, Status> {
    let collection = readable(&call, &request.namespace, &request.r#type)?;
    let current = cosi::read::existing(&collection, &request.namespace, &request.r#type, &request.id)?;
    match &current.metadata {
        Some(metadata) if metadata.phase == "tearingDown" => Ok(TeardownResponse {
            destroy_ready: metadata.finalizers.is_empty(),
        }),
        _ => Err(refused()),
    }
}

/// Begins with a read, whose failures come first.
pub(in crate::machined) async fn teardown_and_destroy(
    call: Call,
    request: TeardownAndDestroyRequest,
) -> Result<TeardownAndDestroyResponse, Status> {
    let collection = readable(&call, &request.namespace, &request.r#type)?;
    cosi::read::existing(&collection, &request.namespace, &request.r#type, &request.id)?;
    Err(refused())
}
