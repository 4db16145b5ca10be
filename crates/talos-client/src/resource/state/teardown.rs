//! Letting resources go away.

use std::time::Duration;

use talos_proto::{
    cosi::resource::{
        DestroyOptions, DestroyRequest, TeardownAndDestroyOptions, TeardownAndDestroyRequest,
        TeardownOptions, TeardownRequest,
    },
    methods::cosi::resource::state as methods,
};

use super::{Conflict, StateResources};
use crate::{
    error::{Error, ErrorKind, Origin, Result},
    resource::{Phase, WatchEvent},
};

impl StateResources {
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
    /// Upstream: `cosi.resource.State/Teardown` · since Talos 1.14 · role os:admin · unsafe
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
    /// Upstream: `cosi.resource.State/Destroy` · since Talos 1.7 or older · role os:admin · unsafe
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
    /// Upstream: `cosi.resource.State/TeardownAndDestroy` · since Talos 1.14, by other calls before · role os:admin ·
    /// unsafe
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
