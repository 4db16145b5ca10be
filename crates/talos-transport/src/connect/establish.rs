//! One connection attempt from beginning to end: byte stream, TLS, HTTP/2.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

#[cfg(feature = "proxy")]
use super::proxy::{Proxy, ProxyError, ProxyStage, Tunnels};
use super::{Alert, AnyConnector, BoxedIo, ConnectReason, ConnectStage, HandshakeError};
use crate::Endpoint;
use crate::connection::Connection;
use crate::pool::Dial;
use crate::tls::{Credentials, TlsConfig, TlsHandle};

/// Makes connections to endpoints; what the pool dials with.
#[derive(Debug)]
pub(crate) struct Establish {
    pub(crate) connector: AnyConnector,
    #[cfg(feature = "proxy")]
    pub(crate) tunnels: Tunnels,
    pub(crate) tls: Option<TlsHandle>,
    /// Limit for one attempt, everything included.
    pub(crate) timeout: Duration,
    /// Whether `:authority` has the port in it.
    pub(crate) port_in_authority: AtomicBool,
}

/// Who has the next word in an attempt that is under way.
enum Stage {
    Endpoint(ConnectStage),
    #[cfg(feature = "proxy")]
    Proxy(Proxy, ProxyStage),
}

impl Establish {
    async fn attempt(&self, endpoint: &Endpoint, stage: &mut Stage) -> Result<Connection, ConnectReason> {
        let io = self.byte_stream(endpoint, stage).await?;
        let (io, generation): (BoxedIo, _) = if endpoint.is_unix() {
            (io, None)
        } else {
            *stage = Stage::Endpoint(ConnectStage::Tls);
            let credentials = self.credentials();
            let io = handshake(&credentials.tls, endpoint, io).await?;
            (Box::new(io), Some(credentials.generation))
        };
        *stage = Stage::Endpoint(ConnectStage::Http2);
        let authority = if self.port_in_authority.load(Ordering::Relaxed) {
            endpoint.authority()
        } else {
            endpoint.authority_host()
        };
        Connection::open(io, endpoint, &authority, generation).await
    }

    fn credentials(&self) -> Credentials {
        let tls = self.tls.as_ref();
        tls.expect("a channel with network endpoints has TLS settings")
            .credentials()
    }

    #[cfg(feature = "proxy")]
    async fn byte_stream(&self, endpoint: &Endpoint, stage: &mut Stage) -> Result<BoxedIo, ConnectReason> {
        let Some(proxy) = self.tunnels.proxy_for(endpoint) else {
            return self.connector.connect(endpoint).await;
        };
        tracing::debug!(server.address = %endpoint, %proxy, "connecting through a proxy");
        let reached = |reached| *stage = Stage::Proxy(proxy.clone(), reached);
        Ok(self
            .tunnels
            .open(proxy, endpoint, &self.connector, reached)
            .await?)
    }

    #[cfg(not(feature = "proxy"))]
    async fn byte_stream(&self, endpoint: &Endpoint, _: &mut Stage) -> Result<BoxedIo, ConnectReason> {
        self.connector.connect(endpoint).await
    }

    fn timed_out(&self, stage: &Stage) -> ConnectReason {
        let after = self.timeout;
        match stage {
            Stage::Endpoint(stage) => ConnectReason::TimedOut { after, stage: *stage },
            #[cfg(feature = "proxy")]
            Stage::Proxy(proxy, stage) => ProxyError::timed_out(proxy, after, *stage).into(),
        }
    }
}

impl Dial for Establish {
    type Connection = Connection;

    fn is_outdated(&self, connection: &Connection) -> bool {
        let made_with = connection.peer().generation;
        let current = self.tls.as_ref().map(TlsHandle::generation);
        // Without TLS there is nothing to be replaced.
        made_with.is_some() && made_with < current
    }

    async fn dial(&self, endpoint: &Endpoint) -> Result<Connection, ConnectReason> {
        if let Some(tls) = &self.tls {
            tls.check_expiry();
        }
        let mut stage = Stage::Endpoint(ConnectStage::Dial);
        let result = timeout(self.timeout, self.attempt(endpoint, &mut stage)).await;
        let result = result.unwrap_or_else(|_elapsed| Err(self.timed_out(&stage)));
        match &result {
            Ok(_) => tracing::debug!(server.address = %endpoint, "connected"),
            Err(reason) => {
                tracing::debug!(server.address = %endpoint, error = crate::error::chain(reason), "cannot connect");
            }
        }
        result
    }
}

async fn handshake(
    tls: &TlsConfig,
    endpoint: &Endpoint,
    io: BoxedIo,
) -> Result<TlsStream<BoxedIo>, ConnectReason> {
    // Talos tolerates peers that negotiate no protocol, and so do we: what the server says first will tell. Anything
    // we did not offer is refused by the TLS library itself.
    let stream = tls.handshake(endpoint, io).await;
    stream.map_err(|reason| match reason {
        ConnectReason::Tls(HandshakeError::Alert {
            alert: Alert::Other(NO_APPLICATION_PROTOCOL),
        }) => ConnectReason::NotHttp2 { answer: None },
        reason => reason,
    })
}

/// Number of the TLS alert of a server that shares no ALPN protocol with us.
const NO_APPLICATION_PROTOCOL: u8 = 120;
