//! Writes, all of which Talos refuses.

use talos_proto::cosi::resource::{
    CreateRequest, CreateResponse, DestroyRequest, DestroyResponse, Resource, TeardownAndDestroyRequest,
    TeardownAndDestroyResponse, TeardownRequest, TeardownResponse, UpdateRequest, UpdateResponse,
};
use tonic::Status;

use super::existing;
use crate::machined::rpc::Call;

fn refused() -> Status {
    Status::permission_denied("write access is not allowed")
}

/// Parts are looked for before rights.
fn refused_if_complete(resource: Option<Resource>) -> Status {
    match resource {
        Some(Resource { metadata: None, .. }) | None => Status::unknown("metadata is missing"),
        Some(Resource { spec: None, .. }) => Status::unknown("spec is missing"),
        Some(_) => refused(),
    }
}

pub(in crate::machined) async fn create(_: Call, request: CreateRequest) -> Result<CreateResponse, Status> {
    Err(refused_if_complete(request.resource))
}

pub(in crate::machined) async fn update(_: Call, request: UpdateRequest) -> Result<UpdateResponse, Status> {
    Err(refused_if_complete(request.new_resource))
}

pub(in crate::machined) async fn destroy(_: Call, _: DestroyRequest) -> Result<DestroyResponse, Status> {
    Err(refused())
}

/// Begins with a read, whose failures come first.
pub(in crate::machined) async fn teardown(
    call: Call,
    request: TeardownRequest,
) -> Result<TeardownResponse, Status> {
    existing(&call, &request.namespace, &request.r#type, &request.id)?;
    Err(refused())
}

/// As [`teardown`].
pub(in crate::machined) async fn teardown_and_destroy(
    call: Call,
    request: TeardownAndDestroyRequest,
) -> Result<TeardownAndDestroyResponse, Status> {
    existing(&call, &request.namespace, &request.r#type, &request.id)?;
    Err(refused())
}
