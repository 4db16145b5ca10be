//! Records what is read from a request body, so that it can be read once more.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

/// The recording of a body; only the reader that was made last gets anything.
pub(super) struct Tape(Arc<Mutex<Recording>>);

struct Recording {
    /// What was read so far, or what the current reader still has to read of it.
    frames: Vec<Bytes>,
    /// Size of the frames in bytes.
    size: usize,
    /// Whether `frames` holds everything from the beginning on, and somebody may want it again.
    complete: bool,
    /// What was not read yet.
    rest: Body,
    /// Number of the current reader.
    reader: usize,
}

/// Reads a body from its beginning.
struct Reader {
    recording: Arc<Mutex<Recording>>,
    number: usize,
    /// How many of the frames it has seen.
    position: usize,
}

impl Tape {
    /// Starts recording, and returns the body to send in place of the recorded one.
    pub(super) fn record(body: Body) -> (Self, Body) {
        let recording = Arc::new(Mutex::new(Recording {
            frames: Vec::new(),
            size: 0,
            complete: true,
            rest: body,
            reader: 0,
        }));
        let tape = Self(recording);
        let body = tape.reader(0);
        (tape, body)
    }

    /// The body from its beginning, unless too much of it was read. The earlier reader gets no more.
    pub(super) fn rewind(&self) -> Option<Body> {
        let number = {
            let mut recording = lock(&self.0);
            if !recording.complete {
                return None;
            }
            recording.reader += 1;
            recording.reader
        };
        // Making a body asks the reader whether it is at its end, so the lock has to be free.
        Some(self.reader(number))
    }

    fn reader(&self, number: usize) -> Body {
        Body::new(Reader {
            recording: Arc::clone(&self.0),
            number,
            position: 0,
        })
    }
}

/// Without a tape nobody can rewind, so no more is recorded.
impl Drop for Tape {
    fn drop(&mut self) {
        lock(&self.0).complete = false;
    }
}

impl http_body::Body for Reader {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let mut recording = lock(&this.recording);
        if recording.reader != this.number {
            return Poll::Ready(Some(Err(Status::cancelled(
                "the request was refused and is sent again",
            ))));
        }
        if let Some(frame) = recording.frames.get(this.position) {
            this.position += 1;
            return Poll::Ready(Some(Ok(Frame::data(frame.clone()))));
        }
        let polled = Pin::new(&mut recording.rest).poll_frame(cx);
        if let Poll::Ready(Some(frame)) = &polled {
            recording.keep(frame.as_ref().ok().and_then(Frame::data_ref));
            this.position = recording.frames.len();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let recording = lock(&self.recording);
        recording.frames.len() <= self.position && recording.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let recording = lock(&self.recording);
        if recording.frames.len() <= self.position {
            recording.rest.size_hint()
        } else {
            SizeHint::default()
        }
    }
}

impl Recording {
    /// Records a frame that was just read, by a reader that has seen all the others. Too much data, and anything but
    /// data, ends the recording.
    fn keep(&mut self, data: Option<&Bytes>) {
        match data {
            Some(data) if self.complete && self.size + data.len() <= MAX_RECORDED => {
                self.size += data.len();
                self.frames.push(data.clone());
            }
            _ => {
                self.complete = false;
                self.frames = Vec::new();
            }
        }
    }
}

fn lock(recording: &Mutex<Recording>) -> MutexGuard<'_, Recording> {
    recording.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most bytes of a body that are kept.
const MAX_RECORDED: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt as _;

    use super::*;

    /// Frames, then the end.
    struct Frames(VecDeque<Bytes>);

    impl http_body::Body for Frames {
        type Data = Bytes;
        type Error = Status;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
            Poll::Ready(self.0.pop_front().map(|data| Ok(Frame::data(data))))
        }
    }

    fn body(frames: &[&'static str]) -> Body {
        Body::new(Frames(
            frames
                .iter()
                .map(|text| Bytes::from_static(text.as_bytes()))
                .collect(),
        ))
    }

    async fn next(body: &mut Body) -> Option<Result<Bytes, Status>> {
        let frame = body.frame().await?;
        Some(frame.map(|frame| frame.into_data().expect("only data is sent")))
    }

    async fn rest(mut body: Body) -> Vec<Bytes> {
        let mut frames = Vec::new();
        while let Some(frame) = next(&mut body).await {
            frames.push(frame.expect("no error"));
        }
        frames
    }

    #[tokio::test]
    async fn a_body_can_be_read_again_from_any_point() {
        for read_before in 0..=3 {
            let (tape, mut first) = Tape::record(body(&["a", "b", "c"]));
            for _ in 0..read_before {
                next(&mut first).await.expect("a frame").expect("no error");
            }
            let second = tape.rewind().expect("all of it was kept");
            next(&mut first)
                .await
                .expect("an end")
                .expect_err("its place is taken");
            assert_eq!(rest(second).await, ["a", "b", "c"], "after {read_before} frames");
        }
    }

    #[tokio::test]
    async fn the_current_reader_gets_everything_after_the_tape_is_gone() {
        let (tape, mut first) = Tape::record(body(&["a", "b", "c"]));
        next(&mut first).await.expect("a frame").expect("no error");
        next(&mut first).await.expect("a frame").expect("no error");
        let mut second = tape.rewind().expect("all of it was kept");
        assert_eq!(next(&mut second).await.expect("a frame").expect("no error"), "a");
        drop(tape);
        assert_eq!(rest(second).await, ["b", "c"]);
    }

    #[tokio::test]
    async fn a_long_body_passes_but_is_not_kept() {
        let half = Bytes::from(vec![7; MAX_RECORDED / 2]);
        let frames = [half.clone(), half.clone(), Bytes::from_static(b"x"), half];
        let (tape, mut first) = Tape::record(Body::new(Frames(frames.iter().cloned().collect())));
        for _ in 0..2 {
            next(&mut first).await.expect("a frame").expect("no error");
        }
        assert!(lock(&tape.0).complete, "exactly the limit is kept");
        next(&mut first).await.expect("a frame").expect("no error");
        assert!(tape.rewind().is_none());
        assert!(lock(&tape.0).frames.is_empty(), "what is of no use is let go");
        assert_eq!(rest(first).await, frames[3..]);
    }

    #[tokio::test]
    async fn the_end_is_known_only_when_everything_was_read_again() {
        let (tape, first) = Tape::record(body(&["a"]));
        assert_eq!(rest(first).await, ["a"]);
        let second = tape.rewind().expect("all of it was kept");
        assert!(!http_body::Body::is_end_stream(&second));
        assert_eq!(rest(second).await, ["a"]);
    }
}
