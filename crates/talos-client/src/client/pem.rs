//! Credentials in PEM, before they become a TLS configuration.

use talos_transport::tls::{Identity, ServerVerification, TlsConfig, TlsError};
use zeroize::Zeroizing;

/// What is known of how to trust and be trusted.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Pem {
    /// Certificates of the authorities; `None` means the system's roots.
    pub(crate) ca: Option<Vec<u8>>,
    /// Client certificate chain and private key.
    pub(crate) identity: Option<(Vec<u8>, Zeroizing<Vec<u8>>)>,
}

impl Pem {
    /// These, and what is missing in them from `other`.
    pub(crate) fn or(&self, other: Self) -> Self {
        Self {
            ca: self.ca.clone().or(other.ca),
            identity: self.identity.clone().or(other.identity),
        }
    }

    /// The TLS configuration; without a CA, one that trusts what the system trusts.
    pub(crate) fn tls_config(&self) -> Result<TlsConfig, TlsError> {
        let verification = match &self.ca {
            Some(pem) => ServerVerification::ca_pem(pem)?,
            None => ServerVerification::native_roots()?,
        };
        let mut tls = TlsConfig::builder(verification);
        if let Some((certificate, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(certificate, &**key)?);
        }
        tls.build()
    }
}
