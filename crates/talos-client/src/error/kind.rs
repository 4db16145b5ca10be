//! What went wrong.

use std::fmt;

/// What went wrong, as a decision a caller can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The talosconfig, or what was given to the builder, cannot be used. Fix it; trying again is no use.
    Config,
    /// A value given to this call is not possible, such as a node name with a port. Nothing was sent.
    InvalidInput,
    /// No endpoint could be reached, or none could be agreed with on TLS. Nothing was sent; the source
    /// says for each endpoint why.
    Connect,
    /// The connection broke, or the server says that it, or the node behind it, cannot be reached just
    /// now. Whether the call had an effect is unknown.
    Unavailable,
    /// The time given to the call is over. Whether it had an effect is unknown.
    Timeout,
    /// The server gave the call up, usually because its caller did.
    Cancelled,
    /// The certificate is not accepted, or the credentials are missing.
    Unauthenticated,
    /// The role of this client does not allow the call, or the endpoint does not forward to other nodes.
    PermissionDenied,
    /// The file, service, member, image, … does not exist.
    NotFound,
    /// What is to be made exists already.
    AlreadyExists,
    /// The node is not in a state to do this: mode, stage, or another action that is under way.
    FailedPrecondition,
    /// The server refuses the request as malformed or as impossible.
    InvalidArgument,
    /// The node does not know the method: too old, not a control plane node, or in another mode.
    Unimplemented,
    /// A quota is used up, or a message is larger than allowed.
    ResourceExhausted,
    /// Something failed inside the server.
    Internal,
    /// The answer cannot be understood: no message in it, or bytes that do not decode.
    Malformed,
    /// More came than the caller allowed.
    TooLarge,
    /// Reading or writing on this machine failed: the file that was to be written, or what was to be sent. The
    /// source is the [`io::Error`](std::io::Error).
    Io,
    /// The node failed without saying of what kind; most Talos errors are of this kind. The message is all
    /// there is.
    Unknown,
}

/// Who has to do something about an error, as a coarser view of [`ErrorKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCategory {
    /// The caller, in its program, its files or its disk: configuration and input that cannot be right.
    Caller,
    /// Whoever runs the network or the machines: something cannot be reached, or takes too long.
    Connectivity,
    /// Whoever gives out credentials.
    Authorization,
    /// The caller, with another request: what it is about does not exist, exists already, or cannot be.
    Request,
    /// Nobody, or whoever operates the node: it is in a state in which it cannot do this.
    State,
    /// The node's own trouble.
    Server,
    /// This library or the other side: what came cannot be understood.
    Protocol,
}

impl ErrorKind {
    /// Who has to do something about it.
    pub fn category(self) -> ErrorCategory {
        match self {
            Self::Config | Self::InvalidInput | Self::Io => ErrorCategory::Caller,
            Self::Connect | Self::Unavailable | Self::Timeout | Self::Cancelled => {
                ErrorCategory::Connectivity
            }
            Self::Unauthenticated | Self::PermissionDenied => ErrorCategory::Authorization,
            Self::NotFound | Self::AlreadyExists | Self::InvalidArgument | Self::TooLarge => {
                ErrorCategory::Request
            }
            Self::FailedPrecondition | Self::Unimplemented => ErrorCategory::State,
            Self::ResourceExhausted | Self::Internal | Self::Unknown => ErrorCategory::Server,
            Self::Malformed => ErrorCategory::Protocol,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Config => "unusable configuration",
            Self::InvalidInput => "invalid input",
            Self::Connect => "no endpoint can be reached",
            Self::Unavailable => "unavailable",
            Self::Timeout => "timed out",
            Self::Cancelled => "cancelled",
            Self::Unauthenticated => "unauthenticated",
            Self::PermissionDenied => "permission denied",
            Self::NotFound => "not found",
            Self::AlreadyExists => "already exists",
            Self::FailedPrecondition => "failed precondition",
            Self::InvalidArgument => "invalid argument",
            Self::Unimplemented => "unimplemented",
            Self::ResourceExhausted => "resource exhausted",
            Self::Internal => "internal error",
            Self::Malformed => "malformed answer",
            Self::TooLarge => "too large",
            Self::Io => "input or output failed on this machine",
            Self::Unknown => "failed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
