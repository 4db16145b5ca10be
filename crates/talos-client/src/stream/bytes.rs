//! Streams of bytes: files, logs, archives.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use talos_proto::common::Data;
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};
use tokio_util::io::StreamReader;
use tonic::Streaming;

use super::lines::LineStream;
use crate::{
    call::CallInfo,
    error::{Code, Error, ErrorKind, Origin, Result},
};

/// The bytes of a file, a log or an archive, as the node sends them.
///
/// Chunks are at most 1,024 bytes from today's nodes and end anywhere; only their order means something.
/// Nothing is read ahead: a slow reader slows the node down through HTTP/2 flow control. Dropping the
/// stream cancels the call.
///
/// # Errors
///
/// An item is an error when the call breaks, when the node ends it with a status, or when the node says in
/// the middle of the data that it failed. Nothing comes after an error.
///
/// # Cancel safety
///
/// Waiting for the next chunk may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct ByteStream {
    inner: Streaming<Data>,
    call: CallInfo,
    state: State,
}

#[derive(Debug)]
enum State {
    Reading,
    /// The last message carried bytes and an error; the bytes have been handed out.
    Failed(Option<Error>),
    Done,
}

impl ByteStream {
    pub(crate) fn new(inner: Streaming<Data>, call: CallInfo) -> Self {
        Self {
            inner,
            call,
            state: State::Reading,
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

    /// The same bytes as lines of text.
    pub fn lines(self) -> LineStream {
        LineStream::new(self)
    }

    /// The same bytes as an [`AsyncRead`] (and [`AsyncBufRead`]).
    ///
    /// Its errors are [`io::Error`]s that carry our [`Error`] inside.
    pub fn into_async_read(self) -> ByteReader {
        ByteReader {
            inner: StreamReader::new(self),
        }
    }

    /// All bytes at once, at most `max` of them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] as soon as there is one byte more, and as for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancelling loses what has been collected.
    pub async fn collect_up_to(mut self, max: usize) -> Result<Bytes> {
        let mut collected = BytesMut::new();
        while let Some(chunk) = self.next_chunk().await {
            let chunk = chunk?;
            if collected.len() + chunk.len() > max {
                let error = self.call.error(ErrorKind::TooLarge, Origin::Local);
                return Err(error.with_message(format!("more than {max} bytes")));
            }
            collected.extend_from_slice(&chunk);
        }
        Ok(collected.freeze())
    }

    /// What one message means: bytes to hand out, and whether the stream goes on.
    fn accept(&mut self, data: Data) -> Option<Bytes> {
        if let Some(error) = self.call.node_error(data.metadata.as_ref()) {
            // A node that is told to stop reports so inside the data; that is an end, not a failure.
            let stopped = matches!(error.code(), Some(Code::Cancelled | Code::DeadlineExceeded));
            self.state = State::Failed((!stopped).then_some(error));
        }
        (!data.bytes.is_empty()).then_some(data.bytes)
    }
}

impl Stream for ByteStream {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            match &mut self.state {
                State::Reading => {}
                State::Failed(error) => {
                    let error = error.take();
                    self.state = State::Done;
                    return Poll::Ready(error.map(Err));
                }
                State::Done => return Poll::Ready(None),
            }
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(data)) => {
                    if let Some(bytes) = self.accept(data) {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(status)) => {
                    self.state = State::Done;
                    return Poll::Ready(Some(Err(self.call.fail(status))));
                }
                None => self.state = State::Done,
            }
        }
    }
}

/// A [`ByteStream`] as an [`AsyncRead`]; see [`ByteStream::into_async_read`].
#[must_use = "readers do nothing unless polled"]
#[derive(Debug)]
pub struct ByteReader {
    inner: StreamReader<ByteStream, Bytes>,
}

impl AsyncRead for ByteReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncBufRead for ByteReader {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        Pin::new(&mut self.get_mut().inner).poll_fill_buf(cx)
    }

    fn consume(mut self: Pin<&mut Self>, amount: usize) {
        Pin::new(&mut self.inner).consume(amount);
    }
}
