//! Resources of any server of the same API, reads and writes.

mod conflict;
mod new;
mod teardown;

use talos_proto::{
    cosi::resource::{
        CreateOptions, CreateRequest, Metadata as WireMetadata, Resource as WireResource, Spec,
        UpdateOptions, UpdateRequest,
    },
    methods::cosi::resource::state as methods,
};

pub use self::{conflict::Conflict, new::NewResource};
use super::{DynamicObject, ListRequest, Metadata, Place, RawSpec, WatchRequest, object};
use crate::{Client, call::Target, error::Result};

/// Resources of one type on a server that may allow writes; made by [`Client::state`].
///
/// No node is named: the server that is dialled answers. Talos answers every write with
/// [`Conflict::WritesNotAllowed`].
///
/// ```no_run
/// # async fn example(client: talos_client::Client) -> talos_client::Result<()> {
/// use talos_client::resource::NewResource;
///
/// let widgets = client.state("default", "Widgets.example.org").owner("me");
/// let made = widgets.create(NewResource::new("one").yaml("size: 1\n")).await?;
/// widgets.update_with("one", |widget| widget.spec.yaml = "size: 2\n".to_owned()).await?;
/// widgets.teardown_and_destroy(&made.metadata.id).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct StateResources {
    target: Target,
    place: Place,
    owner: String,
}

impl Client {
    /// The resources of this type in this namespace, of whichever server is dialled.
    pub fn state(&self, namespace: impl Into<String>, kind: impl Into<String>) -> StateResources {
        StateResources {
            target: self.target(),
            place: Place {
                namespace: namespace.into(),
                kind: kind.into(),
                spelled: true,
            },
            owner: String::new(),
        }
    }
}

impl StateResources {
    /// Writes as this owner. Default: none, which may change only what nobody owns.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = owner.into();
        self
    }

    /// The resource with this id.
    ///
    /// # Errors
    ///
    /// `NotFound` where it does not exist, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/Get` · since Talos 1.7 or older · role os:reader · read-only
    pub async fn get(&self, id: impl Into<String>) -> Result<DynamicObject> {
        self.target.get_resource(self.place.clone(), id.into()).await
    }

    /// All of them; see [`Resources::list`](super::Resources::list).
    ///
    /// Upstream: `cosi.resource.State/List` · since Talos 1.7 or older · role os:reader · read-only
    pub fn list(&self) -> ListRequest<DynamicObject> {
        ListRequest::new(self.target.clone(), self.place.clone())
    }

    /// All of them, and what becomes of them; see [`Resources::watch`](super::Resources::watch).
    ///
    /// Upstream: `cosi.resource.State/Watch` · since Talos 1.7 or older · role os:reader · read-only
    pub fn watch(&self) -> WatchRequest<DynamicObject> {
        WatchRequest::all(self.target.clone(), self.place.clone())
    }

    /// One of them, and what becomes of it; see [`Resources::watch_one`](super::Resources::watch_one).
    ///
    /// Upstream: `cosi.resource.State/Watch` · since Talos 1.7 or older · role os:reader · read-only
    pub fn watch_one(&self, id: impl Into<String>) -> WatchRequest<DynamicObject> {
        WatchRequest::one(self.target.clone(), self.place.clone(), id.into())
    }

    /// Makes a resource, and answers it as it is stored.
    ///
    /// # Errors
    ///
    /// [`Conflict::AlreadyExists`] and [`Conflict::WritesNotAllowed`], both by [`Conflict::of`], and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a dropped future leaves it open whether the resource was made.
    ///
    /// Upstream: `cosi.resource.State/Create` · since Talos 1.7 or older · role os:admin · unsafe
    pub async fn create(&self, new: NewResource) -> Result<DynamicObject> {
        let metadata = WireMetadata {
            namespace: self.place.namespace.clone(),
            r#type: self.place.kind.clone(),
            id: new.id,
            version: "undefined".to_owned(),
            phase: "running".to_owned(),
            owner: self.owner.clone(),
            ..new.metadata
        };
        let request = CreateRequest {
            resource: Some(WireResource {
                metadata: Some(metadata),
                spec: Some(wire_spec(new.spec)),
            }),
            options: Some(CreateOptions {
                owner: self.owner.clone(),
            }),
        };
        let (reply, call) = self
            .target
            .call(&methods::CREATE, request, |request| async {
                self.target.state().create(request).await
            })
            .await?;
        object::read(reply.resource).map_err(|broken| call.broken(broken))
    }

    /// Replaces a resource that was read before, and answers it as it is stored. Whoever has changed it in the meantime
    /// wins.
    ///
    /// # Errors
    ///
    /// [`Conflict::Version`], [`Conflict::Owner`], [`Conflict::Phase`] unless it is in the phase `running`, and
    /// [`Conflict::WritesNotAllowed`], all by [`Conflict::of`]; `NotFound`; and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a dropped future leaves it open whether the resource was changed.
    ///
    /// Upstream: `cosi.resource.State/Update` · since Talos 1.7 or older · role os:admin · unsafe
    pub async fn update(&self, changed: DynamicObject) -> Result<DynamicObject> {
        self.update_in_phase(changed, Some("running")).await
    }

    async fn update_in_phase(&self, changed: DynamicObject, phase: Option<&str>) -> Result<DynamicObject> {
        let request = UpdateRequest {
            new_resource: Some(WireResource {
                metadata: Some(wire_metadata(changed.metadata)),
                spec: Some(wire_spec(changed.spec)),
            }),
            options: Some(UpdateOptions {
                owner: self.owner.clone(),
                expected_phase: phase.map(str::to_owned),
            }),
        };
        let (reply, call) = self
            .target
            .call(&methods::UPDATE, request, |request| async {
                self.target.state().update(request).await
            })
            .await?;
        object::read(reply.resource).map_err(|broken| call.broken(broken))
    }

    /// Reads a resource, changes it and writes it, again and again until nobody was faster.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get) and [`update`](Self::update), but for [`Conflict::Version`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a dropped future leaves it open whether the resource was changed.
    ///
    /// Upstream: `cosi.resource.State/Update` · since Talos 1.7 or older · role os:admin · unsafe
    pub async fn update_with(
        &self,
        id: impl Into<String>,
        mut change: impl FnMut(&mut DynamicObject),
    ) -> Result<DynamicObject> {
        let id = id.into();
        loop {
            let mut object = self.get(id.clone()).await?;
            change(&mut object);
            match self.update(object).await {
                Err(error) if Conflict::of(&error) == Some(Conflict::Version) => {}
                done => return done,
            }
        }
    }
}

fn wire_spec(spec: RawSpec) -> Spec {
    Spec {
        proto_spec: spec.proto,
        yaml_spec: spec.yaml,
    }
}

fn wire_metadata(metadata: Metadata) -> WireMetadata {
    WireMetadata {
        namespace: metadata.namespace,
        r#type: metadata.r#type,
        id: metadata.id,
        version: metadata.version,
        owner: metadata.owner,
        phase: metadata.phase.to_string(),
        created: metadata.created.map(Into::into),
        updated: metadata.updated.map(Into::into),
        finalizers: metadata.finalizers,
        labels: metadata.labels.into_iter().collect(),
        annotations: metadata.annotations.into_iter().collect(),
    }
}
