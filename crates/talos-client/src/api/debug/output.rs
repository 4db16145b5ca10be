//! What comes out of a debug container.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use talos_proto::machine::{DebugContainerRunResponse, debug_container_run_response::Resp};
use tonic::Streaming;

use crate::{call::CallInfo, error::Result, stream::CancelOnDrop};

type Opened = Result<(Streaming<DebugContainerRunResponse>, CallInfo)>;
type Opening = Pin<Box<dyn Future<Output = Opened> + Send>>;

/// What comes out of a debug container: its output and error output, mixed, and then its exit code.
///
/// The stream ends with the exit code; one that ends without fails with `Malformed`. Dropping it ends the container.
///
/// # Errors
///
/// An item is an error, and the last one: `NotFound` for an image that is not there, and every
/// [`ErrorKind`](crate::ErrorKind) of a call.
///
/// # Cancel safety
///
/// Waiting for the next chunk may be cancelled at any time, nothing is lost.
#[must_use = "dropping it ends the container"]
pub struct DebugOutput {
    state: State,
    /// Dropped with the state of the call.
    cancel: Option<CancelOnDrop>,
    exit_code: Option<i32>,
}

enum State {
    Opening(Opening),
    Open(Box<Streaming<DebugContainerRunResponse>>, CallInfo),
    Over,
}

impl DebugOutput {
    pub(super) fn opening(opening: Opening, cancel: CancelOnDrop) -> Self {
        Self {
            state: State::Opening(opening),
            cancel: Some(cancel),
            exit_code: None,
        }
    }

    pub(super) fn open(
        messages: Streaming<DebugContainerRunResponse>,
        call: CallInfo,
        cancel: CancelOnDrop,
    ) -> Self {
        Self {
            state: State::Open(Box::new(messages), call),
            cancel: Some(cancel),
            exit_code: None,
        }
    }

    /// The next chunk of output, or `None` when the container has ended.
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

    /// The exit code, once the stream has ended without an error.
    pub fn exit_code(&self) -> Option<i32> {
        self.exit_code
    }

    /// Waits until the container has ended, and returns its exit code. Its output is thrown away.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the container.
    pub async fn wait(mut self) -> Result<i32> {
        while let Some(chunk) = self.next_chunk().await {
            chunk?;
        }
        // The stream has not failed, so there is one.
        Ok(self.exit_code.unwrap_or_default())
    }
}

impl Stream for DebugOutput {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            let end = match &mut this.state {
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok((messages, call)) => {
                        this.state = State::Open(Box::new(messages), call);
                        continue;
                    }
                    Err(error) => Some(error),
                },
                State::Open(messages, call) => match ready!(Pin::new(messages.as_mut()).poll_next(cx)) {
                    Some(Ok(message)) => match message.resp {
                        Some(Resp::StdoutData(bytes)) if !bytes.is_empty() => {
                            return Poll::Ready(Some(Ok(bytes)));
                        }
                        // The node waits for us now, not we for it.
                        Some(Resp::ExitCode(code)) => {
                            this.exit_code = Some(code);
                            None
                        }
                        // Nothing, or something that this library does not know.
                        Some(Resp::StdoutData(_)) | None => continue,
                    },
                    Some(Err(status)) => Some(call.fail(status)),
                    None => Some(call.malformed("the container's exit code is missing")),
                },
                State::Over => return Poll::Ready(None),
            };
            this.state = State::Over;
            this.cancel = None;
            return Poll::Ready(end.map(Err));
        }
    }
}

impl fmt::Debug for DebugOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugOutput")
            .field("exit_code", &self.exit_code)
            .finish_non_exhaustive()
    }
}
