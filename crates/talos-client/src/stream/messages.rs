//! Typed messages of a response.

use std::{
    marker::PhantomData,
    task::{Context, Poll, ready},
};

use prost::Message;

use super::frames::{FrameError, Frames};
use crate::{
    call::CallInfo,
    error::{ErrorKind, Origin, Result},
};

/// The messages of a server stream, with errors of ours.
#[derive(Debug)]
pub(crate) struct Messages<T> {
    frames: Frames,
    call: CallInfo,
    over: bool,
    message: PhantomData<fn() -> T>,
}

impl<T: Message + Default> Messages<T> {
    pub(crate) fn new(frames: Frames, call: CallInfo) -> Self {
        Self {
            frames,
            call,
            over: false,
            message: PhantomData,
        }
    }

    pub(crate) fn call(&self) -> &CallInfo {
        &self.call
    }

    /// Ends the call; nothing comes any more.
    pub(crate) fn end(&mut self) {
        self.over = true;
    }

    /// The next message, `None` after the last one. Nothing comes after an error.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let next = match ready!(self.frames.poll_message(cx)) {
            Some(Ok(message)) => Some(T::decode(message).map_err(|error| {
                self.call
                    .malformed("a message does not decode")
                    .with_source(error)
            })),
            Some(Err(error)) => Some(Err(self.call.frame_error(error))),
            None => None,
        };
        self.over = !matches!(next, Some(Ok(_)));
        Poll::Ready(next)
    }

    /// The same as a future.
    pub(crate) async fn next(&mut self) -> Option<Result<T>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }
}

impl CallInfo {
    pub(super) fn frame_error(&self, error: FrameError) -> crate::Error {
        match error {
            FrameError::Status(status) => self.fail(status),
            FrameError::Malformed(reason) => self.malformed(reason),
            FrameError::TooLarge(length) => self
                .error(ErrorKind::TooLarge, Origin::Local)
                .with_message(format!("a message of {length} bytes")),
        }
    }
}
