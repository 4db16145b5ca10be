//! `Get` and `List`.

use std::sync::Arc;

use futures_util::stream;
use talos_proto::cosi::resource::{GetRequest, GetResponse, ListRequest, ListResponse};
use tonic::Status;

use super::filter::Filter;
use super::{existing, readable};
use crate::machined::rpc::{Call, Items};

pub(in crate::machined) async fn get(call: Call, request: GetRequest) -> Result<GetResponse, Status> {
    let resource = existing(&call, &request.namespace, &request.r#type, &request.id)?;
    Ok(GetResponse {
        resource: Some(Arc::unwrap_or_clone(resource)),
    })
}

/// One resource per message, sorted by id.
pub(in crate::machined) async fn list(
    call: Call,
    request: ListRequest,
) -> Result<Items<ListResponse>, Status> {
    let collection = readable(&call, &request.namespace, &request.r#type)?;
    let options = request.options.unwrap_or_default();
    let filter = Filter::new(options.label_query, options.id_query.as_ref())?;
    let found: Vec<_> = collection
        .snapshot()
        .resources
        .into_iter()
        .filter(|resource| filter.matches(resource))
        .map(|resource| {
            Ok(ListResponse {
                resource: Some(Arc::unwrap_or_clone(resource)),
            })
        })
        .collect();
    Ok(Box::pin(stream::iter(found)))
}
