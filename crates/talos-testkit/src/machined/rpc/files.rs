//! Files of a node.

use futures_util::stream;
use talos_proto::common::Data;
use talos_proto::machine::ReadRequest;
use tonic::Status;

use super::{Call, Items, data};
use crate::node::files::Found;
use crate::node::logs::CHUNK;

pub(in crate::machined) async fn read(call: Call, request: ReadRequest) -> Result<Items<Data>, Status> {
    let contents = match call.node.files.find(&request.path) {
        Found::Missing => {
            return Err(Status::not_found(format!(
                "stat {}: no such file or directory",
                request.path
            )));
        }
        Found::Directory => return Err(Status::unknown("path must be a regular file")),
        Found::Regular(contents) => call.node.file_contents(contents),
    };
    Ok(data(stream::unfold(contents, |mut rest| async move {
        (!rest.is_empty()).then(|| (rest.split_to(rest.len().min(CHUNK)), rest))
    })))
}
