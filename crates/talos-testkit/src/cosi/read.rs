//! `Get` and `List`.

use std::sync::Arc;

use futures_util::stream;
use talos_proto::cosi::resource::{GetRequest, GetResponse, ListOptions, ListResponse, Resource};
use tonic::Status;

use super::filter::Filter;
use crate::machined::Items;
use crate::node::resources::collection::Collection;

/// The resource, or the error of one that does not exist.
pub(crate) fn existing(
    collection: &Collection,
    namespace: &str,
    kind: &str,
    id: &str,
) -> Result<Arc<Resource>, Status> {
    collection.get(id).ok_or_else(|| {
        Status::not_found(format!(
            "resource {kind}({namespace}/{id}@undefined) doesn't exist"
        ))
    })
}

pub(crate) fn get(collection: &Collection, request: &GetRequest) -> Result<GetResponse, Status> {
    let resource = existing(collection, &request.namespace, &request.r#type, &request.id)?;
    Ok(GetResponse {
        resource: Some(Arc::unwrap_or_clone(resource)),
    })
}

/// One resource per message, sorted by id.
pub(crate) fn list(
    collection: &Collection,
    options: Option<ListOptions>,
) -> Result<Items<ListResponse>, Status> {
    let options = options.unwrap_or_default();
    let filter = Filter::new(options.label_query, options.id_query.as_ref())?;
    let found = collection.snapshot().resources.into_iter();
    // Copies are made one by one, as the reader asks for them.
    let found = found
        .filter(move |resource| filter.matches(resource))
        .map(|resource| {
            Ok(ListResponse {
                resource: Some(Arc::unwrap_or_clone(resource)),
            })
        });
    Ok(Box::pin(stream::iter(found)))
}
