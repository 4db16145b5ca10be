//! One connection attempt from beginning to end: byte stream, TLS, HTTP/2.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Alert, AnyConnector, BoxedIo, ConnectReason, ConnectStage, HandshakeError};
use crate::Endpoint;
use crate::connection::Connection;
use crate::pool::Dial;
use crate::tls::TlsConfig;

/// Makes connections to endpoints; what the pool dials with.
#[derive(Debug)]
pub(crate) struct Establish {
    pub(crate) connector: AnyConnector,
    pub(crate) tls: Option<TlsConfig>,
    /// Limit for one attempt, everything included.
    pub(crate) timeout: Duration,
    /// Whether `:authority` has the port in it.
    pub(crate) port_in_authority: AtomicBool,
}

impl Establish {
    async fn attempt(
        &self,
        endpoint: &Endpoint,
        stage: &mut ConnectStage,
    ) -> Result<Connection, ConnectReason> {
        let io = self.connector.connect(endpoint).await?;
        let (io, secure): (BoxedIo, _) = if endpoint.is_unix() {
            (io, false)
        } else {
            *stage = ConnectStage::Tls;
            (Box::new(self.handshake(endpoint, io).await?), true)
        };
        *stage = ConnectStage::Http2;
        let authority = if self.port_in_authority.load(Ordering::Relaxed) {
            endpoint.authority()
        } else {
            endpoint.authority_host()
        };
        Connection::open(io, endpoint, &authority, secure).await
    }

    async fn handshake(&self, endpoint: &Endpoint, io: BoxedIo) -> Result<TlsStream<BoxedIo>, ConnectReason> {
        let tls = self
            .tls
            .as_ref()
            .expect("a channel with network endpoints has TLS settings");
        let name = tls
            .server_name(endpoint)
            .expect("network endpoints have a server name");
        // Talos tolerates peers that negotiate no protocol, and so do we: what the server says first will tell. Anything
        // we did not offer is refused by the TLS library itself.
        let stream = TlsConnector::from(tls.client()).connect(name, io).await;
        stream.map_err(|error| match ConnectReason::from_io(error) {
            ConnectReason::Tls(HandshakeError::Alert {
                alert: Alert::Other(NO_APPLICATION_PROTOCOL),
            }) => ConnectReason::NotHttp2 { answer: None },
            reason => reason,
        })
    }
}

impl Dial for Establish {
    type Connection = Connection;

    async fn dial(&self, endpoint: &Endpoint) -> Result<Connection, ConnectReason> {
        let mut stage = ConnectStage::Dial;
        let result = timeout(self.timeout, self.attempt(endpoint, &mut stage)).await;
        let result = result.unwrap_or(Err(ConnectReason::TimedOut {
            after: self.timeout,
            stage,
        }));
        match &result {
            Ok(_) => tracing::debug!(server.address = %endpoint, "connected"),
            Err(reason) => {
                tracing::debug!(server.address = %endpoint, error = crate::error::chain(reason), "cannot connect");
            }
        }
        result
    }
}

/// Number of the TLS alert of a server that shares no ALPN protocol with us.
const NO_APPLICATION_PROTOCOL: u8 = 120;
