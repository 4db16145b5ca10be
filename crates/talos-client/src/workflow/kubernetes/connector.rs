//! Connections to the Kubernetes API, made as those to Talos are.
//!
//! kube has TLS of its own. It takes its cryptography from the process default, which it may install or miss, and does not
//! know all labels that Talos gives to keys.

use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use talos_transport::{
    Endpoint,
    connect::{Connect as _, ConnectReason, SocketConnector},
    tls::TlsConfig,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tower_service::Service;

/// Connects to one server, whatever the URL says.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub(super) endpoint: Endpoint,
    pub(super) tls: TlsConfig,
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A byte stream inside TLS.
pub(super) struct Stream(TokioIo<Box<dyn Io>>);

impl Connector {
    async fn connect(self) -> Result<Stream, ConnectReason> {
        let socket = SocketConnector::new().connect(&self.endpoint).await?;
        let stream = self.tls.connect(&self.endpoint, socket).await?;
        Ok(Stream(TokioIo::new(Box::new(stream))))
    }
}

impl Service<http::Uri> for Connector {
    type Response = Stream;
    type Error = ConnectReason;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectReason>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectReason>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl Write for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
