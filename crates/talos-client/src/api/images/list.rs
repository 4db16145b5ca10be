//! Which images there are.

use std::{
    collections::HashMap,
    pin::Pin,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use futures_core::Stream;
use talos_proto::{machine as proto, methods::machine::image_service as methods};

use super::Images;
use crate::{
    call::{Kind, system_time},
    error::Result,
    stream::Messages,
};

/// An image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Image {
    /// Its name, with tag or digest.
    pub name: String,
    /// Its digest, such as `sha256:…`.
    pub digest: String,
    /// Its size in bytes; 0 if its contents for this machine are missing, `None` for a size that cannot be.
    pub size: Option<u64>,
    /// When it came to the node.
    pub created_at: Option<SystemTime>,
    /// Labels of containerd. Empty from nodes before Talos 1.13.
    pub labels: HashMap<String, String>,
}

/// The images of a node.
///
/// # Errors
///
/// An item is an error when the call breaks or the node ends it with a status. Nothing comes after an error.
///
/// # Cancel safety
///
/// Waiting for the next image may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct ImageStream(Inner);

#[derive(Debug)]
enum Inner {
    New(Messages<proto::ImageServiceListResponse>),
    #[cfg(feature = "machine")]
    Old(Messages<proto::ImageListResponse>),
}

impl ImageStream {
    /// The next image, or `None` at the end.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_image(&mut self) -> Option<Result<Image>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for ImageStream {
    type Item = Result<Image>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(match &mut self.0 {
            Inner::New(messages) => ready!(messages.poll_next(cx)).map(|raw| raw.map(Image::from)),
            #[cfg(feature = "machine")]
            Inner::Old(messages) => match ready!(messages.poll_next(cx)).transpose()? {
                Some(raw) => match messages.call().node_error(raw.metadata.as_ref()) {
                    Some(error) => {
                        messages.end();
                        Some(Err(error))
                    }
                    None => Some(Ok(raw.into())),
                },
                None => None,
            },
        })
    }
}

impl From<proto::ImageServiceListResponse> for Image {
    fn from(raw: proto::ImageServiceListResponse) -> Self {
        Self {
            name: raw.name,
            digest: raw.digest,
            size: raw.size.try_into().ok(),
            created_at: system_time(raw.created_at),
            labels: raw.labels,
        }
    }
}

#[cfg(feature = "machine")]
impl From<proto::ImageListResponse> for Image {
    fn from(raw: proto::ImageListResponse) -> Self {
        Self {
            name: raw.name,
            digest: raw.digest,
            size: raw.size.try_into().ok(),
            created_at: system_time(raw.created_at),
            labels: HashMap::new(),
        }
    }
}

impl Images {
    /// The images in this store.
    ///
    /// With the feature `machine`, nodes before Talos 1.13 are asked by
    /// [`list_by_machine_service`](Images::list_by_machine_service); only the first call to a node tries in vain.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call; later ones arrive in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    ///
    /// Upstream: `machine.ImageService/List` · talosctl image list · since Talos 1.13 · role os:reader ·
    /// read-only
    pub async fn list(&self) -> Result<ImageStream> {
        let message = proto::ImageServiceListRequest {
            containerd: Some(self.containerd.instance()),
        };
        let newer = async {
            let messages = self.target.open(Kind::Work, &methods::LIST, message).await?;
            Ok(ImageStream(Inner::New(messages)))
        };
        #[cfg(feature = "machine")]
        if self.old_namespace().is_some() {
            let older = self.list_by_machine_service();
            return self.target.newer_or_older(&methods::LIST, newer, older).await;
        }
        newer.await
    }

    /// The images in this store, by the call that Talos had before 1.13 and removes in 1.18. [`Images::list`] falls
    /// back to it by itself.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for [`Containerd::InMemory`](super::super::containerd::Containerd::InMemory), which this
    /// call does not know, and every [`ErrorKind`](crate::ErrorKind) of a call; later ones arrive in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    ///
    /// Upstream: `machine.MachineService/ImageList` · talosctl image list · since Talos 1.7 or older, deprecated
    /// in 1.13 · role os:reader · read-only
    #[cfg(feature = "machine")]
    pub async fn list_by_machine_service(&self) -> Result<ImageStream> {
        use talos_proto::methods::machine::machine_service::IMAGE_LIST;

        let Some(namespace) = self.old_namespace() else {
            return Err(self
                .target
                .invalid_input(&IMAGE_LIST, "this call knows no images in memory"));
        };
        let message = proto::ImageListRequest { namespace };
        let messages = self.target.open(Kind::Work, &IMAGE_LIST, message).await?;
        Ok(ImageStream(Inner::Old(messages)))
    }
}
