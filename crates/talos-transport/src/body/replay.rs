//! [`ReplayBody`]: the body of a request that may be sent again.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// A handle to a request body whose beginning is kept while it is sent.
///
/// One handle at a time reads; another one [takes over](Self::take_over) and begins anew with what was kept. What is kept
/// are the pieces themselves, which share their memory with what is sent.
pub(crate) struct ReplayBody {
    source: Arc<Mutex<Source>>,
    /// Which turn of the source this handle may read in.
    turn: u32,
    /// The next of the kept pieces to hand out.
    next: usize,
    #[cfg(feature = "metrics")]
    sent: Option<metrics::Counter>,
}

struct Source {
    /// What has not been read yet; `None` after its end.
    rest: Option<Body>,
    /// What was read of the rest to see whether it goes on, and not handed out yet.
    ahead: Option<Result<Piece, Status>>,
    kept: Vec<Piece>,
    /// How many more bytes may be kept.
    room: usize,
    turn: u32,
    state: State,
}

#[derive(Clone)]
enum Piece {
    Data(Bytes),
    Trailers(HeaderMap),
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Untouched,
    Begun,
    /// More was read than is kept, or reading failed.
    Lost,
}

impl ReplayBody {
    /// Keeps up to `limit` bytes; with 0 the body can be sent again only while nothing of it was read.
    pub(crate) fn new(body: Body, limit: usize) -> Self {
        Self {
            source: Arc::new(Mutex::new(Source {
                rest: Some(body),
                ahead: None,
                kept: Vec::new(),
                room: limit,
                turn: 0,
                state: State::Untouched,
            })),
            turn: 0,
            next: 0,
            #[cfg(feature = "metrics")]
            sent: None,
        }
    }

    /// Counts what this handle reads.
    #[cfg(feature = "metrics")]
    pub(crate) fn count_sent(&mut self, meter: &crate::metrics::Meter) {
        self.sent = meter.sent();
    }

    fn sending(&self, piece: &Piece) {
        #[cfg(feature = "metrics")]
        if let (Some(sent), Piece::Data(data)) = (&self.sent, piece) {
            sent.increment(data.len() as u64);
        }
        #[cfg(not(feature = "metrics"))]
        let _ = piece;
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Status>>> {
        let mut source = lock(&self.source);
        if source.turn != self.turn {
            return Poll::Ready(Some(Err(Status::cancelled("another attempt goes on"))));
        }
        if let Some(piece) = source.kept.get(self.next) {
            self.next += 1;
            return Poll::Ready(Some(Ok(piece.clone())));
        }
        match ready!(source.poll_rest(cx)) {
            Some(Ok(piece)) => {
                source.keep(piece.clone());
                self.next = source.kept.len();
                source.look_ahead(cx);
                Poll::Ready(Some(Ok(piece)))
            }
            Some(Err(status)) => {
                source.state = State::Lost;
                Poll::Ready(Some(Err(status)))
            }
            None => Poll::Ready(None),
        }
    }

    /// Makes this handle the one that reads, from the beginning; other handles fail from now on. Returns false, and changes
    /// nothing, if what was read is not kept, or if the body is not read to its end: then it is a stream that goes on while
    /// the call does, and belongs to the attempt it was begun with.
    pub(crate) fn take_over(&mut self) -> bool {
        let mut source = lock(&self.source);
        let possible = match source.state {
            State::Untouched => true,
            State::Begun => source.is_read(),
            State::Lost => false,
        };
        if possible {
            source.turn += 1;
            self.turn = source.turn;
            self.next = 0;
        }
        possible
    }
}

impl Source {
    /// Whether nothing more will come.
    fn is_read(&self) -> bool {
        self.ahead.is_none() && self.rest.as_ref().is_none_or(|rest| rest.is_end_stream())
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, Status>>> {
        if let Some(piece) = self.ahead.take() {
            return Poll::Ready(Some(piece));
        }
        let Some(rest) = &mut self.rest else {
            return Poll::Ready(None);
        };
        let piece = ready!(Pin::new(rest).poll_frame(cx)).map(|frame| frame.map(Piece::from));
        if piece.is_none() {
            self.rest = None;
        }
        Poll::Ready(piece)
    }

    /// Finds out whether what was read is all there is, as it is for a single message. A body does not say so before it is
    /// asked for more, and until then the request could not be sent again. It also saves a frame that only ends the request.
    fn look_ahead(&mut self, cx: &mut Context<'_>) {
        if self.state == State::Begun
            && let Poll::Ready(piece) = self.poll_rest(cx)
        {
            self.ahead = piece;
        }
    }

    fn keep(&mut self, piece: Piece) {
        let length = match &piece {
            Piece::Data(data) => data.len(),
            Piece::Trailers(_) => 0,
        };
        if self.state == State::Lost || length > self.room || self.room == 0 {
            self.state = State::Lost;
            self.kept.clear();
            return;
        }
        self.state = State::Begun;
        self.room -= length;
        self.kept.push(piece);
    }
}

impl Clone for ReplayBody {
    fn clone(&self) -> Self {
        Self {
            source: Arc::clone(&self.source),
            turn: self.turn,
            next: 0,
            #[cfg(feature = "metrics")]
            sent: None,
        }
    }
}

impl http_body::Body for ReplayBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let polled = ready!(this.poll_piece(cx));
        if let Some(Ok(piece)) = &polled {
            this.sending(piece);
        }
        Poll::Ready(polled.map(|piece| piece.map(Frame::from)))
    }

    fn is_end_stream(&self) -> bool {
        let source = lock(&self.source);
        source.turn == self.turn && self.next >= source.kept.len() && source.is_read()
    }

    fn size_hint(&self) -> SizeHint {
        let source = lock(&self.source);
        match &source.rest {
            Some(rest) if source.state == State::Untouched => rest.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

impl From<Frame<Bytes>> for Piece {
    fn from(frame: Frame<Bytes>) -> Self {
        match frame.into_data() {
            Ok(data) => Self::Data(data),
            // There are no kinds of frames but these two.
            Err(frame) => Self::Trailers(frame.into_trailers().unwrap_or_default()),
        }
    }
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(trailers) => Self::trailers(trailers),
        }
    }
}

impl fmt::Debug for ReplayBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayBody")
    }
}

fn lock(source: &Mutex<Source>) -> MutexGuard<'_, Source> {
    // A body of the caller's may panic in its `poll_frame`; the state is valid all the same.
    source.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, Full, StreamBody};

    use super::*;

    fn pieces(pieces: &[&'static str]) -> Body {
        let frames: Vec<_> = pieces
            .iter()
            .map(|text| Ok::<_, Status>(Frame::data(Bytes::from_static(text.as_bytes()))))
            .collect();
        Body::new(StreamBody::new(tokio_stream::iter(frames)))
    }

    async fn next(body: &mut ReplayBody) -> Option<Result<Bytes, tonic::Code>> {
        let frame = body.frame().await?;
        Some(match frame {
            Ok(frame) => Ok(frame.into_data().unwrap()),
            Err(status) => Err(status.code()),
        })
    }

    async fn rest(body: &mut ReplayBody) -> Vec<Bytes> {
        let mut all = Vec::new();
        while let Some(piece) = next(body).await {
            all.push(piece.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn what_was_sent_is_sent_again_without_copying() {
        let data = Bytes::from(vec![1; 100]);
        let mut first = ReplayBody::new(Body::new(Full::new(data.clone())), 100);
        let mut second = first.clone();
        assert_eq!(next(&mut first).await.unwrap().unwrap().as_ptr(), data.as_ptr());
        assert!(next(&mut first).await.is_none() && first.is_end_stream());
        let mut third = second.clone();
        assert!(second.take_over());
        assert!(!second.is_end_stream());
        assert_eq!(next(&mut second).await.unwrap().unwrap().as_ptr(), data.as_ptr());
        assert!(next(&mut second).await.is_none());
        assert!(third.take_over());
        assert_eq!(rest(&mut third).await, [data]);
    }

    #[tokio::test]
    async fn only_one_attempt_reads() {
        let mut first = ReplayBody::new(pieces(&["a", "b"]), 100);
        let mut second = first.clone();
        assert!(second.take_over());
        assert_eq!(next(&mut first).await, Some(Err(tonic::Code::Cancelled)));
        assert_eq!(rest(&mut second).await, ["a", "b"]);
    }

    #[tokio::test]
    async fn a_stream_belongs_to_the_attempt_it_was_begun_with() {
        let mut first = ReplayBody::new(pieces(&["a", "b"]), 100);
        let mut second = first.clone();
        next(&mut first).await;
        assert!(!second.take_over());
        assert_eq!(rest(&mut first).await, ["b"], "the first goes on undisturbed");
    }

    #[tokio::test]
    async fn what_is_larger_than_the_limit_is_lost_once_read() {
        for limit in [0, 2] {
            let first = ReplayBody::new(pieces(&["a", "bc"]), limit);
            let mut second = first.clone();
            assert!(second.take_over(), "nothing was read yet");
            let mut third = second.clone();
            assert_eq!(rest(&mut second).await, ["a", "bc"], "limit {limit}");
            assert!(!third.take_over(), "limit {limit}");
        }
    }

    #[tokio::test]
    async fn a_single_message_is_known_to_be_all_as_soon_as_it_is_read() {
        // As generated stubs have it: it does not know about its end before it is asked for more.
        let mut first = ReplayBody::new(pieces(&["a"]), 100);
        let mut second = first.clone();
        assert_eq!(next(&mut first).await.unwrap().unwrap(), "a");
        assert!(first.is_end_stream());
        assert!(second.take_over());
        assert_eq!(rest(&mut second).await, ["a"]);
    }

    #[tokio::test]
    async fn an_empty_body_can_be_sent_again() {
        let mut first = ReplayBody::new(Body::empty(), 0);
        let mut second = first.clone();
        assert!(next(&mut first).await.is_none());
        assert!(second.take_over());
        assert!(next(&mut second).await.is_none());
    }
}
