//! Reading a file.

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::path;
use crate::{Node, call::Kind, error::Result, stream::ByteStream};

impl Node {
    /// Reads a regular file of the node, files of `/proc` and `/sys` included.
    ///
    /// Nothing is buffered; [`ByteStream::into_async_read`] makes an `AsyncRead` of it.
    ///
    /// **Check what you read**: a node that fails in the middle of the file ends the stream as if it were
    /// complete (Talos swallows such errors), and says nothing about the size beforehand.
    ///
    /// ```no_run
    /// use tokio::io::AsyncReadExt;
    ///
    /// # async fn example(node: talos_client::Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut boot_id = String::new();
    /// let file = node.read("/proc/sys/kernel/random/boot_id").await?;
    /// file.into_async_read().read_to_string(&mut boot_id).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is not absolute, `NotFound` for one that does not exist, `Unknown` with `path must be a regular file` for a folder
    /// or device, and every [`ErrorKind`](crate::ErrorKind) of a call; later ones arrive in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    ///
    /// Upstream: `machine.MachineService/Read` · talosctl read · since Talos 1.7 or older · role os:admin ·
    /// read-only
    pub async fn read(&self, path: impl Into<String>) -> Result<ByteStream> {
        let request = proto::ReadRequest { path: path.into() };
        if let Some(problem) = path::problem(&request.path) {
            return Err(self.target().invalid_input(&methods::READ, problem));
        }
        self.target()
            .open_bytes(Kind::Transfer, &methods::READ, request)
            .await
    }
}
