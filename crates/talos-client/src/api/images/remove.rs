//! Removing images.

use talos_proto::{machine as proto, methods::machine::image_service as methods};

use super::Images;
use crate::{api::containerd::image_problem, error::Result};

impl Images {
    /// Removes an image from this store.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty image, `NotFound` for one that is not there, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call; the image may be removed all the same.
    ///
    /// Upstream: `machine.ImageService/Remove` · talosctl image remove · since Talos 1.13 · role os:admin · unsafe
    pub async fn remove(&self, image: impl Into<String>) -> Result<()> {
        let target = &self.target;
        let method = &methods::REMOVE;
        let message = proto::ImageServiceRemoveRequest {
            containerd: Some(self.containerd.instance()),
            image_ref: image.into(),
        };
        if let Some(problem) = image_problem(&message.image_ref) {
            return Err(target.invalid_input(method, problem));
        }
        target
            .plain(method, message, |request| async {
                target.image_service().remove(request).await
            })
            .await
            .map(drop)
    }
}
