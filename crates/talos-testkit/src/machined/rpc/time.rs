//! The clock of a node.

use talos_proto::time::{Time, TimeRequest, TimeResponse};
use tonic::Status;

use super::Call;
use crate::clock::Moment;

pub(in crate::machined) async fn time(call: Call, _: ()) -> Result<TimeResponse, Status> {
    let server = call.node.clock.server();
    query(&call, server)
}

pub(in crate::machined) async fn time_check(
    call: Call,
    request: TimeRequest,
) -> Result<TimeResponse, Status> {
    if request.server.is_empty() {
        return Err(Status::invalid_argument("ntp server is required"));
    }
    query(&call, request.server)
}

fn query(call: &Call, server: String) -> Result<TimeResponse, Status> {
    let offset = call.node.clock.offset_nanos().map_err(|error| {
        Status::unknown(format!(
            "error querying NTP server {}: {error}",
            crate::text::go_quoted(&server)
        ))
    })?;
    let local = Moment::now();
    let message = Time {
        metadata: None,
        server,
        localtime: Some(local.to_proto()),
        remotetime: Some(local.shifted_nanos(offset).to_proto()),
    };
    Ok(TimeResponse {
        messages: vec![message],
    })
}
