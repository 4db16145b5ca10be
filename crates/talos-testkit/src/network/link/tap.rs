//! Between TLS and HTTP/2: reads along, and can say goodbye in HTTP/2's stead.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Link;
use super::frames::{ACK, DATA, END_STREAM, FrameScanner, HEADERS, PING, RST_STREAM, Seen};
use super::pings::PingPolicy;

/// Bytes before the first frame of a client.
const PREFACE: u64 = 24;

/// A connection whose frames are looked at in both directions.
#[derive(Debug)]
pub(crate) struct Tap<S> {
    inner: S,
    link: Arc<Link>,
    incoming: FrameScanner,
    outgoing: FrameScanner,
    pings: PingPolicy,
    /// Bytes towards the client so far.
    sent: u64,
    /// Set when the client has pinged too often: the frame that says so, as far as it is not written.
    farewell: Option<VecDeque<u8>>,
}

impl<S> Tap<S> {
    pub(crate) fn new(inner: S, link: Arc<Link>) -> Self {
        Self {
            inner,
            link,
            incoming: FrameScanner::new(PREFACE),
            outgoing: FrameScanner::new(0),
            pings: PingPolicy::default(),
            sent: 0,
            farewell: None,
        }
    }

    fn received(&mut self, bytes: &[u8]) {
        let Self { incoming, pings, .. } = self;
        let mut too_many = false;
        incoming.scan(bytes, |head, seen| match (seen, head.kind) {
            (Seen::Head, HEADERS) => pings.call_begins(head.stream),
            (Seen::Head, RST_STREAM) => pings.call_ends(head.stream),
            (Seen::Head, PING) if head.flags & ACK == 0 => too_many |= pings.ping(Instant::now()),
            _ => {}
        });
        if too_many && self.farewell.is_none() {
            self.farewell = Some(too_many_pings(self.pings.last_call()).into());
        }
    }

    fn wrote(&mut self, bytes: &[u8]) {
        let Self { outgoing, pings, .. } = self;
        let mut data = 0;
        outgoing.scan(bytes, |head, seen| match (seen, head.kind) {
            (Seen::Head, HEADERS | DATA) => {
                pings.server_speaks();
                if head.flags & END_STREAM != 0 {
                    pings.call_ends(head.stream);
                }
            }
            (Seen::Head, RST_STREAM) => pings.call_ends(head.stream),
            (Seen::Payload(length), DATA) => data += length,
            _ => {}
        });
        self.sent += bytes.len() as u64;
        if data > 0 {
            self.link.wrote(data);
        }
    }

    /// How many bytes may still be written, if the connection is to break.
    fn room(&self) -> Option<usize> {
        let limit = self.link.state.lock().cut_after?;
        Some(usize::try_from(limit.saturating_sub(self.sent)).unwrap_or(usize::MAX))
    }
}

/// A GOAWAY frame as grpc-go sends it to impatient clients.
fn too_many_pings(last_call: u32) -> Vec<u8> {
    const REASON: &[u8] = b"too_many_pings";
    const ENHANCE_YOUR_CALM: u8 = 0xb;
    let mut frame = vec![0, 0, 8 + REASON.len() as u8, 0x7, 0, 0, 0, 0, 0];
    frame.extend(last_call.to_be_bytes());
    frame.extend([0, 0, 0, ENHANCE_YOUR_CALM]);
    frame.extend(REASON);
    frame
}

impl<S: AsyncWrite + Unpin> Tap<S> {
    /// Says goodbye, if that is due and no frame is under way. Ready when it is said.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(rest) = &mut self.farewell else {
            return Poll::Ready(Ok(false));
        };
        if !self.outgoing.at_boundary() {
            return Poll::Ready(Ok(false));
        }
        while !rest.is_empty() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, rest.make_contiguous()))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            rest.drain(..count);
        }
        ready!(Pin::new(&mut self.inner).poll_flush(cx))?;
        ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        Poll::Ready(Ok(true))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tap<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if ready!(this.poll_farewell(cx))? {
            // To HTTP/2 this is the end of the connection.
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.inner).poll_read(cx, buf))?;
        this.received(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if ready!(this.poll_farewell(cx))? {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let room = this.room();
        if room == Some(0) {
            ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
            this.link.cut();
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        let within = &buf[..buf.len().min(room.unwrap_or(usize::MAX))];
        let count = ready!(Pin::new(&mut this.inner).poll_write(cx, within))?;
        this.wrote(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.farewell.is_some() || self.room().is_some() {
            let first = bufs.iter().find(|buf| !buf.is_empty()).map_or(&[][..], |buf| buf);
            return self.poll_write(cx, first);
        }
        let this = &mut *self;
        let count = ready!(Pin::new(&mut this.inner).poll_write_vectored(cx, bufs))?;
        let mut rest = count;
        for buf in bufs {
            let within = rest.min(buf.len());
            this.wrote(&buf[..within]);
            rest -= within;
        }
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(Pin::new(&mut this.inner).poll_flush(cx))?;
        if this.room() == Some(0) {
            this.link.cut();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
