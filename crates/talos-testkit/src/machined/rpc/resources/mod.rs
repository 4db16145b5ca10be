//! `cosi.resource.State`: reading resources, and refusing to write them.

pub(in crate::machined) mod filter;
pub(in crate::machined) mod read;
pub(in crate::machined) mod watch;
pub(in crate::machined) mod write;

use std::sync::Arc;

use talos_proto::cosi::resource::Resource;
use tonic::Status;

use super::{Call, not_simulated};
use crate::machined::policy::not_authorized;
use crate::node::resources::collection::Collection;
use crate::node::resources::{specs, types};

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
    if !specs::is_kept(found.name) {
        return Err(not_simulated(found.name));
    }
    // From here on the spelling counts: another one finds nothing.
    Ok(call.node.resources.collection(namespace, kind))
}

/// Reads one resource, after the access policy.
fn existing(call: &Call, namespace: &str, kind: &str, id: &str) -> Result<Arc<Resource>, Status> {
    readable(call, namespace, kind)?.get(id).ok_or_else(|| {
        Status::not_found(format!(
            "resource {kind}({namespace}/{id}@undefined) doesn't exist"
        ))
    })
}
