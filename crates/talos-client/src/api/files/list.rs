//! Listing folders.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use futures_core::Stream;
use talos_proto::{
    machine::{self as proto, list_request::Type},
    methods::machine::machine_service as methods,
};

use super::{
    mode::{FileKind, FileMode},
    path,
};
use crate::{
    Node,
    call::{Kind, request},
    error::Result,
    stream::Messages,
};

/// A file in a listing.
#[derive(Clone, Debug, PartialEq)]
pub struct FileEntry {
    raw: proto::FileInfo,
    size: u64,
}

impl FileEntry {
    /// Its path on the node.
    pub fn path(&self) -> &str {
        &self.raw.name
    }

    /// Its path below the folder that is listed; `.` for that folder itself.
    pub fn relative_path(&self) -> &str {
        &self.raw.relative_name
    }

    /// Why the node could not look at it. The rest is not to be relied on then.
    pub fn error(&self) -> Option<&str> {
        Some(self.raw.error.as_str()).filter(|error| !error.is_empty())
    }

    /// Kind and permissions.
    pub fn mode(&self) -> FileMode {
        FileMode::from_go(self.raw.mode)
    }

    /// What it is.
    pub fn kind(&self) -> FileKind {
        self.mode().kind()
    }

    /// Its size, in bytes. Files of `/proc` and `/sys` say 0 or 4096 whatever is in them.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When its contents were changed, to the second; `None` if that cannot be.
    pub fn modified(&self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(self.raw.modified.unsigned_abs());
        if self.raw.modified < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(seconds)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(seconds)
        }
    }

    /// Where a symbolic link leads to.
    pub fn link_target(&self) -> Option<&str> {
        Some(self.raw.link.as_str()).filter(|link| !link.is_empty())
    }

    /// Number of the owner.
    pub fn uid(&self) -> u32 {
        self.raw.uid
    }

    /// Number of the group.
    pub fn gid(&self) -> u32 {
        self.raw.gid
    }

    /// Extended attributes, if [`ListRequest::report_xattrs`] asked for them.
    pub fn xattrs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.raw
            .xattrs
            .iter()
            .map(|xattr| (xattr.name.as_str(), &xattr.data[..]))
    }

    /// The message as it came.
    pub fn into_inner(self) -> proto::FileInfo {
        self.raw
    }
}

/// What is asked of the node, and what is sorted out here.
#[derive(Clone, Debug)]
pub(crate) struct Listing {
    message: proto::ListRequest,
    depth: Option<usize>,
}

request! {
    /// What of a folder to list; made by [`Node::list`].
    pub struct ListRequest(Listing) {
        /// Lists folders within folders, however deep. Default: only what is directly in the folder.
        fn recursive(listing) {
            listing.depth = None;
        }

        /// Lists this many levels; 1, the default, is what is directly in the folder, and 0 the folder alone.
        fn depth(listing, levels: u32) {
            listing.depth = Some(usize::try_from(levels).unwrap_or(usize::MAX));
        }

        /// Only files of these kinds: [`FileKind::Regular`], [`FileKind::Directory`] and [`FileKind::Symlink`],
        /// for the others Talos has no filter. Default: everything.
        ///
        /// Other kinds are refused by [`ListRequest::send`].
        fn kinds(listing, kinds: impl IntoIterator<Item = FileKind>) {
            let number = |kind| match kind {
                FileKind::Regular => Type::Regular as i32,
                FileKind::Directory => Type::Directory as i32,
                FileKind::Symlink => Type::Symlink as i32,
                _ => NO_SUCH_TYPE,
            };
            listing.message.types = kinds.into_iter().map(number).collect();
        }

        /// Whether to send extended attributes, such as `security.selinux`. Default: false.
        fn report_xattrs(listing, report: bool) {
            listing.message.report_xattrs = report;
        }
    }

    /// Begins the list: the folder itself first, then what is in it, in the order of names.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a path that is not absolute and for kinds that cannot be asked for, `Unknown` with
    /// `lstat …: no such file or directory` for a folder that does not exist, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call; later ones arrive in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    send(target, listing) -> FileStream {
        let method = &methods::LIST;
        let Listing { mut message, depth } = listing;
        if let Some(problem) = path::problem(&message.root) {
            return Err(target.invalid_input(method, problem));
        }
        if message.types.contains(&NO_SUCH_TYPE) {
            return Err(target.invalid_input(method, "only regular files, directories and symlinks can be asked for"));
        }
        message.recurse = depth != Some(0) && depth != Some(1);
        // 0 is as deep as it goes. A deeper one than can be said is the same.
        message.recursion_depth = depth.filter(|_| message.recurse).map_or(0, |depth| depth.try_into().unwrap_or(0));
        Ok(FileStream {
            inner: target.open(Kind::Work, method, message).await?,
            depth,
        })
    }
}

/// The files of a listing.
///
/// # Errors
///
/// An item is an error when the call breaks or the node ends it with a status, and `Malformed` for a size below
/// zero. What the node cannot look at is no such error: see [`FileEntry::error`]. Nothing comes after an error.
///
/// # Cancel safety
///
/// Waiting for the next file may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct FileStream {
    inner: Messages<proto::FileInfo>,
    depth: Option<usize>,
}

impl FileStream {
    /// The next file, or `None` at the end.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_entry(&mut self) -> Option<Result<FileEntry>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for FileStream {
    type Item = Result<FileEntry>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(raw) = ready!(self.inner.poll_next(cx)).transpose()? else {
                return Poll::Ready(None);
            };
            if let Some(error) = self.inner.call().node_error(raw.metadata.as_ref()) {
                self.inner.end();
                return Poll::Ready(Some(Err(error)));
            }
            // Nodes go too deep below `/`, and in folders that the filter leaves out.
            if self
                .depth
                .is_some_and(|depth| path::depth(&raw.relative_name) > depth)
            {
                continue;
            }
            let Ok(size) = raw.size.try_into() else {
                self.inner.end();
                let error = self.inner.call().malformed("a file has a size below zero");
                return Poll::Ready(Some(Err(error)));
            };
            return Poll::Ready(Some(Ok(FileEntry { raw, size })));
        }
    }
}

impl Node {
    /// What is in a folder of the node.
    ///
    /// A symbolic link is followed if it is what is asked for, and not further down.
    ///
    /// Upstream: `machine.MachineService/List` · talosctl list · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub fn list(&self, folder: impl Into<String>) -> ListRequest {
        let message = proto::ListRequest {
            root: folder.into(),
            ..proto::ListRequest::default()
        };
        ListRequest::new(
            self.target(),
            Listing {
                message,
                depth: Some(1),
            },
        )
    }
}

/// Never sent.
const NO_SUCH_TYPE: i32 = -1;
