//! Why a connection could not be made.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::HandshakeError;
use crate::Endpoint;

/// No endpoint could be connected to.
///
/// With one endpoint its reason is the [`source`](std::error::Error::source); with several, the message lists every
/// endpoint with its own reason.
#[derive(Clone)]
pub struct ConnectError(Arc<[ConnectFailure]>);

/// What went wrong with one endpoint.
#[derive(Debug, Clone)]
pub struct ConnectFailure {
    endpoint: Endpoint,
    reason: Arc<ConnectReason>,
}

/// Why one endpoint could not be connected to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectReason {
    /// The host name could not be resolved to an address.
    #[error("the host name cannot be resolved")]
    Resolve(#[source] io::Error),
    /// Nothing listens there: the machine runs, but apid does not, or not on this port.
    #[error("connection refused")]
    Refused,
    /// The network failed otherwise, for instance "no route to host".
    #[error("the network failed")]
    Io(#[source] io::Error),
    /// The attempt took longer than the connect timeout.
    #[error("no connection within {after:?} ({stage})")]
    TimedOut {
        /// The connect timeout.
        after: Duration,
        /// How far the attempt had come.
        stage: ConnectStage,
    },
    /// The TLS handshake failed, or the server refused us by a TLS alert right after it.
    #[error("TLS failed")]
    Tls(#[source] HandshakeError),
    /// The server speaks TLS but not HTTP/2, so it is no gRPC server.
    #[error("the server does not speak HTTP/2{}", .answer.as_ref().map(|a| format!("; it answered {a:?}")).unwrap_or_default())]
    NotHttp2 {
        /// The beginning of what it answered instead, if it is text.
        answer: Option<String>,
    },
    /// The server closed the connection before it said anything.
    #[error("the server closed the connection at once")]
    ClosedEarly,
}

/// How far a connection attempt had come when its time was over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectStage {
    /// Resolving the name or establishing the TCP connection: packets are probably dropped.
    Dial,
    /// The TLS handshake: something accepts connections there but does not answer.
    Tls,
    /// Waiting for the first HTTP/2 frame of the server.
    Http2,
}

impl ConnectError {
    pub(crate) fn new(failures: Vec<ConnectFailure>) -> Self {
        Self(failures.into())
    }

    /// The endpoints that were tried, in the order they failed, each with its reason.
    pub fn failures(&self) -> &[ConnectFailure] {
        &self.0
    }

    /// Whether every endpoint failed by taking too long.
    pub fn is_timeout(&self) -> bool {
        self.0
            .iter()
            .all(|failure| matches!(*failure.reason, ConnectReason::TimedOut { .. }))
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.failures() {
            return write!(f, "cannot connect to {}", only.endpoint);
        }
        write!(f, "none of {} endpoints can be reached", self.0.len())?;
        for (index, failure) in self.0.iter().enumerate() {
            let separator = if index == 0 { ": " } else { "; " };
            write!(
                f,
                "{separator}{}: {}",
                failure.endpoint,
                crate::error::chain(&*failure.reason)
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectError").field(&self.failures()).finish()
    }
}

impl std::error::Error for ConnectError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.failures() {
            [only] => Some(&*only.reason),
            _ => None,
        }
    }
}

impl ConnectFailure {
    pub(crate) fn new(endpoint: Endpoint, reason: ConnectReason) -> Self {
        Self {
            endpoint,
            reason: Arc::new(reason),
        }
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Why it could not be connected to.
    pub fn reason(&self) -> &ConnectReason {
        &self.reason
    }
}

impl ConnectReason {
    /// The reason behind an I/O error of a dial or a TLS stream.
    pub(crate) fn from_io(error: io::Error) -> Self {
        if let Some(error) = HandshakeError::find(&error) {
            return Self::Tls(error);
        }
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::UnexpectedEof => Self::ClosedEarly,
            _ => Self::Io(error),
        }
    }
}

impl From<io::Error> for ConnectReason {
    fn from(error: io::Error) -> Self {
        Self::from_io(error)
    }
}

impl fmt::Display for ConnectStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dial => "the address does not answer",
            Self::Tls => "connected, but the TLS handshake did not finish",
            Self::Http2 => "connected, but the server sent nothing",
        })
    }
}
