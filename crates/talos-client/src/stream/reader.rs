//! Streams of bytes as `AsyncRead`.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

use super::bytes::ByteStream;
use crate::error::{Error, Result};

/// A stream of bytes as an [`AsyncRead`]; see [`ByteStream::into_async_read`].
///
/// A status that comes after the last byte is the error of the read that would otherwise have been the end.
#[must_use = "readers do nothing unless polled"]
#[derive(Debug)]
pub struct ByteReader<S = ByteStream> {
    inner: S,
    /// The rest of the chunk that was received last.
    chunk: Bytes,
    /// What came after bytes that went out first.
    error: Option<Error>,
}

impl<S> ByteReader<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self {
            inner,
            chunk: Bytes::new(),
            error: None,
        }
    }

    /// The stream behind this reader. What was read from it and not from here is lost.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Stream<Item = Result<Bytes>> + Unpin> ByteReader<S> {
    /// Sees to it that there are bytes, unless the stream is at its end.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Err(error));
        }
        while self.chunk.is_empty() {
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(chunk)) => self.chunk = chunk,
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream<Item = Result<Bytes>> + Unpin> AsyncRead for ByteReader<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        while buf.remaining() > 0 {
            match this.poll_fill(cx) {
                Poll::Ready(Ok(())) if this.chunk.is_empty() => break,
                Poll::Ready(Ok(())) => {
                    let length = this.chunk.len().min(buf.remaining());
                    buf.put_slice(&this.chunk[..length]);
                    this.chunk.advance(length);
                }
                Poll::Ready(Err(error)) if buf.filled().len() > before => {
                    this.error = Some(error);
                    break;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending if buf.filled().len() > before => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream<Item = Result<Bytes>> + Unpin> AsyncBufRead for ByteReader<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        ready!(this.poll_fill(cx))?;
        Poll::Ready(Ok(&this.chunk))
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        self.chunk.advance(amount);
    }
}
