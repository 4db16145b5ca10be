//! Streams of text lines: logs and kernel messages.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{bytes::ByteStream, split::LineSplitter};
use crate::error::Result;

/// The lines of a log, without their line ends.
///
/// A line is complete whatever chunks it came in; the last one may lack its line end. Bytes that are not
/// UTF-8 become `U+FFFD`; use the [`ByteStream`] itself where they matter. A line longer than
/// [`LineStream::MAX_LINE`] comes in pieces, so that memory stays bounded.
///
/// # Errors
///
/// As for [`ByteStream`]. What had been received of an unfinished line is handed out before the error.
///
/// # Cancel safety
///
/// Waiting for the next line may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct LineStream {
    inner: ByteStream,
    splitter: LineSplitter,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    /// The bytes ended; an error may have to follow the last line.
    Draining(Option<crate::Error>),
    Done,
}

impl LineStream {
    /// Longest line that is handed out in one piece, in bytes.
    pub const MAX_LINE: usize = 1024 * 1024;

    pub(super) fn new(inner: ByteStream) -> Self {
        Self {
            inner,
            splitter: LineSplitter::new(Self::MAX_LINE),
            end: None,
        }
    }

    /// The next line, or `None` at the end.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_line(&mut self) -> Option<Result<String>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for LineStream {
    type Item = Result<String>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(line) = self.splitter.next_line() {
                return Poll::Ready(Some(Ok(text(&line))));
            }
            match &mut self.end {
                None => {}
                Some(End::Draining(error)) => {
                    let error = error.take();
                    if let Some(line) = self.splitter.finish() {
                        self.end = Some(End::Draining(error));
                        return Poll::Ready(Some(Ok(text(&line))));
                    }
                    self.end = Some(End::Done);
                    return Poll::Ready(error.map(Err));
                }
                Some(End::Done) => return Poll::Ready(None),
            }
            match ready!(Pin::new(&mut self.inner).poll_next(cx)) {
                Some(Ok(chunk)) => self.splitter.push(&chunk),
                Some(Err(error)) => self.end = Some(End::Draining(Some(error))),
                None => self.end = Some(End::Draining(None)),
            }
        }
    }
}

fn text(line: &Bytes) -> String {
    String::from_utf8_lossy(line).into_owned()
}
