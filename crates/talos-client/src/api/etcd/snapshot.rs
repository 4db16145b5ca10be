//! Saving the data of etcd.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::{Etcd, verify::Verifier};
use crate::{
    call::{CallInfo, Kind, Target, request},
    error::{Error, ErrorKind, Origin, Result},
    stream::{ByteReader, ByteStream, ChunkStream, PartFile},
};

request! {
    /// A snapshot to be taken; made by [`Etcd::snapshot`].
    pub struct EtcdSnapshotRequest(proto::EtcdSnapshotRequest) {}

    /// Begins the snapshot, as a stream that ends with an error unless it is complete.
    ///
    /// # Errors
    ///
    /// `Unimplemented` on worker nodes, and every [`ErrorKind`](crate::ErrorKind) of a call; later ones arrive
    /// in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    send(target, message) -> EtcdSnapshot {
        open(&target, message).await
    }
}

async fn open(target: &Target, message: proto::EtcdSnapshotRequest) -> Result<EtcdSnapshot> {
    // Without a hash there is no snapshot that could be trusted; so before anything is sent.
    let verifier = Verifier::new().map_err(|error| Error::local(ErrorKind::Config, error))?;
    let inner = target
        .open_bytes(Kind::Transfer, &methods::ETCD_SNAPSHOT, message)
        .await?;
    Ok(EtcdSnapshot {
        inner,
        verifier: Some(verifier),
        checksum: None,
    })
}

impl EtcdSnapshotRequest {
    /// Into a file that is there once it is complete and verified, and not before.
    ///
    /// It is written as `PATH.part`, with mode 0600 since there are secrets in it; a rest of an earlier attempt
    /// is removed, and so is this one if it does not end well. Memory stays the same however large the
    /// snapshot is, and the call fails when nothing comes for
    /// [`Timeouts::transfer_idle`](crate::Timeouts::transfer_idle).
    ///
    /// ```no_run
    /// # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
    /// let saved = node
    ///     .etcd()
    ///     .snapshot()
    ///     .to_file("etcd.snapshot")
    ///     .on_progress(|bytes| println!("{bytes} bytes"))
    ///     .await?;
    /// assert!(saved.bytes() > 0);
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_file(self, path: impl Into<PathBuf>) -> EtcdSnapshotFileRequest {
        EtcdSnapshotFileRequest {
            request: self,
            path: path.into(),
            progress: None,
        }
    }
}

/// A snapshot to be saved; made by [`EtcdSnapshotRequest::to_file`]. Await it.
#[must_use = "nothing is asked for before it is awaited"]
pub struct EtcdSnapshotFileRequest {
    request: EtcdSnapshotRequest,
    path: PathBuf,
    progress: Option<Box<dyn FnMut(u64) + Send>>,
}

/// A snapshot in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedSnapshot {
    path: PathBuf,
    bytes: u64,
    sha256: [u8; 32],
}

impl SavedSnapshot {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size, the checksum at its end included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The SHA-256 of the database, which is what stands at the end of the file.
    pub fn sha256(&self) -> [u8; 32] {
        self.sha256
    }
}

impl EtcdSnapshotFileRequest {
    /// Is told now and then how many bytes have been received.
    pub fn on_progress(mut self, progress: impl FnMut(u64) + Send + 'static) -> Self {
        self.progress = Some(Box::new(progress));
        self
    }

    /// Saves the snapshot; the same as awaiting this.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path without a file name, `Io` if the file cannot be written, `Malformed` if the
    /// snapshot is cut off or damaged, and as for [`EtcdSnapshotRequest::send`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future cancels the call and removes what was written.
    pub async fn send(mut self) -> Result<SavedSnapshot> {
        let EtcdSnapshotRequest { target, message } = self.request;
        let local = |error: io::Error| {
            let kind = match error.kind() {
                io::ErrorKind::InvalidInput => ErrorKind::InvalidInput,
                _ => ErrorKind::Io,
            };
            Error::new(kind, Origin::Local)
                .with_method(methods::ETCD_SNAPSHOT.path)
                .with_node(target.route.node().cloned())
                .with_message(format!("{} cannot be written", self.path.display()))
                .with_source(error)
        };
        let mut file = PartFile::create(&self.path).await.map_err(local)?;
        let mut chunks = open(&target, message).await?.coalesce(BLOCK);
        let mut bytes = 0;
        while let Some(block) = chunks.next_chunk().await {
            let block = block?;
            bytes += u64::try_from(block.len()).unwrap_or(u64::MAX);
            file.write(block).await.map_err(local)?;
            if let Some(progress) = &mut self.progress {
                progress(bytes);
            }
        }
        let snapshot = chunks.get_ref();
        let Some(sha256) = snapshot.checksum else {
            return Err(snapshot.call().malformed("the snapshot has no checksum"));
        };
        file.finish().await.map_err(local)?;
        Ok(SavedSnapshot {
            path: self.path,
            bytes,
            sha256,
        })
    }
}

impl IntoFuture for EtcdSnapshotFileRequest {
    type Output = Result<SavedSnapshot>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

impl fmt::Debug for EtcdSnapshotFileRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdSnapshotFileRequest")
            .field("request", &self.request)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// The bytes of a snapshot: a database of etcd, and at the end its SHA-256.
///
/// Talos ends the stream as if nothing were wrong when it fails to read on, so the length and the checksum are
/// checked here: the stream ends with `Malformed` if they are not right. **What was received is a snapshot only
/// once the stream has ended without an error.**
///
/// # Cancel safety
///
/// Waiting for the next chunk may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct EtcdSnapshot {
    inner: ByteStream,
    verifier: Option<Verifier>,
    checksum: Option<[u8; 32]>,
}

impl EtcdSnapshot {
    /// The next chunk, or `None` at the end of a complete snapshot.
    ///
    /// # Errors
    ///
    /// `Malformed` in place of the end if the snapshot is not complete, and as for [`ByteStream`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The same bytes as an [`AsyncRead`](tokio::io::AsyncRead), which fails in place of the end if the snapshot
    /// is not complete.
    pub fn into_async_read(self) -> ByteReader<Self> {
        ByteReader::new(self)
    }

    /// The same bytes in larger chunks: what has been received, up to `size` bytes in one.
    pub fn coalesce(self, size: usize) -> ChunkStream<Self> {
        ChunkStream::new(self, size)
    }

    /// How many bytes were received.
    pub fn received(&self) -> u64 {
        self.verifier.as_ref().map_or(0, Verifier::length)
    }

    /// The SHA-256 of the database, once the stream has ended without an error.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.checksum
    }

    fn call(&self) -> &CallInfo {
        self.inner.call()
    }

    fn finish(&mut self) -> Option<Error> {
        match self.verifier.take()?.finish() {
            Ok(checksum) => {
                self.checksum = Some(checksum);
                None
            }
            Err(error) => Some(
                self.call()
                    .malformed("not a complete snapshot")
                    .with_source(error),
            ),
        }
    }
}

impl Stream for EtcdSnapshot {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        match ready!(Pin::new(&mut this.inner).poll_next(cx)) {
            Some(Ok(chunk)) => {
                if let Some(verifier) = &mut this.verifier {
                    verifier.update(&chunk);
                }
                Poll::Ready(Some(Ok(chunk)))
            }
            Some(Err(error)) => {
                this.verifier = None;
                Poll::Ready(Some(Err(error)))
            }
            None => Poll::Ready(this.finish().map(Err)),
        }
    }
}

impl Etcd {
    /// Takes a snapshot of the data of this node's member, for [`Etcd::recover`].
    ///
    /// **There are all secrets of the Kubernetes cluster in it.**
    ///
    /// Upstream: `machine.MachineService/EtcdSnapshot` · talosctl etcd snapshot · since Talos 1.7 or older ·
    /// role os:operator or os:etcd:backup · read-only
    pub fn snapshot(&self) -> EtcdSnapshotRequest {
        EtcdSnapshotRequest::new(&self.target, proto::EtcdSnapshotRequest {})
    }
}

/// What is written at once, in bytes. Two of them are held: one is written while the next one is received.
const BLOCK: usize = 256 * 1024;
