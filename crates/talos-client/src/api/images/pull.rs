//! Fetching images from a registry.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_core::Stream;
use talos_proto::{
    machine::{
        self as proto, image_service_pull_layer_progress::Status, image_service_pull_response::Response,
    },
    methods::machine::image_service as methods,
};

use super::Images;
use crate::{
    api::containerd::{Containerd, image_problem},
    call::{Kind, request},
    error::Result,
    stream::Messages,
};

/// How far a layer of an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PullProgress {
    /// The digest of the layer.
    pub layer: String,
    /// What is done with it.
    pub status: LayerStatus,
    /// How many bytes of it are there; `None` for a number that cannot be.
    pub offset: Option<u64>,
    /// How many bytes it has; `None` for a number that cannot be.
    pub total: Option<u64>,
    /// How long it takes already.
    pub elapsed: Option<Duration>,
}

/// What is done with a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are Talos' own")]
pub enum LayerStatus {
    Downloading,
    DownloadComplete,
    Extracting,
    ExtractComplete,
    AlreadyExists,
    /// Something this library does not know, by its number.
    Other(i32),
}

impl From<proto::ImageServicePullProgress> for PullProgress {
    fn from(raw: proto::ImageServicePullProgress) -> Self {
        let progress = raw.progress.unwrap_or_default();
        Self {
            layer: raw.layer_id,
            status: match Status::try_from(progress.status) {
                Ok(Status::Downloading) => LayerStatus::Downloading,
                Ok(Status::DownloadComplete) => LayerStatus::DownloadComplete,
                Ok(Status::Extracting) => LayerStatus::Extracting,
                Ok(Status::ExtractComplete) => LayerStatus::ExtractComplete,
                Ok(Status::AlreadyExists) => LayerStatus::AlreadyExists,
                Err(_) => LayerStatus::Other(progress.status),
            },
            offset: progress.offset.try_into().ok(),
            total: progress.total.try_into().ok(),
            elapsed: progress.elapsed.and_then(|elapsed| elapsed.try_into().ok()),
        }
    }
}

/// What to fetch.
#[derive(Clone, Debug)]
pub(crate) struct Pull {
    containerd: Containerd,
    image: String,
}

request! {
    /// An image to be fetched; made by [`Images::pull`].
    pub struct PullRequest(Pull) {}

    /// Begins to fetch the image. An image that is there already is not fetched again.
    ///
    /// With the feature `machine`, nodes before Talos 1.13 are asked by
    /// [`pull_by_machine_service`](Images::pull_by_machine_service), which tells no progress: this future then
    /// takes until the image is there.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty image, and every [`ErrorKind`](crate::ErrorKind) of a call; later ones arrive
    /// in the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future or the stream cancels the call, and with it the download.
    send(target, pull) -> ImagePull {
        let method = &methods::PULL;
        if let Some(problem) = image_problem(&pull.image) {
            return Err(target.invalid_input(method, problem));
        }
        let message = proto::ImageServicePullRequest {
            containerd: Some(pull.containerd.instance()),
            image_ref: pull.image.clone(),
        };
        let newer = async {
            let messages = target.open(Kind::Work, method, message).await?;
            Ok(ImagePull { messages: Some(messages), name: None })
        };
        #[cfg(feature = "machine")]
        {
            let images = Images { target: target.clone(), containerd: pull.containerd };
            if images.old_namespace().is_some() {
                let older = async {
                    images.pull_by_machine_service(&pull.image).await?;
                    Ok(ImagePull { messages: None, name: Some(pull.image.clone()) })
                };
                return target.newer_or_older(method, newer, older).await;
            }
        }
        newer.await
    }
}

/// An image that is being fetched, as a stream of how far its layers are.
///
/// The stream ends once the image is there; [`ImagePull::name`] is known then. One that ends without saying a
/// name fails with `Malformed`.
///
/// # Errors
///
/// An item is an error, and the last one: `NotFound` with `error pulling image: …` for an image that the registry
/// does not have, and every [`ErrorKind`](crate::ErrorKind) of a call.
///
/// # Cancel safety
///
/// Waiting for the next item may be cancelled at any time, nothing is lost.
#[must_use = "dropping it cancels the download"]
#[derive(Debug)]
pub struct ImagePull {
    /// `None` once it is there.
    messages: Option<Messages<proto::ImageServicePullResponse>>,
    name: Option<String>,
}

impl ImagePull {
    /// The next step, or `None` once the image is there.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_progress(&mut self) -> Option<Result<PullProgress>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The image that was fetched, pinned by its digest, once the stream has ended. From nodes before Talos 1.13
    /// it is what was asked for.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref().filter(|_| self.messages.is_none())
    }

    /// Waits until the image is there, and returns its name as [`ImagePull::name`].
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call, and with it the download.
    pub async fn finish(mut self) -> Result<String> {
        while let Some(progress) = self.next_progress().await {
            progress?;
        }
        // The stream has not failed, so there is one.
        Ok(self.name.unwrap_or_default())
    }
}

impl Stream for ImagePull {
    type Item = Result<PullProgress>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let Some(messages) = &mut this.messages else {
                return Poll::Ready(None);
            };
            let problem = match ready!(messages.poll_next(cx)) {
                Some(Ok(message)) => match message.response {
                    _ if this.name.is_some() => "the node goes on after the name of the image",
                    Some(Response::PullProgress(progress)) => return Poll::Ready(Some(Ok(progress.into()))),
                    Some(Response::Name(name)) if !name.is_empty() => {
                        this.name = Some(name);
                        continue;
                    }
                    Some(Response::Name(_)) => "the name of the image is empty",
                    // Something that this library does not know.
                    None => continue,
                },
                Some(Err(error)) => {
                    this.name = None;
                    this.messages = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None if this.name.is_none() => "the node did not say the name of the image",
                None => {
                    this.messages = None;
                    return Poll::Ready(None);
                }
            };
            let error = messages.call().malformed(problem);
            this.name = None;
            this.messages = None;
            return Poll::Ready(Some(Err(error)));
        }
    }
}

impl Images {
    /// Fetches an image from its registry into this store.
    ///
    /// Upstream: `machine.ImageService/Pull` · talosctl image pull · since Talos 1.13 · role os:operator ·
    /// idempotent
    pub fn pull(&self, image: impl Into<String>) -> PullRequest {
        let pull = Pull {
            containerd: self.containerd,
            image: image.into(),
        };
        PullRequest::new(&self.target, pull)
    }

    /// Fetches an image, by the call that Talos had before 1.13 and removes in 1.18. [`Images::pull`] falls back to
    /// it by itself. Answered once the image is there.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty image and for [`Containerd::InMemory`], which this call does not know, `NotFound`
    /// with `error pulling image: …`, and every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call, and with it the download.
    ///
    /// Upstream: `machine.MachineService/ImagePull` · talosctl image pull · since Talos 1.7 or older, deprecated
    /// in 1.13 · role os:operator · idempotent
    #[cfg(feature = "machine")]
    pub async fn pull_by_machine_service(&self, image: impl Into<String>) -> Result<()> {
        use talos_proto::methods::machine::machine_service::IMAGE_PULL;

        let target = &self.target;
        let reference = image.into();
        if let Some(problem) = image_problem(&reference) {
            return Err(target.invalid_input(&IMAGE_PULL, problem));
        }
        let Some(namespace) = self.old_namespace() else {
            return Err(target.invalid_input(&IMAGE_PULL, "this call knows no images in memory"));
        };
        let message = proto::ImagePullRequest { namespace, reference };
        #[expect(deprecated, reason = "what older nodes have")]
        target
            .ack(&IMAGE_PULL, message, |request| async {
                target.machine().image_pull(request).await
            })
            .await
    }
}
