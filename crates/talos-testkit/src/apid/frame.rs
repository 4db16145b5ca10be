//! gRPC's length-prefixed frames: whole messages out of a body, and messages back into frames.

use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http_body::Body;
use tonic::Status;

/// Flag byte and four bytes of length.
const HEADER: usize = 5;

/// Most bytes in a message that `apid` and `machined` accept: 32 MiB.
pub(crate) const MAX_MESSAGE: usize = 32 * 1024 * 1024;

/// How the messages of one direction are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Encoding {
    #[default]
    Identity,
    Gzip,
}

impl Encoding {
    /// Reads `grpc-encoding`; grpc-go knows no other names.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Status> {
        match headers.get("grpc-encoding").map(|value| value.as_bytes()) {
            None | Some(b"identity") => Ok(Self::Identity),
            Some(b"gzip") => Ok(Self::Gzip),
            Some(other) => Err(Status::unimplemented(format!(
                "grpc: Decompressor is not installed for grpc-encoding {}",
                crate::text::go_quoted(&String::from_utf8_lossy(other))
            ))),
        }
    }
}

/// One uncompressed frame around `message`.
pub(crate) fn frame(message: &[u8]) -> Bytes {
    encode(message, false)
}

/// One gzip-compressed frame around `message`.
pub(crate) fn gzip_frame(message: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(message)?;
    Ok(encode(&encoder.finish()?, true))
}

fn encode(payload: &[u8], compressed: bool) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER + payload.len());
    frame.put_u8(u8::from(compressed));
    // Messages are bounded by MAX_MESSAGE on the way in and by memory on the way out.
    frame.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    frame.put_slice(payload);
    frame.freeze()
}

/// Takes whole messages out of a body.
#[derive(Debug)]
pub(crate) struct MessageReader<B> {
    body: B,
    buffer: BytesMut,
    encoding: Encoding,
    trailers: Option<HeaderMap>,
    ended: bool,
}

impl<B> MessageReader<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<tonic::codegen::StdError>,
{
    pub(crate) fn new(body: B, encoding: Encoding) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            encoding,
            trailers: None,
            ended: false,
        }
    }

    /// Trailers of the body, once [`Self::poll_message`] has returned `None`.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// The next message, decompressed; `None` at the end of the body. Fails once, then ends.
    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Status>>> {
        loop {
            match self.take_message() {
                Ok(None) if self.ended => return Poll::Ready(None),
                Ok(None) => {}
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Err(status) => {
                    self.ended = true;
                    self.buffer.clear();
                    return Poll::Ready(Some(Err(status)));
                }
            }
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => self.trailers = frame.into_trailers().ok(),
                },
                Some(Err(error)) => {
                    self.ended = true;
                    self.buffer.clear();
                    return Poll::Ready(Some(Err(Status::from_error(error.into()))));
                }
                None => {
                    self.ended = true;
                    if !self.buffer.is_empty() {
                        self.buffer.clear();
                        return Poll::Ready(Some(Err(Status::internal("unexpected EOF"))));
                    }
                }
            }
        }
    }

    /// The next message; see [`Self::poll_message`].
    pub(crate) async fn message(&mut self) -> Option<Result<Bytes, Status>> {
        std::future::poll_fn(|cx| self.poll_message(cx)).await
    }

    fn take_message(&mut self) -> Result<Option<Bytes>, Status> {
        let Some((&[flag, a, b, c, d], rest)) = self.buffer.split_first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let too_large = |length: usize| {
            Status::resource_exhausted(format!(
                "grpc: received message larger than max ({length} vs. {MAX_MESSAGE})"
            ))
        };
        if length > MAX_MESSAGE {
            return Err(too_large(length));
        }
        if rest.len() < length {
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        let payload = self.buffer.split_to(length).freeze();
        match (flag, self.encoding) {
            (0, _) => Ok(Some(payload)),
            (1, Encoding::Gzip) => {
                let mut message = Vec::new();
                let limit = MAX_MESSAGE as u64 + 1;
                GzDecoder::new(payload.as_ref())
                    .take(limit)
                    .read_to_end(&mut message)
                    .map_err(|error| {
                        Status::internal(format!(
                            "grpc: failed to decompress the received message: {error}"
                        ))
                    })?;
                if message.len() > MAX_MESSAGE {
                    return Err(too_large(message.len()));
                }
                Ok(Some(message.into()))
            }
            (1, Encoding::Identity) => Err(Status::internal(
                "grpc: compressed flag set with identity or empty encoding",
            )),
            (flag, _) => Err(Status::internal(format!(
                "grpc: received unexpected payload format {flag}"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody};
    use tonic::Code;

    use super::*;

    fn reader(bytes: impl Into<Bytes>, encoding: Encoding) -> MessageReader<Full<Bytes>> {
        MessageReader::new(Full::new(bytes.into()), encoding)
    }

    #[tokio::test]
    async fn messages_survive_any_cut_of_the_body() {
        let wire: Bytes = [frame(b"one"), frame(b""), frame(&[7; 300])].concat().into();
        for size in [1, 2, 5, 7, wire.len()] {
            let frames = wire.chunks(size).map(|chunk| {
                Ok::<_, std::convert::Infallible>(http_body::Frame::data(Bytes::copy_from_slice(chunk)))
            });
            let frames: Vec<_> = frames.collect();
            let body = StreamBody::new(futures_util::stream::iter(frames)).boxed();
            let mut reader = MessageReader::new(body, Encoding::Identity);
            assert_eq!(reader.message().await.unwrap().unwrap(), "one", "{size}");
            assert_eq!(reader.message().await.unwrap().unwrap(), "");
            assert_eq!(reader.message().await.unwrap().unwrap(), vec![7; 300]);
            assert!(reader.message().await.is_none());
        }
    }

    #[tokio::test]
    async fn gzip_is_undone_where_it_was_announced() {
        let compressed = gzip_frame(b"hello").unwrap();
        let mut announced = reader(compressed.clone(), Encoding::Gzip);
        assert_eq!(announced.message().await.unwrap().unwrap(), "hello");
        let refused = reader(compressed, Encoding::Identity)
            .message()
            .await
            .unwrap()
            .unwrap_err();
        assert_eq!(refused.code(), Code::Internal);
    }

    #[tokio::test]
    async fn broken_frames_fail_once_and_end() {
        let cases: [(Vec<u8>, Code); 3] = [
            (vec![0, 0, 0, 0, 9, 1], Code::Internal),
            (vec![0, 2, 0, 0, 1], Code::ResourceExhausted),
            (vec![3, 0, 0, 0, 0], Code::Internal),
        ];
        for (bytes, code) in cases {
            let mut reader = reader(bytes.clone(), Encoding::Identity);
            assert_eq!(
                reader.message().await.unwrap().unwrap_err().code(),
                code,
                "{bytes:?}"
            );
            assert!(reader.message().await.is_none());
        }
    }
}
