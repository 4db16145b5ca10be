//! The entries of a copied folder, one after the other.

use std::{
    borrow::Cow,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::{
    super::FileArchive,
    gunzip::Gunzip,
    header::{EntryKind, Header},
    tar::Tar,
};
use crate::error::{Error, Result};

/// The entries of a copied folder; made by [`FileArchive::entries`].
///
/// # Cancel safety
///
/// Waiting for the next entry may be cancelled at any time, nothing is lost.
#[must_use = "dropping the entries cancels the copy"]
#[derive(Debug)]
pub struct Entries {
    tar: Tar,
}

impl FileArchive {
    /// What is in the archive, one entry after the other.
    pub fn entries(self) -> Entries {
        Entries {
            tar: Tar::new(Gunzip::new(self.into_bytes())),
        }
    }
}

impl Entries {
    /// The next entry, or `None` at the end. What was not read of the one before is left out.
    ///
    /// # Errors
    ///
    /// `Malformed` for what is no `.tar.gz`, or stops in the middle without the node saying why, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call. Nothing comes after an error.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_entry(&mut self) -> Result<Option<Entry<'_>>> {
        let header = std::future::poll_fn(|cx| self.tar.poll_entry(cx)).await?;
        Ok(header.map(|header| Entry {
            header,
            entries: self,
        }))
    }

    /// What the node said after the archive, once [`Entries::next_entry`] has come to the end: usually which
    /// files it could not read.
    pub fn node_error(&self) -> Option<&Error> {
        self.tar.input().trailing()
    }

    pub(super) fn take_node_error(&mut self) -> Option<Error> {
        self.tar.input_mut().take_trailing()
    }
}

/// A file, folder or link in an archive; its contents are an [`AsyncRead`].
#[derive(Debug)]
pub struct Entry<'a> {
    header: Header,
    entries: &'a mut Entries,
}

impl Entry<'_> {
    /// What it is.
    pub fn kind(&self) -> EntryKind {
        self.header.kind
    }

    /// Its path in the archive, **as it came**: it may be absolute, or lead out of a folder. Bytes that are not
    /// UTF-8 become `U+FFFD`.
    pub fn path(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.header.path)
    }

    /// The same without any change.
    pub fn path_bytes(&self) -> &[u8] {
        &self.header.path
    }

    /// Where a link leads to, as it came.
    pub fn link_target(&self) -> Option<Cow<'_, str>> {
        let link = &self.header.link;
        (!link.is_empty()).then(|| String::from_utf8_lossy(link))
    }

    /// The same without any change.
    pub fn link_target_bytes(&self) -> &[u8] {
        &self.header.link
    }

    /// Permissions, as nine bits. Those that are dangerous, such as setuid, are left out.
    pub fn permissions(&self) -> u32 {
        self.header.mode & 0o777
    }

    /// Size of the contents, in bytes. The archive says so; whether so much comes is another question.
    pub fn size(&self) -> u64 {
        self.header.contents()
    }

    /// When the contents were changed, to the second; `None` if that cannot be.
    pub fn modified(&self) -> Option<SystemTime> {
        let seconds = Duration::from_secs(self.header.modified.unsigned_abs());
        if self.header.modified < 0 {
            SystemTime::UNIX_EPOCH.checked_sub(seconds)
        } else {
            SystemTime::UNIX_EPOCH.checked_add(seconds)
        }
    }

    /// Whether the contents ended early, and the node says why after the archive.
    pub(super) fn stopped_by_node(&self) -> bool {
        self.entries.node_error().is_some()
    }

    /// The next piece of the contents, or `None` at their end.
    ///
    /// # Errors
    ///
    /// `Malformed` where the archive ends before the contents do, and every [`ErrorKind`](crate::ErrorKind) of
    /// a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes>> {
        std::future::poll_fn(|cx| self.entries.tar.poll_contents(cx, usize::MAX))
            .await
            .transpose()
    }
}

impl AsyncRead for Entry<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let piece = ready!(self.entries.tar.poll_contents(cx, buf.remaining()))?;
        if let Some(piece) = piece {
            buf.put_slice(&piece);
        }
        Poll::Ready(Ok(()))
    }
}
