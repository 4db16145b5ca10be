//! `Create`, `Update`, `Teardown` and `Destroy`, with their conflicts.

use std::sync::Arc;

use talos_proto::cosi::resource::{Metadata, Resource};
use tonic::Status;

use super::name_of;
use crate::node::resources::collection::Collection;

/// Phase of a resource that is there to stay.
const RUNNING: &str = "running";
const TEARING_DOWN: &str = "tearingDown";

/// The parts that every resource to be written has.
pub(crate) fn complete(resource: Option<Resource>) -> Result<Resource, Status> {
    match resource {
        Some(Resource { metadata: None, .. }) | None => Err(Status::unknown("metadata is missing")),
        Some(Resource { spec: None, .. }) => Err(Status::unknown("spec is missing")),
        Some(resource) => Ok(resource),
    }
}

pub(crate) fn create(
    collection: &Collection,
    mut resource: Resource,
    owner: String,
) -> Result<Arc<Resource>, Status> {
    let mut metadata = resource.metadata.take().unwrap_or_default();
    let id = metadata.id.clone();
    written(collection.edit(&id, |old| {
        if let Some(old) = old {
            let name = name_of(&metadata_of(old));
            return Err(Status::already_exists(format!("resource {name} already exists")));
        }
        if !owner.is_empty() {
            metadata.owner = owner;
        }
        if metadata.phase.is_empty() {
            RUNNING.clone_into(&mut metadata.phase);
        }
        Ok(Some(Resource {
            metadata: Some(metadata),
            ..resource
        }))
    }))
}

pub(crate) fn update(
    collection: &Collection,
    mut resource: Resource,
    owner: &str,
    expected_phase: Option<&str>,
) -> Result<Arc<Resource>, Status> {
    let mut metadata = resource.metadata.take().unwrap_or_default();
    let id = metadata.id.clone();
    written(collection.edit(&id, |old| {
        let current = metadata_of(old.ok_or_else(|| missing(&metadata))?);
        owned_by(&current, owner)?;
        if current.version != metadata.version {
            return Err(Status::failed_precondition(format!(
                "resource {} update conflict: expected version \"{}\", actual version \"{}\"",
                name_of(&current),
                metadata.version,
                current.version
            )));
        }
        if expected_phase.is_some_and(|phase| phase != current.phase) {
            let name = name_of(&current);
            return Err(Status::invalid_argument(format!(
                "resource {name} is not in phase {}",
                expected_phase.unwrap_or_default()
            )));
        }
        metadata.owner = current.owner;
        if metadata.phase.is_empty() {
            metadata.phase = current.phase;
        }
        Ok(Some(Resource {
            metadata: Some(metadata),
            ..resource
        }))
    }))
}

/// Moves the resource to the phase `tearingDown`, and says whether nothing keeps it from being destroyed.
/// Writes nothing if it is there already.
pub(crate) fn teardown(collection: &Collection, identity: &Metadata, owner: &str) -> Result<bool, Status> {
    let current = collection.get(&identity.id).ok_or_else(|| missing(identity))?;
    if metadata_of(&current).phase == TEARING_DOWN {
        return Ok(metadata_of(&current).finalizers.is_empty());
    }
    let torn = written(collection.edit(&identity.id, |old| {
        let old = old.ok_or_else(|| missing(identity))?;
        let mut metadata = metadata_of(old);
        owned_by(&metadata, owner)?;
        TEARING_DOWN.clone_into(&mut metadata.phase);
        Ok(Some(Resource {
            metadata: Some(metadata),
            spec: old.spec.clone(),
        }))
    }))?;
    Ok(metadata_of(&torn).finalizers.is_empty())
}

pub(crate) fn destroy(collection: &Collection, identity: &Metadata, owner: &str) -> Result<(), Status> {
    let destroyed = collection.edit(&identity.id, |old| {
        let current = metadata_of(old.ok_or_else(|| missing(identity))?);
        owned_by(&current, owner)?;
        if current.finalizers.is_empty() {
            return Ok(None);
        }
        Err(Status::failed_precondition(format!(
            "resource {} has pending finalizers {}",
            name_of(&current),
            current.finalizers.join(", ")
        )))
    });
    destroyed.map(drop)
}

/// As [`teardown`] and [`destroy`], with a wait in between until the last finalizer is gone.
pub(crate) async fn teardown_and_destroy(
    collection: &Collection,
    identity: &Metadata,
    owner: &str,
) -> Result<(), Status> {
    let mut changes = collection.changes();
    teardown(collection, identity, owner)?;
    loop {
        changes.mark_unchanged();
        match collection.get(&identity.id) {
            // Somebody else was faster.
            None => return Ok(()),
            Some(current) if metadata_of(&current).finalizers.is_empty() => {
                return destroy(collection, identity, owner);
            }
            Some(_) if changes.changed().await.is_err() => {
                return Err(Status::unavailable("the resources are gone"));
            }
            Some(_) => {}
        }
    }
}

fn written(edited: Result<Option<Arc<Resource>>, Status>) -> Result<Arc<Resource>, Status> {
    edited?.ok_or_else(|| Status::internal("the resource is gone"))
}

fn metadata_of(resource: &Arc<Resource>) -> Metadata {
    resource.metadata.clone().unwrap_or_default()
}

fn missing(metadata: &Metadata) -> Status {
    let unknown = Metadata {
        version: "undefined".to_owned(),
        ..metadata.clone()
    };
    Status::not_found(format!("resource {} doesn't exist", name_of(&unknown)))
}

fn owned_by(current: &Metadata, owner: &str) -> Result<(), Status> {
    if current.owner == owner {
        return Ok(());
    }
    let name = name_of(current);
    Err(Status::permission_denied(format!(
        "resource {name} is owned by \"{}\"",
        current.owner
    )))
}
