//! TLS: who we are ([`Identity`]), how a server is verified ([`ServerVerification`]), and the two together
//! ([`TlsConfig`]), replaceable while connected ([`TlsHandle`]).
//!
//! ```
//! use talos_transport::tls::{ServerVerification, TlsConfig, TlsError};
//! # fn example(ca: &str, certificate: &str, key: &str) -> Result<(), TlsError> {
//! use talos_transport::tls::Identity;
//!
//! let tls = TlsConfig::builder(ServerVerification::ca_pem(ca)?)
//!     .identity(Identity::from_pem(certificate, key)?)
//!     .build()?;
//! # Ok(()) }
//! ```
//!
//! Always TLS 1.2 or 1.3, with ALPN `h2` unless told otherwise. The cryptography comes from the provider named in the
//! configuration, else from the process default, else from the one compiled in (feature `ring` before `aws-lc-rs`); nothing
//! is installed as the process default.

mod der;
mod digest;
mod error;
mod expiry;
mod fingerprint;
mod identity;
mod pem;
pub(crate) mod provider;
mod rotate;
mod stream;
pub(crate) mod time;
mod verification;
pub(crate) mod verify;

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::ServerName;

pub use self::der::CertificateFacts;
pub use self::digest::Sha256;
pub use self::error::TlsError;
pub use self::expiry::Validity;
pub use self::fingerprint::{Fingerprint, FingerprintError};
pub use self::identity::Identity;
pub(crate) use self::rotate::{Credentials, Outdate};
pub use self::rotate::{TlsHandle, WeakTlsHandle};
pub use self::verification::{DangerousVerification, ServerVerification};
/// The TLS library, for [`TlsConfigBuilder::crypto_provider`].
pub use rustls;

use crate::Endpoint;

/// TLS settings of a channel. Cheap to clone, safe to share between channels.
#[derive(Clone)]
pub struct TlsConfig {
    client: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
    verification: ServerVerification,
    identity: Option<Identity>,
}

/// Collects the settings of a [`TlsConfig`], see [`TlsConfig::builder`].
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct TlsConfigBuilder {
    verification: ServerVerification,
    identity: Option<Identity>,
    server_name: Option<String>,
    provider: Option<Arc<CryptoProvider>>,
    protocols: Vec<Vec<u8>>,
}

impl TlsConfig {
    /// Starts with how the server is verified, the one thing that has no default.
    pub fn builder(verification: ServerVerification) -> TlsConfigBuilder {
        TlsConfigBuilder {
            verification,
            identity: None,
            server_name: None,
            provider: None,
            protocols: vec![b"h2".to_vec()],
        }
    }

    /// The client certificate that is shown to servers, if there is one.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    pub(crate) fn client(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.client)
    }

    /// The name to verify: the override, else the host of the endpoint. `None` for unix sockets without override.
    pub(crate) fn server_name(&self, endpoint: &Endpoint) -> Option<ServerName<'static>> {
        let host = || {
            let name = ServerName::try_from(endpoint.server_name()?.to_owned());
            Some(name.expect("hosts follow the rules of server names"))
        };
        self.server_name.clone().or_else(host)
    }
}

impl fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConfig")
            .field("verification", &self.verification)
            .field("identity", &self.identity)
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl TlsConfigBuilder {
    /// Shows this client certificate to servers that ask for one. Default: none, as in maintenance mode.
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// Verifies the certificate of every endpoint against this name or IP address instead of the endpoint's host.
    ///
    /// A DNS name is also sent as SNI; for IP addresses none is sent.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Uses this cryptography provider instead of the process default or the compiled-in one.
    pub fn crypto_provider(mut self, provider: Arc<CryptoProvider>) -> Self {
        self.provider = Some(provider);
        self
    }

    /// Offers these protocols by ALPN, the most wanted first, for [`TlsConfig::connect`]. Default: `h2`, which a
    /// channel needs.
    pub fn protocols(mut self, names: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.protocols = names.into_iter().map(Into::into).collect();
        self
    }

    /// Checks everything that can be checked without a server.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoCryptoProvider`], [`TlsError::InvalidServerName`], [`TlsError::KeyMismatch`] or
    /// [`TlsError::InvalidKey`].
    pub fn build(self) -> Result<TlsConfig, TlsError> {
        let Self {
            verification,
            identity,
            server_name,
            provider,
            protocols,
        } = self;
        let provider = provider::resolve(provider.as_ref())?;
        let server_name = match server_name {
            None => None,
            Some(name) => match ServerName::try_from(name.as_str()) {
                Ok(valid) => Some(valid.to_owned()),
                Err(_) => return Err(TlsError::InvalidServerName { name }),
            },
        };
        let verifier = verify::verifier(&verification.0, &provider)?;
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|_| TlsError::NoTlsVersion)?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut client = match &identity {
            Some(identity) => {
                let key = identity.certified_key(&provider)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(key)))
            }
            None => builder.with_no_client_auth(),
        };
        client.alpn_protocols = protocols;
        Ok(TlsConfig {
            client: Arc::new(client),
            server_name,
            verification,
            identity,
        })
    }
}
