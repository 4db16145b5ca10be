//! Resources of any server of the same API, reads and writes.

use std::time::Duration;

use talos_proto::{
    cosi::resource::{
        CreateOptions, CreateRequest, DestroyOptions, DestroyRequest, Metadata as WireMetadata,
        Resource as WireResource, Spec, TeardownAndDestroyOptions, TeardownAndDestroyRequest,
        TeardownOptions, TeardownRequest, UpdateOptions, UpdateRequest,
    },
    methods::cosi::resource::state as methods,
};

use super::{DynamicObject, ListRequest, Metadata, Phase, Place, RawSpec, WatchEvent, WatchRequest, object};
use crate::{
    Client,
    call::Target,
    error::{Code, Error, ErrorKind, Origin, Result},
};

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

/// A resource to be made. `Debug` shows nothing of the spec.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct NewResource {
    id: String,
    spec: RawSpec,
    metadata: WireMetadata,
}

/// Why a write was refused, beyond the [`ErrorKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Conflict {
    /// What is to be made exists.
    AlreadyExists,
    /// Somebody else has changed it since it was read. Read it again and try again.
    Version,
    /// It belongs to another owner.
    Owner,
    /// It is in another phase, usually being torn down.
    Phase,
    /// Somebody has not let go of it yet.
    Finalizers,
    /// The server allows no writes at all, as every Talos node.
    WritesNotAllowed,
}

impl Conflict {
    /// What an error of a write says about the resource; `None` if it is about something else.
    #[must_use]
    pub fn of(error: &Error) -> Option<Self> {
        let update = error.method() == Some(methods::UPDATE.path);
        let writes = [
            &methods::CREATE,
            &methods::UPDATE,
            &methods::DESTROY,
            &methods::TEARDOWN,
        ];
        if !writes.iter().any(|method| error.method() == Some(method.path)) {
            return None;
        }
        match error.code()? {
            Code::AlreadyExists => Some(Self::AlreadyExists),
            Code::FailedPrecondition if update => Some(Self::Version),
            Code::FailedPrecondition => Some(Self::Finalizers),
            Code::InvalidArgument if update => Some(Self::Phase),
            // The code is the same, so the words have to tell (Talos v1.14, `internal/app/resources/access.go`).
            Code::PermissionDenied if error.message() == Some("write access is not allowed") => {
                Some(Self::WritesNotAllowed)
            }
            Code::PermissionDenied => Some(Self::Owner),
            _ => None,
        }
    }
}

impl NewResource {
    /// An empty resource with this id.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            ..Self::default()
        }
    }

    /// The YAML form of the spec.
    pub fn yaml(mut self, spec: impl Into<String>) -> Self {
        self.spec.yaml = spec.into();
        self
    }

    /// The protobuf form of the spec.
    pub fn proto(mut self, spec: impl Into<bytes::Bytes>) -> Self {
        self.spec.proto = spec.into();
        self
    }

    /// Adds a label.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.labels.insert(key.into(), value.into());
        self
    }

    /// Adds an annotation.
    pub fn annotation(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.annotations.insert(key.into(), value.into());
        self
    }

    /// Adds a finalizer, which has to be removed before the resource can be destroyed.
    pub fn finalizer(mut self, name: impl Into<String>) -> Self {
        self.metadata.finalizers.push(name.into());
        self
    }
}

impl Client {
    /// The resources of this type in this namespace, of whichever server is dialled.
    pub fn state(&self, namespace: impl Into<String>, kind: impl Into<String>) -> StateResources {
        StateResources {
            target: self.target(),
            place: Place {
                namespace: namespace.into(),
                kind: kind.into(),
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
    /// `NotFound` where it does not exist, and every [`ErrorKind`] of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `cosi.resource.State/Get` · since Talos 1.7 or older · read-only
    pub async fn get(&self, id: impl Into<String>) -> Result<DynamicObject> {
        self.target.get_resource(self.place.clone(), id.into()).await
    }

    /// All of them; see [`Resources::list`](super::Resources::list).
    ///
    /// Upstream: `cosi.resource.State/List` · since Talos 1.7 or older · read-only
    pub fn list(&self) -> ListRequest<DynamicObject> {
        ListRequest::new(self.target.clone(), self.place.clone())
    }

    /// All of them, and what becomes of them; see [`Resources::watch`](super::Resources::watch).
    ///
    /// Upstream: `cosi.resource.State/Watch` · since Talos 1.7 or older · read-only
    pub fn watch(&self) -> WatchRequest<DynamicObject> {
        WatchRequest::all(self.target.clone(), self.place.clone())
    }

    /// One of them, and what becomes of it; see [`Resources::watch_one`](super::Resources::watch_one).
    ///
    /// Upstream: `cosi.resource.State/Watch` · since Talos 1.7 or older · read-only
    pub fn watch_one(&self, id: impl Into<String>) -> WatchRequest<DynamicObject> {
        WatchRequest::one(self.target.clone(), self.place.clone(), id.into())
    }

    /// Makes a resource, and answers it as it is stored.
    ///
    /// # Errors
    ///
    /// [`Conflict::AlreadyExists`] and [`Conflict::WritesNotAllowed`], both by [`Conflict::of`], and every
    /// [`ErrorKind`] of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a dropped future leaves it open whether the resource was made.
    ///
    /// Upstream: `cosi.resource.State/Create` · since Talos 1.7 or older · idempotent: no
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
    /// [`Conflict::WritesNotAllowed`], all by [`Conflict::of`]; `NotFound`; and every [`ErrorKind`] of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a dropped future leaves it open whether the resource was changed.
    ///
    /// Upstream: `cosi.resource.State/Update` · since Talos 1.7 or older · idempotent: no
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
    /// Upstream: `cosi.resource.State/Update` · since Talos 1.7 or older · idempotent: no
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

    /// Lets a resource begin to go away, and answers whether nothing keeps it any longer.
    ///
    /// Servers from before Talos 1.14 do not know this call; there it is made of a read and an update.
    ///
    /// # Errors
    ///
    /// [`Conflict::Owner`] and [`Conflict::WritesNotAllowed`] by [`Conflict::of`]; `NotFound`; and every
    /// [`ErrorKind`] of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a dropped future leaves it open whether the resource was changed.
    ///
    /// Upstream: `cosi.resource.State/Teardown` · since Talos 1.14 · idempotent: yes
    pub async fn teardown(&self, id: impl Into<String>) -> Result<bool> {
        let id = id.into();
        let request = TeardownRequest {
            namespace: self.place.namespace.clone(),
            r#type: self.place.kind.clone(),
            id: id.clone(),
            options: Some(TeardownOptions {
                owner: self.owner.clone(),
            }),
        };
        let torn = self
            .target
            .call(&methods::TEARDOWN, request, |request| async {
                self.target.state().teardown(request).await
            })
            .await;
        match torn {
            Ok((reply, _)) => Ok(reply.destroy_ready),
            Err(error) if error.kind() == ErrorKind::Unimplemented => self.teardown_by_update(&id).await,
            Err(error) => Err(error),
        }
    }

    async fn teardown_by_update(&self, id: &str) -> Result<bool> {
        loop {
            let mut object = self.get(id).await?;
            if object.metadata.phase == Phase::TearingDown {
                return Ok(object.metadata.finalizers.is_empty());
            }
            object.metadata.phase = Phase::TearingDown;
            match self.update_in_phase(object, None).await {
                Ok(torn) => return Ok(torn.metadata.finalizers.is_empty()),
                Err(error) if Conflict::of(&error) == Some(Conflict::Version) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Removes a resource that nobody holds on to.
    ///
    /// # Errors
    ///
    /// [`Conflict::Finalizers`], [`Conflict::Owner`] and [`Conflict::WritesNotAllowed`] by [`Conflict::of`];
    /// `NotFound`; and every [`ErrorKind`] of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: a dropped future leaves it open whether the resource was removed.
    ///
    /// Upstream: `cosi.resource.State/Destroy` · since Talos 1.7 or older · idempotent: no
    pub async fn destroy(&self, id: impl Into<String>) -> Result<()> {
        let request = DestroyRequest {
            namespace: self.place.namespace.clone(),
            r#type: self.place.kind.clone(),
            id: id.into(),
            options: Some(DestroyOptions {
                owner: self.owner.clone(),
            }),
        };
        let destroyed = self.target.call(&methods::DESTROY, request, |request| async {
            self.target.state().destroy(request).await
        });
        destroyed.await.map(drop)
    }

    /// Lets a resource go away, waits until nobody holds on to it, and removes it. Without a limit on the time.
    ///
    /// The wait is a watch of this side's, so that it survives lost connections and no limit on the time of a call
    /// matters. That somebody else removes it in the
    /// meantime is fine.
    ///
    /// # Errors
    ///
    /// As for [`teardown`](Self::teardown) and [`destroy`](Self::destroy).
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: the resource may be anywhere on its way.
    ///
    /// Upstream: `cosi.resource.State/TeardownAndDestroy` · since Talos 1.14, by other calls before · idempotent: no
    pub async fn teardown_and_destroy(&self, id: impl Into<String>) -> Result<()> {
        let id = id.into();
        if !self.teardown(id.clone()).await? && !self.released(&id).await? {
            return Ok(());
        }
        match self.destroy_torn(&id).await {
            Err(error) if error.is_not_found() => Ok(()),
            done => done,
        }
    }

    /// Removes a resource that nobody holds on to any longer.
    async fn destroy_torn(&self, id: &str) -> Result<()> {
        let request = TeardownAndDestroyRequest {
            namespace: self.place.namespace.clone(),
            r#type: self.place.kind.clone(),
            id: id.to_owned(),
            options: Some(TeardownAndDestroyOptions {
                owner: self.owner.clone(),
            }),
        };
        let destroyed = self
            .target
            .call(&methods::TEARDOWN_AND_DESTROY, request, |request| async {
                self.target.state().teardown_and_destroy(request).await
            })
            .await;
        match destroyed {
            Err(error) if error.kind() == ErrorKind::Unimplemented => self.destroy(id).await,
            done => done.map(drop),
        }
    }

    /// Waits until nobody holds on to a resource; `false` if it is gone instead.
    async fn released(&self, id: &str) -> Result<bool> {
        let pause = Duration::from_millis(100);
        let mut watch = self.watch_one(id).backoff(pause, 50 * pause).start();
        while let Some(event) = watch.next_event().await {
            match event? {
                WatchEvent::Created(object) | WatchEvent::Updated { new: object, .. }
                    if object.metadata.finalizers.is_empty() =>
                {
                    return Ok(true);
                }
                WatchEvent::Destroyed(_) | WatchEvent::Absent => return Ok(false),
                _ => {}
            }
        }
        let error = Error::new(ErrorKind::Unavailable, Origin::Local);
        Err(error.with_message("the watch has ended"))
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
