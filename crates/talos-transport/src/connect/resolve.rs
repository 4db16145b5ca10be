//! From a name to addresses.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// Finds the addresses of a name, at each attempt to connect to it.
///
/// For names that the system does not know, for caches, and for tests. A future that is dropped must leave nothing behind.
///
/// ```
/// use std::io;
/// use std::net::SocketAddr;
/// use talos_transport::connect::{Resolve, SocketConnector};
///
/// /// Knows one name.
/// struct Fixed(SocketAddr);
///
/// impl Resolve for Fixed {
///     async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
///         match host {
///             "cluster.internal" => Ok(vec![SocketAddr::new(self.0.ip(), port)]),
///             _ => Err(io::ErrorKind::NotFound.into()),
///         }
///     }
/// }
///
/// let connector = SocketConnector::new().resolver(Fixed(([10, 5, 0, 2], 0).into()));
/// ```
pub trait Resolve: Send + Sync + 'static {
    /// The addresses of a host, which may itself be an address, with this port. All of them are tried, in this order but with
    /// IPv6 and IPv4 taking turns.
    ///
    /// # Errors
    ///
    /// Why there is no answer. An answer without addresses is none either.
    fn resolve(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Vec<SocketAddr>>> + Send;
}

/// Asks the operating system (`getaddrinfo`), on a thread of the runtime for blocking work.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct SystemResolver {}

impl SystemResolver {
    /// The resolver.
    pub const fn new() -> Self {
        Self {}
    }
}

impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((host, port)).await?.collect())
    }
}

/// A [`Resolve`] whose type is forgotten.
#[derive(Clone)]
pub(super) struct AnyResolver(Arc<dyn ErasedResolve>);

type Addresses<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

trait ErasedResolve: Send + Sync {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Addresses<'a>;
}

impl<R: Resolve> ErasedResolve for R {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Addresses<'a> {
        Box::pin(Resolve::resolve(self, host, port))
    }
}

impl AnyResolver {
    pub(super) fn new(resolver: impl Resolve) -> Self {
        Self(Arc::new(resolver))
    }

    pub(super) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.0.resolve(host, port).await
    }
}

impl Default for AnyResolver {
    fn default() -> Self {
        Self::new(SystemResolver::new())
    }
}

impl fmt::Debug for AnyResolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyResolver")
    }
}
