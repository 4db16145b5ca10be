//! [`LoginHandler`]: how the program has a new key confirmed.

use std::{error::Error as StdError, fmt, future::Future, pin::Pin, sync::Arc};

use talos_transport::Channel;

/// Has a new signing key confirmed, which usually means that a person logs in with a browser.
///
/// Talos's own client does it by the service `auth.AuthService` of the endpoints: `RegisterPublicKey`, with the
/// armored public key and the identity as the user's mail address, returns a URL for the person to open, and
/// `AwaitPublicKeyConfirmation`, with the key's fingerprint, answers once the person has confirmed. This library
/// has no bindings for that service, which belongs to Omni and not to Talos; [`LoginRequest::channel`] leads there.
///
/// ```
/// use talos_client::siderov1::{LoginHandler, LoginRequest};
///
/// struct Confirm;
///
/// impl LoginHandler for Confirm {
///     async fn login(
///         &self,
///         request: LoginRequest,
///     ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
///         println!("Please confirm key {} of {}.", request.fingerprint(), request.identity());
/// #       let register_and_wait = async |_: &str| Ok(());
///         register_and_wait(request.public_key()).await
///     }
/// }
/// ```
pub trait LoginHandler: Send + Sync + 'static {
    /// Registers the public key with the servers and returns once they accept it.
    ///
    /// It runs in a task of its own, so that a call whose time is over does not take the login with it: the next
    /// call finds the key. Several calls that need a key at the same time wait for one login. It is cancelled when
    /// the client and everything made from it is gone.
    ///
    /// # Errors
    ///
    /// Why there is no confirmation. Calls that wait for it fail with
    /// [`SideroV1Error::Login`](super::SideroV1Error::Login), and later ones ask again.
    fn login(
        &self,
        request: LoginRequest,
    ) -> impl Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send;
}

/// The key that is to be confirmed.
#[derive(Clone)]
pub struct LoginRequest {
    pub(super) identity: String,
    pub(super) context: String,
    pub(super) public_key: String,
    pub(super) fingerprint: String,
    pub(super) channel: Channel,
}

impl LoginRequest {
    /// Who logs in, usually a mail address.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The name of the talosconfig's context.
    pub fn context(&self) -> &str {
        &self.context
    }

    /// The public key in ASCII armor.
    pub fn public_key(&self) -> &str {
        &self.public_key
    }

    /// The key's fingerprint, 40 lower-case hexadecimal digits.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// A channel to the client's endpoints whose calls are not signed.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }
}

impl fmt::Debug for LoginRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRequest")
            .field("identity", &self.identity)
            .field("context", &self.context)
            .field("fingerprint", &self.fingerprint)
            .finish_non_exhaustive()
    }
}

/// A [`LoginHandler`] whose type is forgotten.
#[derive(Clone)]
pub(super) struct AnyLogin(Arc<dyn ErasedLogin>);

impl AnyLogin {
    pub(super) fn new(handler: impl LoginHandler) -> Self {
        Self(Arc::new(handler))
    }

    pub(super) async fn login(&self, request: LoginRequest) -> Result<(), Box<dyn StdError + Send + Sync>> {
        self.0.login(request).await
    }
}

type LoginFuture<'a> = Pin<Box<dyn Future<Output = Result<(), Box<dyn StdError + Send + Sync>>> + Send + 'a>>;

trait ErasedLogin: Send + Sync {
    fn login(&self, request: LoginRequest) -> LoginFuture<'_>;
}

impl<H: LoginHandler> ErasedLogin for H {
    fn login(&self, request: LoginRequest) -> LoginFuture<'_> {
        Box::pin(LoginHandler::login(self, request))
    }
}
