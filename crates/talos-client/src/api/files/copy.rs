//! Copying folders.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::path;
use crate::{
    Node,
    call::{Kind, request},
    stream::{ByteReader, ByteStream},
};

request! {
    /// What to copy; made by [`Node::copy`].
    pub struct CopyRequest(proto::CopyRequest) {}

    /// Begins the copy.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is not absolute, `Unknown` with `lstat …: no such file or directory` for one
    /// that does not exist, and every [`ErrorKind`](crate::ErrorKind) of a call; later ones arrive with the data.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the archive cancels the call.
    send(target, message) -> FileArchive {
        if let Some(problem) = path::problem(&message.root_path) {
            return Err(target.invalid_input(&methods::COPY, problem));
        }
        let stream = target.open_bytes(Kind::Transfer, &methods::COPY, message).await?;
        Ok(FileArchive { stream })
    }
}

/// A folder or file of a node, as a `.tar.gz` that is being received.
///
/// What the node could not read is missing in the archive, and named in an error that comes **after its end**:
/// read to the end of the stream, or let [`FileArchive::extract_to`](#method.extract_to) do it.
#[must_use = "dropping an archive cancels the copy"]
#[derive(Debug)]
pub struct FileArchive {
    stream: ByteStream,
}

impl FileArchive {
    /// The archive as it comes, to be stored or passed on.
    pub fn into_bytes(self) -> ByteStream {
        self.stream
    }

    /// The archive as it comes, as an [`AsyncRead`](tokio::io::AsyncRead).
    pub fn into_async_read(self) -> ByteReader {
        self.stream.into_async_read()
    }
}

impl Node {
    /// Copies a folder with everything in it, or a file.
    ///
    /// ```no_run
    /// # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
    /// let report = node.copy("/var/log").send().await?.extract_to("logs").await?;
    /// for skipped in report.skipped() {
    ///     eprintln!("{}: {}", skipped.path(), skipped.reason());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Upstream: `machine.MachineService/Copy` · talosctl copy · since Talos 1.7 or older · role os:admin ·
    /// read-only
    pub fn copy(&self, path: impl Into<String>) -> CopyRequest {
        let root_path = path.into();
        CopyRequest::new(self.target(), proto::CopyRequest { root_path })
    }
}
