//! Streams of bytes: files, logs, archives.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use talos_proto::common::Data;

use super::{coalesce::ChunkStream, lines::LineStream, messages::Messages, reader::ByteReader};
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
    inner: Messages<Data>,
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
    pub(crate) fn new(inner: Messages<Data>) -> Self {
        Self {
            inner,
            state: State::Reading,
        }
    }

    pub(crate) fn call(&self) -> &CallInfo {
        self.inner.call()
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

    /// The same bytes as an [`AsyncRead`](tokio::io::AsyncRead) (and
    /// [`AsyncBufRead`](tokio::io::AsyncBufRead)).
    ///
    /// A read fills as much of its buffer as has been received. Errors are [`io::Error`](std::io::Error)s that
    /// carry our [`Error`] inside.
    pub fn into_async_read(self) -> ByteReader<Self> {
        ByteReader::new(self)
    }

    /// The same bytes in larger chunks: what has been received, up to `size` bytes (at least 1) in one.
    ///
    /// Nothing waits for a chunk to become full. Use it where each chunk costs something, such as a write to
    /// a file.
    pub fn coalesce(self, size: usize) -> ChunkStream<Self> {
        ChunkStream::new(self, size)
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
                let error = self.call().error(ErrorKind::TooLarge, Origin::Local);
                return Err(error.with_message(format!("more than {max} bytes")));
            }
            collected.extend_from_slice(&chunk);
        }
        Ok(collected.freeze())
    }

    /// What one message means: bytes to hand out, and whether the stream goes on.
    fn accept(&mut self, data: Data) -> Option<Bytes> {
        if let Some(error) = self.call().node_error(data.metadata.as_ref()) {
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
            match ready!(self.inner.poll_next(cx)) {
                Some(Ok(data)) => {
                    if let Some(bytes) = self.accept(data) {
                        return Poll::Ready(Some(Ok(bytes)));
                    }
                }
                Some(Err(error)) => {
                    self.state = State::Done;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.state = State::Done,
            }
        }
    }
}

#[cfg(test)]
#[expect(deprecated, reason = "the metadata under test is, until Talos 2.0")]
mod tests {
    use std::io;

    use prost::Message;
    use talos_proto::{common::Metadata, google::rpc::Status, methods::machine::machine_service::READ};
    use tokio::io::AsyncReadExt;

    use super::{
        super::frames::tests::{Pieces, frame},
        *,
    };

    /// What a node would have sent, as a stream.
    fn stream(messages: &[Data]) -> ByteStream {
        let frames = messages
            .iter()
            .map(|message| frame(&message.encode_to_vec()).into());
        received(Pieces::ok(frames))
    }

    fn received(pieces: Pieces) -> ByteStream {
        ByteStream::new(Messages::new(pieces.into_frames(), CallInfo::for_tests(&READ)))
    }

    fn data(bytes: &'static [u8]) -> Data {
        Data {
            metadata: None,
            bytes: Bytes::from_static(bytes),
        }
    }

    fn failure(bytes: &'static [u8], code: tonic::Code, message: &str) -> Data {
        let status = Status {
            code: code.into(),
            message: message.to_owned(),
            details: Vec::new(),
        };
        let error = format!("rpc error: {message}");
        let metadata = Metadata {
            hostname: "10.5.0.3".to_owned(),
            error,
            status: Some(status),
        };
        Data {
            metadata: Some(metadata),
            bytes: Bytes::from_static(bytes),
        }
    }

    #[tokio::test]
    async fn an_error_inside_the_data_comes_after_the_bytes_and_ends_the_stream() {
        let failed = failure(b"two", tonic::Code::PermissionDenied, "not authorized");
        let mut stream = stream(&[data(b"one"), failed, data(b"never")]);
        assert_eq!(
            stream.next_chunk().await.expect("open").expect("bytes"),
            &b"one"[..]
        );
        assert_eq!(
            stream.next_chunk().await.expect("open").expect("bytes"),
            &b"two"[..]
        );
        let error = stream
            .next_chunk()
            .await
            .expect("open")
            .expect_err("the node failed");
        assert_eq!(
            (error.kind(), error.origin()),
            (ErrorKind::PermissionDenied, Origin::Node)
        );
        assert_eq!(error.message(), Some("not authorized"));
        assert_eq!(error.node().map(|node| node.as_str()), Some("10.5.0.3"));
        assert!(stream.next_chunk().await.is_none());
    }

    #[tokio::test]
    async fn a_node_that_was_told_to_stop_ended_cleanly() {
        for code in [tonic::Code::Cancelled, tonic::Code::DeadlineExceeded] {
            let stream = stream(&[
                data(b"one"),
                failure(b"", code, "context canceled"),
                data(b"never"),
            ]);
            assert_eq!(stream.collect_up_to(10).await.expect("no error"), &b"one"[..]);
        }
    }

    #[tokio::test]
    async fn metadata_without_an_error_is_not_an_error() {
        let metadata = Metadata {
            hostname: "10.5.0.3".to_owned(),
            ..Default::default()
        };
        let stream = stream(&[Data {
            metadata: Some(metadata),
            bytes: Bytes::from_static(b"one"),
        }]);
        assert_eq!(stream.collect_up_to(10).await.expect("no error"), &b"one"[..]);
    }

    #[tokio::test]
    async fn a_reader_hands_our_error_through() {
        let mut reader =
            stream(&[data(b"one"), failure(b"", tonic::Code::NotFound, "gone")]).into_async_read();
        let mut read = Vec::new();
        let error = reader.read_to_end(&mut read).await.expect_err("the node failed");
        assert_eq!(
            (read.as_slice(), error.kind()),
            (&b"one"[..], io::ErrorKind::NotFound)
        );
        let ours = error
            .into_inner()
            .expect("ours")
            .downcast::<Error>()
            .expect("ours");
        assert_eq!(ours.message(), Some("gone"));
    }

    #[tokio::test]
    async fn an_unfinished_line_comes_before_the_error() {
        let mut lines = stream(&[data(b"one\ntw"), failure(b"o", tonic::Code::Internal, "panic")]).lines();
        assert_eq!(lines.next_line().await.expect("open").expect("a line"), "one");
        assert_eq!(lines.next_line().await.expect("open").expect("a line"), "two");
        let error = lines
            .next_line()
            .await
            .expect("open")
            .expect_err("the node failed");
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(lines.next_line().await.is_none());
    }

    #[tokio::test]
    async fn bytes_that_do_not_decode_are_a_malformed_answer() {
        let mut stream = received(Pieces::ok([Bytes::from_static(&[0, 0, 0, 0, 1, 0xff])]));
        let error = stream.next_chunk().await.expect("open").expect_err("garbage");
        assert_eq!(
            (error.kind(), error.origin()),
            (ErrorKind::Malformed, Origin::Local),
            "{error:#}"
        );
    }
}
