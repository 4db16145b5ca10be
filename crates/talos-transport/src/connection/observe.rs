//! A byte stream that remembers how it began and why it ended.
//!
//! The HTTP/2 library reports a broken connection as text. The reason a user needs, "the server does not trust your
//! certificate", is a typed error only here, where the bytes pass.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::connect::{ConnectReason, HandshakeError};
use crate::error::CloseReason;

/// Where a connection's end is noted down; the first reason stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observer(Arc<OnceLock<CloseReason>>);

/// Resolves when the server has sent its first frame.
pub(crate) struct Opened {
    first_frame: oneshot::Receiver<Result<(), ConnectReason>>,
    observer: Observer,
}

/// See the module.
pub(crate) struct ObservedIo<T> {
    io: T,
    observer: Observer,
    beginning: Option<Beginning>,
}

/// What the server has sent so far, until that is a whole frame header.
struct Beginning {
    seen: Vec<u8>,
    first_frame: oneshot::Sender<Result<(), ConnectReason>>,
}

impl Observer {
    /// Why the connection ended, if it did so by what was read or written.
    pub(crate) fn reason(&self) -> Option<CloseReason> {
        self.0.get().cloned()
    }

    pub(crate) fn record(&self, reason: CloseReason) {
        // Whatever follows the first reason is its consequence.
        let _ = self.0.set(reason);
    }

    fn record_io(&self, error: io::Error) {
        self.record(match HandshakeError::find(&error) {
            Some(error) => CloseReason::Tls(error),
            None if error.kind() == io::ErrorKind::UnexpectedEof => CloseReason::Eof,
            None => CloseReason::Io(Arc::new(error)),
        });
    }

    /// The recorded reason as one for not connecting.
    pub(crate) fn connect_reason(&self) -> ConnectReason {
        match self.reason() {
            Some(CloseReason::Tls(error)) => ConnectReason::Tls(error),
            Some(CloseReason::Io(error)) => ConnectReason::Io(io::Error::new(error.kind(), error)),
            Some(CloseReason::Protocol(_) | CloseReason::GoAway { .. }) => {
                ConnectReason::NotHttp2 { answer: None }
            }
            Some(CloseReason::Eof | CloseReason::Local) | None => ConnectReason::ClosedEarly,
        }
    }
}

impl Opened {
    /// # Errors
    ///
    /// Why the server's first frame did not come, or was none.
    pub(crate) async fn wait(self) -> Result<(), ConnectReason> {
        match self.first_frame.await {
            Ok(result) => result,
            // The stream was dropped.
            Err(_) => Err(self.observer.connect_reason()),
        }
    }
}

impl<T> ObservedIo<T> {
    pub(crate) fn new(io: T, observer: Observer) -> (Self, Opened) {
        let (sender, first_frame) = oneshot::channel();
        let beginning = Some(Beginning {
            seen: Vec::new(),
            first_frame: sender,
        });
        (
            Self {
                io,
                observer: observer.clone(),
                beginning,
            },
            Opened {
                first_frame,
                observer,
            },
        )
    }

    fn received(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = bytes.is_empty();
        if end {
            self.observer.record(CloseReason::Eof);
        }
        let Some(Beginning { seen, .. }) = &mut self.beginning else {
            return Ok(());
        };
        seen.extend(bytes.iter().take(ANSWER_LIMIT - seen.len()));
        let undecided = if end {
            seen.is_empty()
        } else {
            seen.len() < FRAME_HEADER
        };
        if undecided {
            return Ok(());
        }
        let Some(Beginning { seen, first_frame }) = self.beginning.take() else {
            return Ok(());
        };
        // The receiver is gone if the attempt was given up; the verdict matters to nobody then.
        if is_settings(&seen) {
            let _ = first_frame.send(Ok(()));
            return Ok(());
        }
        self.observer.record(CloseReason::Protocol(
            "the first frame is not SETTINGS".to_owned(),
        ));
        let _ = first_frame.send(Err(ConnectReason::NotHttp2 {
            answer: first_line(&seen),
        }));
        Err(io::ErrorKind::InvalidData.into())
    }

    fn failed(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        self.observer.record_io(error);
        kind.into()
    }
}

impl<T: AsyncRead + Unpin> ObservedIo<T> {
    /// After a failed write: the server may have said why before it closed.
    fn read_last_words(&mut self, cx: &mut Context<'_>) {
        let mut scratch = [0; 4096];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.io).poll_read(cx, &mut buf) {
                Poll::Ready(Ok(())) if !buf.filled().is_empty() => {}
                Poll::Ready(Err(error)) if HandshakeError::find(&error).is_some() => {
                    self.observer.record_io(error);
                    return;
                }
                _ => return,
            }
        }
    }

    fn write_failed(&mut self, cx: &mut Context<'_>, error: io::Error) -> io::Error {
        self.read_last_words(cx);
        self.failed(error)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ObservedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let room = buf.remaining() > 0;
        match Pin::new(&mut self.io).poll_read(cx, buf) {
            Poll::Ready(Ok(())) if !room => Poll::Ready(Ok(())),
            Poll::Ready(Ok(())) => Poll::Ready(self.received(&buf.filled()[before..])),
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.failed(error))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ObservedIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        written.map_err(|error| self.write_failed(cx, error))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        written.map_err(|error| self.write_failed(cx, error))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        flushed.map_err(|error| self.write_failed(cx, error))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The first frame of a server is SETTINGS, on stream 0.
fn is_settings(header: &[u8]) -> bool {
    matches!(header, [_, _, _, SETTINGS, _, 0, 0, 0, 0, ..])
}

/// The first line of an answer, if it is text.
fn first_line(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|b| matches!(b, b'\r' | b'\n')).next()?;
    let printable = !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    printable.then(|| String::from_utf8_lossy(text).into_owned())
}

const FRAME_HEADER: usize = 9;
const SETTINGS: u8 = 4;
/// How much of an answer that is not HTTP/2 is kept for the error.
const ANSWER_LIMIT: usize = 64;
