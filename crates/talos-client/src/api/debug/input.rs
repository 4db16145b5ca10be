//! What goes into a debug container.

use std::{
    fmt, io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use talos_proto::{
    machine::{DebugContainerRunRequest, DebugContainerTerminalResize, debug_container_run_request::Request},
    methods::machine::debug_service as methods,
};
use tokio::{io::AsyncWrite, sync::mpsc};
use tokio_util::sync::PollSender;

use crate::error::{Error, ErrorKind, Origin, Result};

/// What goes into a debug container: an [`AsyncWrite`] to its input, signals, and the size of its terminal.
///
/// Writing waits while the node does not read. Shutting it down or dropping it is the end of the input; the output
/// goes on. Signals and sizes go the same way, so there are none after the end.
pub struct DebugInput {
    sender: PollSender<DebugContainerRunRequest>,
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Signal {
    /// SIGHUP
    Hangup,
    /// SIGINT, what Ctrl-C sends.
    Interrupt,
    /// SIGQUIT
    Quit,
    /// SIGKILL
    Kill,
    /// SIGTERM
    Terminate,
    /// Another one, by its number on Linux.
    Other(i32),
}

impl Signal {
    /// Its number on Linux.
    pub fn number(self) -> i32 {
        match self {
            Self::Hangup => 1,
            Self::Interrupt => 2,
            Self::Quit => 3,
            Self::Kill => 9,
            Self::Terminate => 15,
            Self::Other(number) => number,
        }
    }
}

impl DebugInput {
    pub(super) fn new(sender: mpsc::Sender<DebugContainerRunRequest>) -> Self {
        Self {
            sender: PollSender::new(sender),
        }
    }

    /// Sends a signal to the container.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for a number that is no signal, and `FailedPrecondition` after the end of the input or of
    /// the container.
    ///
    /// # Cancel safety
    ///
    /// Either the signal is sent, or it is not.
    pub async fn signal(&mut self, signal: Signal) -> Result<()> {
        let number = signal.number();
        if !(1..=64).contains(&number) {
            let error = Error::new(ErrorKind::InvalidInput, Origin::Local);
            return Err(error
                .with_method(methods::CONTAINER_RUN.path)
                .with_message(format!("{number} is no signal")));
        }
        self.send(Request::Signal(number)).await
    }

    /// Tells the terminal its size, in characters.
    ///
    /// # Errors
    ///
    /// `FailedPrecondition` after the end of the input or of the container.
    ///
    /// # Cancel safety
    ///
    /// Either the size is sent, or it is not.
    pub async fn resize(&mut self, width: u16, height: u16) -> Result<()> {
        let size = DebugContainerTerminalResize {
            width: width.into(),
            height: height.into(),
        };
        self.send(Request::TermResize(size)).await
    }

    async fn send(&mut self, request: Request) -> Result<()> {
        let over = |_| {
            Error::new(ErrorKind::FailedPrecondition, Origin::Local)
                .with_method(methods::CONTAINER_RUN.path)
                .with_message("the container's input is at its end")
        };
        std::future::poll_fn(|cx| self.sender.poll_reserve(cx))
            .await
            .map_err(over)?;
        self.sender.send_item(message(request)).map_err(over)
    }
}

fn message(request: Request) -> DebugContainerRunRequest {
    DebugContainerRunRequest {
        request: Some(request),
    }
}

fn broken_pipe<E>(_over: E) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the container's input is at its end")
}

impl AsyncWrite for DebugInput {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.sender.poll_reserve(cx)).map_err(broken_pipe)?;
        let length = bytes.len().min(CHUNK);
        let data = Request::StdinData(Bytes::copy_from_slice(&bytes[..length]));
        self.sender.send_item(message(data)).map_err(broken_pipe)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // What was written is on its way.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.sender.close();
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for DebugInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugInput")
            .field("ended", &self.sender.is_closed())
            .finish_non_exhaustive()
    }
}

/// Most bytes in one message: what talosctl sends.
const CHUNK: usize = 1024;
