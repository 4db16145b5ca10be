//! The one error of the client.

use std::{error::Error as StdError, fmt, io};

use talos_transport::{Endpoint, NodeName};

mod code;
mod origin;

pub use code::Code;
pub use origin::Origin;

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a call failed.
///
/// One opaque type for everything: ask [`Error::kind`] what happened, [`Error::origin`] who found out, and
/// [`Error::node`], [`Error::endpoint`] and [`Error::method`] where. Nothing in it, its source chain
/// included, shows a secret.
///
/// `{}` prints one line about this failure, `{:#}` the causes behind it as well.
///
/// ```no_run
/// use talos_client::{Client, ErrorKind};
///
/// # async fn example(client: Client) -> talos_client::Result<()> {
/// match client.node("10.5.0.3")?.read("/etc/nothing").await {
///     Err(error) if error.kind() == ErrorKind::NotFound => println!("no such file"),
///     Err(error) if error.is_retriable() => println!("try again: {error:#}"),
///     other => drop(other?),
/// }
/// # Ok(())
/// # }
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    origin: Origin,
    method: Option<&'static str>,
    node: Option<NodeName>,
    endpoint: Option<Endpoint>,
    code: Option<Code>,
    message: Option<String>,
    source: Option<BoxError>,
    attempts: u32,
}

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
    /// The node failed without saying of what kind; most Talos errors are of this kind. The message is all
    /// there is.
    Unknown,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, origin: Origin) -> Self {
        Self(Box::new(Inner {
            kind,
            origin,
            method: None,
            node: None,
            endpoint: None,
            code: None,
            message: None,
            source: None,
            attempts: 0,
        }))
    }

    /// A failure on this machine, before anything was sent.
    pub(crate) fn local(kind: ErrorKind, source: impl Into<BoxError>) -> Self {
        Self::new(kind, Origin::Local).with_source(source)
    }

    pub(crate) fn with_method(mut self, method: &'static str) -> Self {
        self.0.method = Some(method);
        self
    }

    pub(crate) fn with_node(mut self, node: Option<NodeName>) -> Self {
        self.0.node = node;
        self
    }

    pub(crate) fn with_endpoint(mut self, endpoint: Option<Endpoint>) -> Self {
        self.0.endpoint = endpoint;
        self
    }

    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.0.code = Some(code);
        self
    }

    pub(crate) fn with_message(mut self, message: impl Into<String>) -> Self {
        self.0.message = Some(message.into()).filter(|message| !message.is_empty());
        self
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(crate) fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = attempts;
        self
    }

    /// The source, if it is of this type; the error itself otherwise.
    #[cfg(feature = "talosconfig")]
    pub(crate) fn into_source<E: StdError + 'static>(mut self) -> std::result::Result<E, Self> {
        match self.0.source.take().map(|source| source.downcast()) {
            Some(Ok(source)) => Ok(*source),
            Some(Err(source)) => Err(self.with_source(source)),
            None => Err(self),
        }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Who found out: this machine, the endpoint, or the node.
    pub fn origin(&self) -> Origin {
        self.0.origin
    }

    /// The gRPC status code, if a server answered.
    pub fn code(&self) -> Option<Code> {
        self.0.code
    }

    /// The server's own words, or ours where no server was involved.
    pub fn message(&self) -> Option<&str> {
        self.0.message.as_deref()
    }

    /// The node the call was meant for. `None` where any endpoint could have answered.
    pub fn node(&self) -> Option<&NodeName> {
        self.0.node.as_ref()
    }

    /// The endpoint through which the call went, if it got that far.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.0.endpoint.as_ref()
    }

    /// The RPC, such as `/machine.MachineService/Version`.
    pub fn method(&self) -> Option<&'static str> {
        self.0.method
    }

    /// How many attempts the call had, the first one included. 0 if it was not made at all.
    pub fn attempts(&self) -> u32 {
        self.0.attempts
    }

    /// Whether time ran out.
    pub fn is_timeout(&self) -> bool {
        self.kind() == ErrorKind::Timeout
    }

    /// Whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        self.kind() == ErrorKind::NotFound
    }

    /// Whether the role or the certificate does not suffice.
    pub fn is_denied(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated
        )
    }

    /// Whether the same call may succeed later without anybody changing anything.
    ///
    /// True for [`ErrorKind::Connect`], [`ErrorKind::Unavailable`] and [`ErrorKind::Timeout`]. It does not
    /// say that repeating is harmless: for the latter two the call may have had its effect.
    pub fn is_retriable(&self) -> bool {
        matches!(
            self.kind(),
            ErrorKind::Connect | ErrorKind::Unavailable | ErrorKind::Timeout
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        if let Some(method) = inner.method {
            write!(f, "{}", method.trim_start_matches('/'))?;
            match (&inner.node, &inner.endpoint) {
                (Some(node), Some(endpoint)) => write!(f, " on node {node} through {endpoint}")?,
                (Some(node), None) => write!(f, " on node {node}")?,
                (None, Some(endpoint)) => write!(f, " at {endpoint}")?,
                (None, None) => {}
            }
            f.write_str(": ")?;
        }
        f.write_str(inner.kind.as_str())?;
        if inner.attempts > 1 {
            write!(f, " after {} attempts", inner.attempts)?;
        }
        if let Some(message) = &inner.message {
            write!(f, ": {message}")?;
        }
        if f.alternate() {
            let mut cause = self.source();
            while let Some(error) = cause {
                write!(f, ": {error}")?;
                cause = error.source();
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        f.debug_struct("Error")
            .field("kind", &inner.kind)
            .field("origin", &inner.origin)
            .field("method", &inner.method)
            .field("node", &inner.node)
            .field("endpoint", &inner.endpoint)
            .field("code", &inner.code)
            .field("message", &inner.message)
            .field("source", &inner.source)
            .field("attempts", &inner.attempts)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::PermissionDenied | ErrorKind::Unauthenticated => io::ErrorKind::PermissionDenied,
            ErrorKind::AlreadyExists => io::ErrorKind::AlreadyExists,
            ErrorKind::Timeout => io::ErrorKind::TimedOut,
            ErrorKind::Connect => io::ErrorKind::NotConnected,
            ErrorKind::Unavailable => io::ErrorKind::ConnectionAborted,
            ErrorKind::InvalidInput | ErrorKind::InvalidArgument => io::ErrorKind::InvalidInput,
            ErrorKind::Malformed => io::ErrorKind::InvalidData,
            ErrorKind::Unimplemented => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[cfg(feature = "talosconfig")]
impl From<crate::config::ConfigError> for Error {
    fn from(error: crate::config::ConfigError) -> Self {
        Self::local(ErrorKind::Config, error)
    }
}

impl ErrorKind {
    fn as_str(self) -> &'static str {
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
            Self::Unknown => "failed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
