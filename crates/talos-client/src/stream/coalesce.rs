//! Small chunks put together.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;

use super::bytes::ByteStream;
use crate::error::{Error, Result};

/// A stream of bytes in larger chunks; see [`ByteStream::coalesce`].
///
/// Holds up to one chunk more than the stream behind it.
///
/// # Cancel safety
///
/// Waiting for the next chunk may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct ChunkStream<S = ByteStream> {
    inner: S,
    size: usize,
    /// Received and not handed out.
    rest: Bytes,
    /// What came after bytes that went out first.
    error: Option<Error>,
}

impl<S: Stream<Item = Result<Bytes>> + Unpin> ChunkStream<S> {
    pub(crate) fn new(inner: S, size: usize) -> Self {
        Self {
            inner,
            size: size.max(1),
            rest: Bytes::new(),
            error: None,
        }
    }

    /// The next chunk, or `None` at the end.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The stream behind this one.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The next chunk as it comes, cut where it is too long.
    fn poll_piece(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<Option<Result<Bytes>>> {
        if self.rest.is_empty() {
            if let Some(error) = self.error.take() {
                return Poll::Ready(Some(Err(error)));
            }
            match Pin::new(&mut self.inner).poll_next(cx) {
                Poll::Ready(Some(Ok(chunk))) => self.rest = chunk,
                other => return other,
            }
        }
        let length = self.rest.len().min(room);
        Poll::Ready(Some(Ok(self.rest.split_to(length))))
    }
}

impl<S: Stream<Item = Result<Bytes>> + Unpin> Stream for ChunkStream<S> {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let size = this.size;
        let first = match this.poll_piece(cx, size) {
            Poll::Ready(Some(Ok(first))) if first.len() < size => first,
            other => return other,
        };
        // One chunk alone is handed on as it is.
        let mut whole: Option<BytesMut> = None;
        let mut length = first.len();
        while length < size {
            match this.poll_piece(cx, size - length) {
                Poll::Ready(Some(Ok(piece))) => {
                    length += piece.len();
                    whole
                        .get_or_insert_with(|| {
                            let mut whole = BytesMut::with_capacity(size);
                            whole.extend_from_slice(&first);
                            whole
                        })
                        .extend_from_slice(&piece);
                }
                Poll::Ready(Some(Err(error))) => {
                    this.error = Some(error);
                    break;
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(Some(Ok(whole.map_or(first, BytesMut::freeze))))
    }
}
