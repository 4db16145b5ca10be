//! Values in the META partition.

use talos_proto::machine::{
    MetaDelete, MetaDeleteRequest, MetaDeleteResponse, MetaWrite, MetaWriteRequest, MetaWriteResponse,
};
use tonic::Status;

use super::Call;

fn tag(key: u32) -> Result<u8, Status> {
    u8::try_from(key).map_err(|_| Status::invalid_argument("key must be a uint8"))
}

pub(in crate::machined) async fn write(
    call: Call,
    request: MetaWriteRequest,
) -> Result<MetaWriteResponse, Status> {
    call.not_in_container()?;
    let tag = tag(request.key)?;
    let written = call.node.write_meta(tag, request.value);
    written.map_err(|_| Status::resource_exhausted("meta write failed"))?;
    Ok(MetaWriteResponse {
        messages: vec![MetaWrite { metadata: None }],
    })
}

pub(in crate::machined) async fn delete(
    call: Call,
    request: MetaDeleteRequest,
) -> Result<MetaDeleteResponse, Status> {
    call.not_in_container()?;
    if !call.node.delete_meta(tag(request.key)?) {
        return Err(Status::not_found("meta key not found"));
    }
    Ok(MetaDeleteResponse {
        messages: vec![MetaDelete { metadata: None }],
    })
}
