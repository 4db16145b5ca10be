//! Signs requests, see [`RequestSigner`].

mod error;
mod service;
mod tape;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderMap;

pub use self::error::SignError;
pub use self::service::{SignFuture, SignLayer, SignService};

/// Proves to servers who sends a request, by headers that depend on the request.
///
/// A channel asks its signer before each attempt to send a request, when all other metadata is final, so that a
/// timestamp in the signature is that of the attempt. Bodies are not shown to signers.
///
/// ```
/// use http::{HeaderMap, HeaderValue};
/// use talos_transport::layer::{BoxError, RequestSigner, Unsigned};
///
/// #[derive(Debug)]
/// struct Token(HeaderValue);
///
/// impl RequestSigner for Token {
///     async fn sign(&self, _request: Unsigned<'_>) -> Result<HeaderMap, BoxError> {
///         let mut headers = HeaderMap::new();
///         headers.insert("authorization", self.0.clone());
///         Ok(headers)
///     }
/// }
/// ```
pub trait RequestSigner: Send + Sync + 'static {
    /// The headers that prove who sends this request. They replace those of the same names.
    ///
    /// The time this takes counts as time of the call, and a call that is given up drops the future.
    ///
    /// # Errors
    ///
    /// Why the request cannot be signed. It is not sent then, and the call fails with
    /// [`Error::Signing`](crate::Error::Signing).
    fn sign(&self, request: Unsigned<'_>) -> impl Future<Output = Result<HeaderMap, BoxError>> + Send;

    /// Asked when a server refuses a signed request with `UNAUTHENTICATED` before it answers anything else: is it worth
    /// signing the request once more?
    ///
    /// Asked once for each attempt at most. By default the refusal is final.
    ///
    /// # Errors
    ///
    /// Why getting other credentials failed; the call fails with [`Error::Signing`](crate::Error::Signing). Return
    /// [`AfterRefusal::GiveUp`] to let it fail with the server's own words.
    fn on_unauthenticated(
        &self,
        refusal: Refusal<'_>,
    ) -> impl Future<Output = Result<AfterRefusal, BoxError>> + Send {
        let _ = refusal;
        async { Ok(AfterRefusal::GiveUp) }
    }
}

/// An error of a signer.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request to be signed.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Unsigned<'a> {
    /// The method, such as `/machine.MachineService/Version`.
    pub path: &'a str,
    /// The metadata as it is going to be sent, routing included. gRPC adds headers of its own, such as `grpc-timeout`.
    pub metadata: &'a HeaderMap,
}

/// A signature that a server did not accept.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct Refusal<'a> {
    /// The method, such as `/machine.MachineService/Version`.
    pub path: &'a str,
    /// What the signer returned for this request.
    pub headers: &'a HeaderMap,
    /// The server's words.
    pub message: &'a str,
}

/// What to do about a signature that was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterRefusal {
    /// The call fails with what the server said.
    GiveUp,
    /// The request is signed and sent once more.
    ///
    /// That needs its body again. Bodies are kept up to 1 MiB until the response begins; one that is longer by then
    /// makes this the same as [`GiveUp`](Self::GiveUp).
    SignAgain,
}

/// A [`RequestSigner`] whose type is forgotten, so that a channel has one type whatever signs.
#[derive(Clone)]
pub(crate) struct AnySigner(Arc<dyn ErasedSigner>);

impl AnySigner {
    pub(crate) fn new(signer: impl RequestSigner) -> Self {
        Self(Arc::new(signer))
    }
}

impl fmt::Debug for AnySigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnySigner")
    }
}

/// Metadata may hold credentials, so only names are shown.
impl fmt::Debug for Unsigned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unsigned")
            .field("path", &self.path)
            .field("metadata", &self.metadata.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl fmt::Debug for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("path", &self.path)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("message", &self.message)
            .finish()
    }
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send + 'a>>;

trait ErasedSigner: Send + Sync {
    fn sign<'a>(&'a self, request: Unsigned<'a>) -> BoxFuture<'a, HeaderMap>;
    fn on_unauthenticated<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, AfterRefusal>;
}

impl<S: RequestSigner> ErasedSigner for S {
    fn sign<'a>(&'a self, request: Unsigned<'a>) -> BoxFuture<'a, HeaderMap> {
        Box::pin(RequestSigner::sign(self, request))
    }

    fn on_unauthenticated<'a>(&'a self, refusal: Refusal<'a>) -> BoxFuture<'a, AfterRefusal> {
        Box::pin(RequestSigner::on_unauthenticated(self, refusal))
    }
}
