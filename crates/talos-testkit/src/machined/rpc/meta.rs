//! Values in the META partition.

use talos_proto::machine::{
    MetaDelete, MetaDeleteRequest, MetaDeleteResponse, MetaWrite, MetaWriteRequest, MetaWriteResponse,
};
use tonic::Status;

use super::Call;

fn key(call: &Call, key: u32) -> Result<u8, Status> {
    call.not_in_container()?;
    u8::try_from(key).map_err(|_| Status::invalid_argument("key must be a uint8"))
}

pub(in crate::machined) async fn write(
    call: Call,
    request: MetaWriteRequest,
) -> Result<MetaWriteResponse, Status> {
    let key = key(&call, request.key)?;
    let written = call.node.write_meta(key, request.value.to_vec());
    written.map_err(|_| Status::resource_exhausted("meta write failed"))?;
    Ok(MetaWriteResponse {
        messages: vec![MetaWrite { metadata: None }],
    })
}

pub(in crate::machined) async fn delete(
    call: Call,
    request: MetaDeleteRequest,
) -> Result<MetaDeleteResponse, Status> {
    let key = key(&call, request.key)?;
    if !call.node.delete_meta(key) {
        return Err(Status::not_found("meta key not found"));
    }
    Ok(MetaDeleteResponse {
        messages: vec![MetaDelete { metadata: None }],
    })
}
