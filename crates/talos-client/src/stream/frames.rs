//! Messages out of the body of a response.

use std::{
    fmt,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http_body::Body as _;
use talos_transport::{MAX_MESSAGE_SIZE, ResponseBody};
use tonic::Status;

/// The messages of a response, still encoded.
///
/// The generated stubs copy the whole body into a buffer of their own to cut it there. Here a message is a
/// part of what the connection received, without a copy; only one that came in several pieces is put
/// together. See `docs/decisions/reading-messages.md`.
pub(crate) struct Frames {
    /// Never locked: the lock is for streams that have to be `Sync`, which the body is not.
    body: Mutex<ResponseBody>,
    /// What was received last and not handed out.
    piece: Bytes,
    /// The beginning of a message that came in several pieces, its header included.
    begun: BytesMut,
    end: End,
}

/// How far the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// A status has to come after the last message.
    Open,
    /// It has come; with an empty response already in the headers.
    StatusKnown,
    /// Nothing more is asked of the body.
    Over,
}

/// Why there is no next message.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The call failed.
    Status(Status),
    /// What came is not what gRPC wants.
    Malformed(&'static str),
    /// A message of this many bytes.
    TooLarge(usize),
}

impl Frames {
    /// `status_known` if the headers of the response had a status already.
    pub(crate) fn new(body: ResponseBody, status_known: bool) -> Self {
        Self {
            body: Mutex::new(body),
            piece: Bytes::new(),
            begun: BytesMut::new(),
            end: if status_known { End::StatusKnown } else { End::Open },
        }
    }

    /// The next message; `None` after the last one, if the call succeeded. Nothing comes after an error.
    pub(crate) fn poll_message(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FrameError>>> {
        if self.end == End::Over {
            return Poll::Ready(None);
        }
        let next = ready!(self.poll_inner(cx));
        if !matches!(next, Some(Ok(_))) {
            self.end = End::Over;
        }
        Poll::Ready(next)
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FrameError>>> {
        loop {
            match self.cut() {
                Ok(Some(message)) => return Poll::Ready(Some(Ok(message))),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
            let body = self.body.get_mut().unwrap_or_else(PoisonError::into_inner);
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.piece = data,
                    Err(frame) => {
                        // Statuses other than `OK` come as errors.
                        if frame
                            .trailers_ref()
                            .is_some_and(|trailers| trailers.contains_key("grpc-status"))
                        {
                            self.end = End::StatusKnown;
                        }
                    }
                },
                Some(Err(status)) => return Poll::Ready(Some(Err(FrameError::Status(status)))),
                None if !self.begun.is_empty() => {
                    return malformed("the stream ended in the middle of a message");
                }
                None if self.end == End::Open => return malformed("the stream ended without a status"),
                None => return Poll::Ready(None),
            }
        }
    }

    /// The next message, if it is there as a whole.
    fn cut(&mut self) -> Result<Option<Bytes>, FrameError> {
        if self.begun.is_empty() {
            if self.piece.is_empty() {
                return Ok(None);
            }
            if let Some(length) = length(&self.piece)?
                && self.piece.len() - HEADER >= length
            {
                self.piece.advance(HEADER);
                return Ok(Some(self.piece.split_to(length)));
            }
        }
        // At first as much as tells the length, then as much as that is.
        loop {
            let wanted = match length(&self.begun)? {
                Some(length) => HEADER + length,
                None => HEADER,
            };
            let missing = (wanted - self.begun.len()).min(self.piece.len());
            self.begun.extend_from_slice(&self.piece[..missing]);
            self.piece.advance(missing);
            if self.begun.len() < wanted {
                return Ok(None);
            }
            if wanted > HEADER || length(&self.begun)? == Some(0) {
                self.begun.advance(HEADER);
                return Ok(Some(self.begun.split().freeze()));
            }
        }
    }
}

fn malformed<T>(reason: &'static str) -> Poll<Option<Result<T, FrameError>>> {
    Poll::Ready(Some(Err(FrameError::Malformed(reason))))
}

/// The length of the message that begins here, if its header is complete.
fn length(begin: &[u8]) -> Result<Option<usize>, FrameError> {
    let Some(&[compressed, a, b, c, d]) = begin.first_chunk::<HEADER>() else {
        return Ok(None);
    };
    if compressed != 0 {
        return Err(FrameError::Malformed(
            "a message is compressed, which was not asked for",
        ));
    }
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if length > MAX_MESSAGE_SIZE {
        return Err(FrameError::TooLarge(length));
    }
    Ok(Some(length))
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// Compressed or not, and the length.
const HEADER: usize = 5;

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::VecDeque;

    use http::HeaderMap;
    use http_body::Frame;
    use proptest::prelude::*;

    use super::*;

    /// A body of these pieces, and a status if it ends well.
    #[derive(Debug)]
    pub(crate) struct Pieces {
        pub(crate) pieces: VecDeque<Bytes>,
        pub(crate) end: Option<HeaderMap>,
    }

    impl Pieces {
        pub(crate) fn ok(pieces: impl IntoIterator<Item = Bytes>) -> Self {
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
            Self {
                pieces: pieces.into_iter().collect(),
                end: Some(trailers),
            }
        }

        pub(crate) fn cut_off(pieces: impl IntoIterator<Item = Bytes>) -> Self {
            Self {
                end: None,
                ..Self::ok(pieces)
            }
        }

        pub(crate) fn into_frames(self) -> Frames {
            Frames::new(ResponseBody::new(self), false)
        }
    }

    impl http_body::Body for Pieces {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            let piece = self.pieces.pop_front().map(|piece| Ok(Frame::data(piece)));
            Poll::Ready(piece.or_else(|| self.end.take().map(|end| Ok(Frame::trailers(end)))))
        }
    }

    pub(crate) fn frame(message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).expect("short").to_be_bytes());
        frame.extend(message);
        frame
    }

    fn read(pieces: Pieces) -> (Vec<Bytes>, Option<FrameError>) {
        let mut frames = pieces.into_frames();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut messages = Vec::new();
        loop {
            match frames.poll_message(&mut cx) {
                Poll::Ready(Some(Ok(message))) => messages.push(message),
                Poll::Ready(Some(Err(error))) => {
                    assert!(matches!(frames.poll_message(&mut cx), Poll::Ready(None)));
                    return (messages, Some(error));
                }
                Poll::Ready(None) => return (messages, None),
                Poll::Pending => panic!("everything is there"),
            }
        }
    }

    proptest! {
        #[test]
        fn messages_come_out_whole_wherever_pieces_end(
            messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 0..10),
            cuts in proptest::collection::vec(0_usize..500, 0..20),
        ) {
            let body: Vec<u8> = messages.iter().flat_map(|message| frame(message)).collect();
            let mut borders: Vec<_> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            borders.extend([0, body.len()]);
            borders.sort_unstable();
            let pieces = borders.windows(2).map(|pair| Bytes::copy_from_slice(&body[pair[0]..pair[1]]));
            let (read, error) = read(Pieces::ok(pieces));
            prop_assert!(error.is_none(), "{:?}", error);
            prop_assert_eq!(read, messages);
        }
    }

    #[test]
    fn a_message_in_one_piece_is_not_copied() {
        let body = Bytes::from([frame(b"one"), frame(b"two")].concat());
        let range = body.as_ptr_range();
        let (read, _) = read(Pieces::ok([body.clone()]));
        assert_eq!(read, [&b"one"[..], &b"two"[..]]);
        assert!(read.iter().all(|message| range.contains(&message.as_ptr())));
    }

    #[test]
    fn an_end_in_the_middle_or_without_a_status_is_no_end() {
        let whole = Bytes::from(frame(b"one"));
        for (pieces, expected) in [
            (
                Pieces::ok([whole.clone(), whole.slice(..6)]),
                "the stream ended in the middle of a message",
            ),
            (
                Pieces::ok([whole.clone(), whole.slice(..2)]),
                "the stream ended in the middle of a message",
            ),
            (
                Pieces::cut_off([whole.clone()]),
                "the stream ended without a status",
            ),
        ] {
            let (messages, error) = read(pieces);
            assert_eq!(messages, [&b"one"[..]]);
            assert!(
                matches!(error, Some(FrameError::Malformed(reason)) if reason == expected),
                "{error:?}"
            );
        }
    }

    #[test]
    fn headers_that_cannot_be_are_refused_before_anything_is_kept() {
        let (_, error) = read(Pieces::ok([Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff])]));
        assert!(
            matches!(error, Some(FrameError::TooLarge(0xffff_ffff))),
            "{error:?}"
        );
        let (_, error) = read(Pieces::ok([Bytes::from_static(&[1, 0, 0, 0, 0])]));
        assert!(matches!(error, Some(FrameError::Malformed(_))), "{error:?}");
    }
}
