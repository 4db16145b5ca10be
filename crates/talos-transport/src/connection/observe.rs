//! A byte stream that remembers how it began and why it ended.
//!
//! The HTTP/2 library reports a broken connection as text. The reason a user needs, "the server does not trust your
//! certificate", is a typed error only here, where the bytes pass.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::connect::{ConnectReason, HandshakeError};
use crate::error::CloseReason;

/// Where it is noted down whether a connection is alive, and why it ended; the first reason stays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observer(Arc<Observed>);

#[derive(Debug, Default)]
struct Observed {
    reason: OnceLock<CloseReason>,
    heard: AtomicU64,
}

/// Resolves when the server has sent its first frame.
pub(crate) struct Opened {
    first_frame: oneshot::Receiver<Result<(), ConnectReason>>,
    observer: Observer,
}

/// See the module.
pub(crate) struct ObservedIo<T> {
    io: T,
    observer: Observer,
    /// Tells to end although the other side does not; `None` once nobody can any more.
    give_up: Option<oneshot::Receiver<()>>,
    beginning: Option<Beginning>,
    /// The beginning once it is known to be HTTP/2, until it is read.
    held_back: Bytes,
}

/// What the server has said before it is clear whether that is HTTP/2; held back until then.
struct Beginning {
    said: Vec<u8>,
    first_frame: oneshot::Sender<Result<(), ConnectReason>>,
}

/// What the beginning of a connection turned out to be.
enum Verdict {
    /// Too little to tell.
    Open,
    Http2,
    /// Something else, if anything.
    Other,
}

impl Observer {
    /// Why the connection ended, if it did so by what was read or written.
    pub(crate) fn reason(&self) -> Option<CloseReason> {
        self.0.reason.get().cloned()
    }

    /// A number that grows whenever something comes from the server.
    pub(crate) fn heard(&self) -> u64 {
        self.0.heard.load(Ordering::Relaxed)
    }

    fn hear(&self) {
        self.0.heard.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn record(&self, reason: CloseReason) {
        // Whatever follows the first reason is its consequence.
        let _ = self.0.reason.set(reason);
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
            Some(CloseReason::Eof | CloseReason::Local | CloseReason::Silent(_)) | None => {
                ConnectReason::ClosedEarly
            }
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
    /// The sender ends the stream.
    pub(crate) fn new(io: T, observer: Observer) -> (Self, Opened, oneshot::Sender<()>) {
        let (sender, first_frame) = oneshot::channel();
        let (end, give_up) = oneshot::channel();
        let beginning = Some(Beginning {
            said: Vec::new(),
            first_frame: sender,
        });
        (
            Self {
                io,
                observer: observer.clone(),
                give_up: Some(give_up),
                beginning,
                held_back: Bytes::new(),
            },
            Opened {
                first_frame,
                observer,
            },
            end,
        )
    }

    /// Ready when the stream is to end; whoever wants that has noted why.
    fn poll_given_up(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(give_up) = &mut self.give_up {
            match Pin::new(give_up).poll(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(()),
                Poll::Ready(Err(_dropped)) => self.give_up = None,
                Poll::Pending => {}
            }
        }
        Poll::Pending
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

impl<T: AsyncRead + Unpin> ObservedIo<T> {
    /// Reads until the server's first words are whole enough to be judged.
    fn poll_beginning(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(beginning) = &mut self.beginning {
            let mut scratch = [0; ANSWER_LIMIT];
            let mut buf = ReadBuf::new(&mut scratch);
            if let Err(error) = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
                return Poll::Ready(Err(self.failed(error)));
            }
            beginning.said.extend_from_slice(buf.filled());
            let verdict = judge(&beginning.said, buf.filled().is_empty());
            if matches!(verdict, Verdict::Open) {
                continue;
            }
            let Some(Beginning { said, first_frame }) = self.beginning.take() else {
                break;
            };
            // The receiver is gone if the attempt was given up; then the verdict matters to nobody.
            if matches!(verdict, Verdict::Http2) {
                self.held_back = said.into();
                let _ = first_frame.send(Ok(()));
            } else if said.is_empty() {
                self.observer.record(CloseReason::Eof);
                let _ = first_frame.send(Err(ConnectReason::ClosedEarly));
            } else {
                self.observer.record(CloseReason::Protocol(
                    "the first frame is not SETTINGS".to_owned(),
                ));
                let _ = first_frame.send(Err(ConnectReason::NotHttp2 {
                    answer: first_line(&said),
                }));
                return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for ObservedIo<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.beginning.is_some() {
            ready!(self.poll_beginning(cx))?;
        }
        if !self.held_back.is_empty() {
            let length = self.held_back.len().min(buf.remaining());
            buf.put_slice(&self.held_back.split_to(length));
            return Poll::Ready(Ok(()));
        }
        let (before, room) = (buf.filled().len(), buf.remaining() > 0);
        let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, buf) else {
            ready!(self.poll_given_up(cx));
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        };
        match read {
            Ok(()) if room && buf.filled().len() == before => {
                self.observer.record(CloseReason::Eof);
                Poll::Ready(Ok(()))
            }
            Ok(()) => {
                self.observer.hear();
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.failed(error))),
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

/// A server begins with a SETTINGS frame on stream 0. A frame header has nine bytes, but a line of text tells itself
/// apart by its end, and a frame that long by its first byte.
fn judge(said: &[u8], end: bool) -> Verdict {
    match said {
        [0, _, _, SETTINGS, _, 0, 0, 0, 0, ..] => Verdict::Http2,
        [first, ..] if *first != 0 && said.contains(&b'\n') => Verdict::Other,
        [_, _, _, _, _, _, _, _, _, ..] => Verdict::Other,
        _ if end => Verdict::Other,
        _ => Verdict::Open,
    }
}

/// The first line of an answer, if it is text.
fn first_line(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|b| matches!(b, b'\r' | b'\n')).next()?;
    let printable = !text.is_empty() && text.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    printable.then(|| String::from_utf8_lossy(text).into_owned())
}

const SETTINGS: u8 = 4;
/// How much is read before the verdict, and so how much of an answer that is not HTTP/2 can be shown.
const ANSWER_LIMIT: usize = 64;

#[cfg(test)]
mod tests {
    use rustls::AlertDescription;
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::connect::Alert;

    /// Cannot be written to any more; what is left to read comes in this order.
    struct Broken(Vec<io::Result<&'static [u8]>>);

    impl AsyncRead for Broken {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.0.is_empty() {
                return Poll::Pending;
            }
            Poll::Ready(self.0.remove(0).map(|bytes| buf.put_slice(bytes)))
        }
    }

    impl AsyncWrite for Broken {
        fn poll_write(self: Pin<&mut Self>, _cx: &mut Context<'_>, _buf: &[u8]) -> Poll<io::Result<usize>> {
            Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// The recorded reason after a failed write.
    async fn write_to(left_to_read: Vec<io::Result<&'static [u8]>>) -> CloseReason {
        let (mut io, opened, _end) = ObservedIo::new(Broken(left_to_read), Observer::default());
        assert_eq!(
            io.write(b"x").await.unwrap_err().kind(),
            io::ErrorKind::BrokenPipe
        );
        opened.observer.reason().unwrap()
    }

    fn alert() -> io::Error {
        io::Error::new(
            io::ErrorKind::InvalidData,
            rustls::Error::AlertReceived(AlertDescription::UnknownCA),
        )
    }

    #[tokio::test]
    async fn a_servers_last_words_explain_a_broken_pipe() {
        for left_to_read in [vec![Err(alert())], vec![Ok(&b"frames"[..]), Err(alert())]] {
            match write_to(left_to_read).await {
                CloseReason::Tls(HandshakeError::Alert { alert }) => assert_eq!(alert, Alert::UnknownCa),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn without_last_words_a_broken_pipe_stays_one() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        for left_to_read in [vec![], vec![Ok(&b""[..])], vec![Err(reset())]] {
            match write_to(left_to_read).await {
                CloseReason::Io(error) => assert_eq!(error.kind(), io::ErrorKind::BrokenPipe),
                other => panic!("{other:?}"),
            }
        }
    }
}
