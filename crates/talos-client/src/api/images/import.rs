//! Images out of an archive.

use bytes::Bytes;
use futures_core::Stream;
use talos_proto::{
    common::Data,
    machine::{ImageServiceImportRequest, ImageServiceImportResponse, image_service_import_request::Request},
    methods::machine::image_service as methods,
};
use tokio::io::AsyncRead;

use super::Images;
use crate::{
    CallOptions,
    api::containerd::Containerd,
    call::Target,
    error::Result,
    stream::{Progress, Source},
};

/// An image to be uploaded; made by [`Images::import`] and [`Images::import_stream`].
#[must_use = "nothing is sent before `send`"]
pub struct ImportRequest {
    target: Target,
    containerd: Containerd,
    source: Source,
    progress: Option<Progress>,
}

impl ImportRequest {
    /// Is told now and then how many bytes were handed to the connection.
    pub fn on_progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// With these options for this call. What they leave open is as for the handle.
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.target = self.target.with_options(options);
        self
    }

    /// Uploads the archive, and returns the name of its first image. The source is read as fast as the node takes
    /// it, and little is held in memory.
    ///
    /// # Errors
    ///
    /// `Io` if the source fails or is empty; the call is given up then. `InvalidArgument` with `no images imported
    /// from archive`, `Internal` with `failed to import image: …`, `Malformed` for a reply without a name, `Timeout`
    /// if nothing could be sent for [`Timeouts::slow`](crate::Timeouts::slow), and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call. It is never repeated.
    pub async fn send(self) -> Result<String> {
        let target = self.target;
        let first = Request::Containerd(self.containerd.instance());
        let (reply, call) = target
            .upload::<_, ImageServiceImportResponse, _>(
                &methods::IMPORT,
                self.source,
                self.progress,
                Some(message(first)),
                |bytes| message(Request::ImageChunk(data(bytes))),
                |request| async { target.image_service().import(request).await },
            )
            .await?;
        if reply.name.is_empty() {
            return Err(call.malformed("the node did not say the name of the image"));
        }
        Ok(reply.name)
    }
}

fn message(request: Request) -> ImageServiceImportRequest {
    ImageServiceImportRequest {
        request: Some(request),
    }
}

fn data(bytes: Bytes) -> Data {
    Data {
        bytes,
        ..Data::default()
    }
}

impl std::fmt::Debug for ImportRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportRequest")
            .field("target", &self.target)
            .field("containerd", &self.containerd)
            .finish_non_exhaustive()
    }
}

impl Images {
    /// Uploads images into this store, as the tar that `docker save` and its like make. Anything that can be read
    /// will do, such as a [`tokio::fs::File`].
    ///
    /// Upstream: `machine.ImageService/Import` · talosctl image import · since Talos 1.13 · role os:admin ·
    /// unsafe
    pub fn import(&self, archive: impl AsyncRead + Send + 'static) -> ImportRequest {
        self.import_from(Source::reader(archive))
    }

    /// The same as [`Images::import`], from a stream of bytes.
    pub fn import_stream<S, E>(&self, archive: S) -> ImportRequest
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.import_from(Source::stream(archive))
    }

    fn import_from(&self, source: Source) -> ImportRequest {
        ImportRequest {
            target: self.target.clone(),
            containerd: self.containerd,
            source,
            progress: None,
        }
    }
}
