//! From an [`Endpoint`] to a byte stream, and from there to a connection.
//!
//! [`Connect`] makes the byte stream; [`SocketConnector`] is the one used by default. TLS and HTTP/2 are put on top by
//! the channel, so a connector of your own only has to bring bytes there and back.

mod error;
mod establish;
mod handshake_error;
#[cfg(feature = "proxy")]
pub mod proxy;
mod resolve;
mod socket;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

pub use self::error::{ConnectError, ConnectFailure, ConnectReason, ConnectStage};
pub(crate) use self::establish::Establish;
pub use self::handshake_error::{Alert, HandshakeError};
pub use self::resolve::{Resolve, SystemResolver};
pub use self::socket::SocketConnector;

use crate::Endpoint;

/// Makes the byte stream a connection runs on.
///
/// Implement it to go through something other than the machine's own sockets: a tunnel, a simulated network, an
/// in-memory pipe. A future that is dropped must leave nothing behind.
pub trait Connect: Send + Sync + 'static {
    /// The byte stream.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Connects to one endpoint. The channel limits the time this may take.
    ///
    /// # Errors
    ///
    /// Why there is no connection. An [`io::Error`](std::io::Error) converts to a reason.
    fn connect(&self, endpoint: &Endpoint) -> impl Future<Output = Result<Self::Io, ConnectReason>> + Send;
}

/// What every byte stream can do, for [`BoxedIo`].
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

pub(crate) type BoxedIo = Box<dyn Io>;

/// A [`Connect`] whose type is forgotten, so that a channel has one type whatever it runs on.
#[derive(Clone)]
pub(crate) struct AnyConnector(Arc<dyn ErasedConnect>);

impl AnyConnector {
    pub(crate) fn new(connector: impl Connect) -> Self {
        Self(Arc::new(connector))
    }

    async fn connect(&self, endpoint: &Endpoint) -> Result<BoxedIo, ConnectReason> {
        self.0.connect(endpoint).await
    }
}

impl fmt::Debug for AnyConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyConnector")
    }
}

trait ErasedConnect: Send + Sync {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> Pin<Box<dyn Future<Output = Result<BoxedIo, ConnectReason>> + Send + 'a>>;
}

impl<C: Connect> ErasedConnect for C {
    fn connect<'a>(
        &'a self,
        endpoint: &'a Endpoint,
    ) -> Pin<Box<dyn Future<Output = Result<BoxedIo, ConnectReason>> + Send + 'a>> {
        Box::pin(async move {
            let io = Connect::connect(self, endpoint).await?;
            Ok(Box::new(io) as BoxedIo)
        })
    }
}
