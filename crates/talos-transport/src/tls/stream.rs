//! TLS on a byte stream, for connections that are not a channel's.

use std::io;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::TlsConfig;
use crate::Endpoint;
use crate::connect::ConnectReason;

impl TlsConfig {
    /// Puts TLS on a byte stream to `endpoint`: for what is spoken there instead of gRPC, by the same rules about
    /// certificates, keys and cryptography. Which protocol that is belongs into
    /// [`TlsConfigBuilder::protocols`](super::TlsConfigBuilder::protocols).
    ///
    /// # Errors
    ///
    /// [`ConnectReason::Tls`] if there is no agreement with the server, [`ConnectReason::Io`] for a unix socket without
    /// a [server name](super::TlsConfigBuilder::server_name), and what the byte stream fails with. There is no limit on
    /// the time.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the byte stream.
    pub async fn connect<Io>(
        &self,
        endpoint: &Endpoint,
        io: Io,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<Io>, ConnectReason>
    where
        Io: AsyncRead + AsyncWrite + Send + Unpin,
    {
        self.handshake(endpoint, io).await
    }

    /// The same, as the stream that knows what was agreed on.
    pub(crate) async fn handshake<Io>(
        &self,
        endpoint: &Endpoint,
        io: Io,
    ) -> Result<TlsStream<Io>, ConnectReason>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let Some(name) = self.server_name(endpoint) else {
            let error = io::Error::new(io::ErrorKind::Unsupported, "there is no name to verify");
            return Err(ConnectReason::Io(error));
        };
        let stream = TlsConnector::from(self.client()).connect(name, io).await;
        stream.map_err(ConnectReason::from_io)
    }
}
