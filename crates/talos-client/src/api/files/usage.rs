//! How much space folders take.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::path;
use crate::{
    Node,
    call::{Kind, request},
    error::Result,
    stream::Messages,
};

/// How much space a folder or file takes.
#[derive(Clone, Debug, PartialEq)]
pub struct DiskUsage {
    raw: proto::DiskUsageInfo,
    size: u64,
}

impl DiskUsage {
    /// Its path on the node.
    pub fn path(&self) -> &str {
        &self.raw.name
    }

    /// Its path below the one that was asked for; `.` for that one itself.
    pub fn relative_path(&self) -> &str {
        &self.raw.relative_name
    }

    /// Its size in bytes; of a folder, with everything in it.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Why the node could not look at it.
    pub fn error(&self) -> Option<&str> {
        Some(self.raw.error.as_str()).filter(|error| !error.is_empty())
    }

    /// The message as it came.
    pub fn into_inner(self) -> proto::DiskUsageInfo {
        self.raw
    }
}

/// What is asked of the node.
#[derive(Clone, Debug)]
pub(crate) struct Usage {
    path: String,
    /// Levels to report; `None` is all of them.
    depth: Option<u32>,
    all: bool,
    threshold: i64,
}

request! {
    /// What of a folder's size to report; made by [`Node::disk_usage`].
    pub struct DiskUsageRequest(Usage) {
        /// Reports folders down to this many levels below; 0, the default, is the folder alone. Sizes count
        /// what is deeper all the same.
        fn depth(usage, levels: u32) {
            usage.depth = Some(levels);
        }

        /// Reports folders however deep.
        fn recursive(usage) {
            usage.depth = None;
        }

        /// Reports files too. Default: false, only folders.
        fn files(usage, files: bool) {
            usage.all = files;
        }

        /// Leaves out what takes fewer bytes. Default: 0, nothing.
        fn at_least(usage, bytes: u64) {
            usage.threshold = bytes.try_into().unwrap_or(i64::MAX);
        }

        /// Leaves out what takes more bytes; replaces [`DiskUsageRequest::at_least`], Talos has one limit only.
        fn at_most(usage, bytes: u64) {
            // 0 would be no limit; a limit of one byte lets the empty through, too.
            usage.threshold = i64::try_from(bytes.max(1)).map_or(-i64::MAX, |bytes| -bytes);
        }
    }

    /// Begins to add up. Folders come after what is in them, the one that was asked for last.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is not absolute, and every [`ErrorKind`](crate::ErrorKind) of a call; later
    /// ones arrive in the stream. A path that does not exist is an item with [`DiskUsage::error`].
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    send(target, usage) -> DiskUsageStream {
        let method = &methods::DISK_USAGE;
        if let Some(problem) = path::problem(&usage.path) {
            return Err(target.invalid_input(method, problem));
        }
        let message = proto::DiskUsageRequest {
            // Nodes report what is above this depth, and with 0 everything.
            recursion_depth: usage.depth.map_or(0, |depth| {
                depth.checked_add(1).and_then(|depth| depth.try_into().ok()).unwrap_or(i32::MAX)
            }),
            all: usage.all,
            threshold: usage.threshold,
            // Nodes look at the first path only.
            paths: vec![usage.path],
        };
        Ok(DiskUsageStream {
            inner: target.open(Kind::Work, method, message).await?,
            depth: usage.depth,
        })
    }
}

/// Sizes of folders.
///
/// # Errors
///
/// An item is an error when the call breaks or the node ends it with a status, and `Malformed` for a size below
/// zero. Nothing comes after an error.
///
/// # Cancel safety
///
/// Waiting for the next item may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct DiskUsageStream {
    inner: Messages<proto::DiskUsageInfo>,
    depth: Option<u32>,
}

impl DiskUsageStream {
    /// The next size, or `None` at the end.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_usage(&mut self) -> Option<Result<DiskUsage>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for DiskUsageStream {
    type Item = Result<DiskUsage>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(raw) = ready!(self.inner.poll_next(cx)).transpose()? else {
                return Poll::Ready(None);
            };
            if let Some(error) = self.inner.call().node_error(raw.metadata.as_ref()) {
                self.inner.end();
                return Poll::Ready(Some(Err(error)));
            }
            // Below `/`, nodes count the first level as none.
            let depth = u32::try_from(path::depth(&raw.relative_name)).unwrap_or(u32::MAX);
            if self.depth.is_some_and(|wanted| depth > wanted) {
                continue;
            }
            let Ok(size) = raw.size.try_into() else {
                self.inner.end();
                let error = self.inner.call().malformed("a size is below zero");
                return Poll::Ready(Some(Err(error)));
            };
            return Poll::Ready(Some(Ok(DiskUsage { raw, size })));
        }
    }
}

impl Node {
    /// How much space a folder of the node takes, with everything in it.
    ///
    /// Upstream: `machine.MachineService/DiskUsage` · talosctl usage · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub fn disk_usage(&self, path: impl Into<String>) -> DiskUsageRequest {
        let usage = Usage {
            path: path.into(),
            depth: Some(0),
            all: false,
            threshold: 0,
        };
        DiskUsageRequest::new(self.target(), usage)
    }
}
