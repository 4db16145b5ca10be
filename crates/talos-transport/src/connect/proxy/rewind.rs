//! A byte stream of which a beginning was read too early.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Returns `head` first, then what comes from `io`.
pub(super) struct Rewind<T> {
    head: Bytes,
    io: T,
}

impl<T> Rewind<T> {
    pub(super) fn new(head: Bytes, io: T) -> Self {
        Self { head, io }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Rewind<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.head.len().min(buf.remaining());
        buf.put_slice(&self.head[..length]);
        self.head.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Rewind<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn returns_the_head_before_the_rest_whatever_the_size_of_the_reads() {
        for size in 1..8 {
            let (near, mut far) = tokio::io::duplex(64);
            far.write_all(b" and the rest").await.unwrap();
            drop(far);
            let mut stream = Rewind::new(Bytes::from_static(b"the head"), near);
            let (mut read, mut piece) = (Vec::new(), vec![0; size]);
            loop {
                let length = stream.read(&mut piece).await.unwrap();
                if length == 0 {
                    break;
                }
                read.extend_from_slice(&piece[..length]);
            }
            assert_eq!(read, b"the head and the rest", "reads of {size} bytes");
        }
    }
}
