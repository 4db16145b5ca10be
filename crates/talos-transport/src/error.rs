//! [`Error`]: what the channel itself can fail with.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tonic::{Code, Status};

use crate::Endpoint;
use crate::connect::{ConnectError, ConnectReason, HandshakeError};
use crate::layer::SignError;

/// A failure of the channel, as opposed to an answer of a server.
///
/// A channel is a gRPC service, so it fails with a [`tonic::Status`]; this error is that status's source:
///
/// ```
/// use std::error::Error as _;
///
/// fn transport_error(status: &tonic::Status) -> Option<&talos_transport::Error> {
///     status.source()?.downcast_ref()
/// }
/// ```
///
/// A status that came from a server has [`AnsweredBy`](crate::AnsweredBy) as its source instead.
///
/// | Variant | Code |
/// |---|---|
/// | [`Connect`](Self::Connect), [`Closed`](Self::Closed) | `UNAVAILABLE` |
/// | [`Reset`](Self::Reset) | by HTTP/2 error code, see [`ResetCode`] |
/// | [`NotGrpc`](Self::NotGrpc) | by HTTP status, as gRPC lays down |
/// | [`Timeout`](Self::Timeout) | `DEADLINE_EXCEEDED` |
/// | [`Signing`](Self::Signing) | `UNAUTHENTICATED` |
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No endpoint could be connected to, so nothing was sent.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke before the call was over.
    #[error("the connection to {endpoint} was lost")]
    Closed {
        /// The endpoint it led to.
        endpoint: Endpoint,
        /// Whether the server can have acted on the request.
        delivery: Delivery,
        /// What ended the connection.
        #[source]
        reason: CloseReason,
    },
    /// The call alone was ended, by either side, without a gRPC status; the connection is still in use.
    #[error("{endpoint} ended the call without an answer: {code}")]
    Reset {
        /// The endpoint that was called.
        endpoint: Endpoint,
        /// The HTTP/2 error code.
        code: ResetCode,
    },
    /// Something that speaks HTTP/2 but not gRPC answered, for instance a load balancer.
    #[error("{endpoint} answered HTTP {status}{}, which is not gRPC", content(.content_type))]
    NotGrpc {
        /// The endpoint that answered.
        endpoint: Endpoint,
        /// The HTTP status.
        status: u16,
        /// The kind of content it sent.
        content_type: Option<String>,
    },
    /// The time the caller gave was over.
    #[error("{limit} within {after:?}{}", waiting(.delivery))]
    Timeout {
        /// Which limit it was.
        limit: TimeLimit,
        /// The time that was given.
        after: Duration,
        /// Whether the server can have acted on the request.
        delivery: Delivery,
        /// What the attempt before failed with, if this was not the first.
        #[source]
        previous: Option<Arc<Status>>,
    },
    /// The [`RequestSigner`](crate::layer::RequestSigner) could not sign the request, so no server acted on it. Another
    /// endpoint makes no difference.
    #[error(transparent)]
    Signing(SignError),
}

/// A limit on time that a call can exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeLimit {
    /// [`CallTimeout`](crate::CallTimeout), or a `grpc-timeout` in the metadata of the call.
    Call,
    /// [`AttemptTimeout`](crate::AttemptTimeout).
    Attempt,
    /// [`FirstResponseTimeout`](crate::FirstResponseTimeout).
    FirstResponse,
    /// [`IdleTimeout`](crate::IdleTimeout).
    Idle,
}

/// Whether a server can have acted on a request that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Delivery {
    /// The request never left this machine; it can be sent again, whatever it does.
    NotSent,
    /// The server said that it did not look at the request; it can be sent again, whatever it does.
    Refused,
    /// The request was sent, wholly or in part; what became of it is not known.
    Unknown,
}

/// What ended a connection.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CloseReason {
    /// The server closed it without a word, as a process does that is killed.
    #[error("the server closed the connection")]
    Eof,
    /// The server announced the end, as it does on shutdown.
    #[error("the server ended the connection: {code}")]
    GoAway {
        /// The HTTP/2 error code it gave.
        code: ResetCode,
    },
    /// A TLS error or an alert of the server.
    #[error("TLS failed")]
    Tls(#[source] HandshakeError),
    /// The network failed.
    #[error("the network failed")]
    Io(#[source] Arc<io::Error>),
    /// Nothing came any more while calls waited, and the endpoint could not be connected to anew. Only a channel with
    /// several endpoints finds that out.
    #[error("the endpoint went silent and cannot be connected to any more")]
    Silent(#[source] Arc<ConnectReason>),
    /// What the server sent is not valid HTTP/2.
    #[error("the HTTP/2 protocol was violated: {0}")]
    Protocol(String),
    /// We closed it: the last clone of the channel was dropped.
    #[error("the channel was closed")]
    Local,
}

/// An HTTP/2 error code.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ResetCode(u32);

impl Error {
    /// Whether the server can have acted on the request.
    pub fn delivery(&self) -> Delivery {
        match self {
            Self::Connect(_) => Delivery::NotSent,
            Self::Signing(error) => error.delivery(),
            Self::Closed { delivery, .. } | Self::Timeout { delivery, .. } => *delivery,
            Self::Reset { code, .. } if *code == ResetCode::REFUSED_STREAM => Delivery::Refused,
            Self::Reset { .. } | Self::NotGrpc { .. } => Delivery::Unknown,
        }
    }

    /// Whether it is certain that no server saw the request.
    pub fn never_sent(&self) -> bool {
        self.delivery() == Delivery::NotSent
    }

    /// The endpoint the failure is about, if it is about one.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Connect(error) => match error.failures() {
                [only] => Some(only.endpoint()),
                _ => None,
            },
            Self::Closed { endpoint, .. } | Self::Reset { endpoint, .. } | Self::NotGrpc { endpoint, .. } => {
                Some(endpoint)
            }
            Self::Timeout { .. } | Self::Signing(_) => None,
        }
    }

    /// The gRPC code that stands for this failure.
    pub fn code(&self) -> Code {
        match self {
            Self::Connect(_) | Self::Closed { .. } => Code::Unavailable,
            Self::Reset { code, .. } => code.to_grpc(),
            Self::NotGrpc { status, .. } => match status {
                400 => Code::Internal,
                401 => Code::Unauthenticated,
                403 => Code::PermissionDenied,
                404 => Code::Unimplemented,
                429 | 502..=504 => Code::Unavailable,
                _ => Code::Unknown,
            },
            Self::Timeout { .. } => Code::DeadlineExceeded,
            Self::Signing(_) => Code::Unauthenticated,
        }
    }
}

impl From<Error> for Status {
    /// The status has the error as its source, and the whole chain as its message, for those who print only that.
    fn from(error: Error) -> Self {
        let mut status = Self::new(error.code(), chain(&error));
        status.set_source(Arc::new(error));
        status
    }
}

impl ResetCode {
    /// Not an error: an announced, graceful end.
    pub const NO_ERROR: Self = Self(0);
    /// Something failed in the peer.
    pub const INTERNAL_ERROR: Self = Self(2);
    /// The server did not look at the request.
    pub const REFUSED_STREAM: Self = Self(7);
    /// The call is not wanted any more.
    pub const CANCEL: Self = Self(8);
    /// The peer feels flooded; Talos says so to clients that ping too often.
    pub const ENHANCE_YOUR_CALM: Self = Self(11);
    /// The encryption is too weak.
    pub const INADEQUATE_SECURITY: Self = Self(12);

    /// The number as in the HTTP/2 specification.
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// The gRPC code the gRPC specification assigns.
    fn to_grpc(self) -> Code {
        match self {
            Self::REFUSED_STREAM => Code::Unavailable,
            Self::CANCEL => Code::Cancelled,
            Self::ENHANCE_YOUR_CALM => Code::ResourceExhausted,
            Self::INADEQUATE_SECURITY => Code::PermissionDenied,
            _ => Code::Internal,
        }
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Call => "no answer",
            Self::Attempt => "no answer to this attempt",
            Self::FirstResponse => "no beginning of an answer",
            Self::Idle => "nothing received",
        })
    }
}

impl From<h2::Reason> for ResetCode {
    fn from(reason: h2::Reason) -> Self {
        Self(reason.into())
    }
}

impl fmt::Display for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} (HTTP/2 code {})",
            h2::Reason::from(self.0).description(),
            self.0
        )
    }
}

impl fmt::Debug for ResetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResetCode({:?})", h2::Reason::from(self.0))
    }
}

/// An error and its sources in one line.
pub(crate) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

fn content(content_type: &Option<String>) -> String {
    content_type
        .as_ref()
        .map(|content_type| format!(" with {content_type:?}"))
        .unwrap_or_default()
}

fn waiting(delivery: &Delivery) -> &'static str {
    match delivery {
        Delivery::NotSent => "; there was no connection to send the request on",
        Delivery::Refused | Delivery::Unknown => "",
    }
}
