//! The one error of the client.

use std::{error::Error as StdError, io, time::Duration};

use talos_proto::methods::{MethodInfo, Release, Role, by_path};
use talos_transport::{Endpoint, NodeName};

mod code;
mod cosi;
mod details;
mod display;
mod kind;
mod origin;
mod predicates;
mod state;
mod unimplemented;

pub use code::Code;
pub use cosi::ResourceErrorKind;
pub use details::{Detail, FieldViolation, Violation};
pub use kind::{ErrorCategory, ErrorKind};
pub use origin::Origin;
pub use unimplemented::Unimplemented;

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
    details: Vec<Detail>,
    release: Option<Release>,
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
            details: Vec::new(),
            release: None,
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

    pub(crate) fn with_details(mut self, details: Vec<Detail>) -> Self {
        self.0.details = details;
        self
    }

    /// The release that the node runs, as far as is known.
    pub(crate) fn with_release(mut self, release: Option<Release>) -> Self {
        self.0.release = release;
        self
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

    /// What the server attached to the status, in its order; usually nothing.
    pub fn details(&self) -> &[Detail] {
        &self.0.details
    }

    /// How long the server wants us to wait before we try again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.details().iter().find_map(|detail| match detail {
            Detail::RetryInfo { delay } => *delay,
            _ => None,
        })
    }

    /// The release that the node runs, where an earlier call of the same client has found out; for
    /// [`ErrorKind::Unimplemented`] only.
    pub fn node_release(&self) -> Option<Release> {
        self.0.release
    }

    /// Why the server does not implement the call; `None` for errors of any other kind.
    pub fn unimplemented(&self) -> Option<Unimplemented> {
        if self.kind() != ErrorKind::Unimplemented {
            return None;
        }
        let message = self.message().unwrap_or_default();
        Some(Unimplemented::of_status(
            self.method_info(),
            self.0.release,
            message,
        ))
    }

    /// The roles of which any one would have been enough, where the node refused the call because the client has
    /// none of them; empty otherwise.
    ///
    /// In maintenance mode, and for the types of resources that are sensitive, other rules apply, and this is what
    /// holds for the call in general.
    pub fn required_roles(&self) -> &'static [Role] {
        let refused = self.kind() == ErrorKind::PermissionDenied && self.message() == Some("not authorized");
        match self.method_info() {
            Some(method) if refused => match self.resource_kind() {
                // The rule let the call through; it was the type that is for administrators only.
                Some(ResourceErrorKind::NotAuthorized) => &[Role::Admin],
                _ => method.roles,
            },
            _ => &[],
        }
    }

    /// What the error means for resources; `None` for calls that are about something else, and for errors that are
    /// not about resources.
    pub fn resource_kind(&self) -> Option<ResourceErrorKind> {
        ResourceErrorKind::of_status(self.method()?, self.code()?, self.message().unwrap_or_default())
    }

    fn method_info(&self) -> Option<&'static MethodInfo> {
        by_path(self.method()?)
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
