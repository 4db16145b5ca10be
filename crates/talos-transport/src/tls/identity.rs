//! [`Identity`]: the client certificate and its key.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::sign::CertifiedKey;
use rustls::{Error as RustlsError, InconsistentKeys};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroize as _;

use super::expiry::ExpiryNotice;
use super::{CertificateFacts, TlsError, pem, provider};

/// A client certificate with its private key.
///
/// Cloning is cheap. The key never appears in [`Debug`](fmt::Debug) output and is overwritten when the last clone
/// is dropped; TLS configurations made from it hold their own copy for as long as they live.
#[derive(Clone)]
pub struct Identity(Arc<Inner>);

struct Inner {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    facts: CertificateFacts,
    expiry: ExpiryNotice,
}

impl Identity {
    /// Reads a certificate chain and its private key from PEM texts.
    ///
    /// The chain is every `CERTIFICATE` block of `certificate`, leaf first. The key is the first block of `key` whose
    /// label is `PRIVATE KEY` or ends with ` PRIVATE KEY`; Talos's own `ED25519 PRIVATE KEY` is one of those. Whether
    /// it holds PKCS#8, PKCS#1 or SEC1 is told from its contents, not from the label. Both arguments may be the same
    /// text.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoCertificate`], [`TlsError::NoPrivateKey`], [`TlsError::MalformedPem`],
    /// [`TlsError::EncryptedKey`], [`TlsError::InvalidCertificate`], [`TlsError::InvalidKey`], and
    /// [`TlsError::KeyMismatch`] if the key does not belong to the first certificate. Without a compiled-in or
    /// process-default cryptography provider the last check happens when the TLS configuration is built.
    pub fn from_pem(certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let chain = pem::certificates(certificate.as_ref())?;
        let leaf = chain.first().ok_or(TlsError::NoCertificate)?;
        let facts = CertificateFacts::parse(leaf).ok_or(TlsError::InvalidCertificate)?;
        let identity = Self(Arc::new(Inner {
            key: pem::private_key(key.as_ref())?,
            facts,
            expiry: ExpiryNotice::default(),
            chain,
        }));
        if let Ok(provider) = provider::resolve(None) {
            identity.certified_key(&provider)?;
        }
        Ok(identity)
    }

    /// Validity and subject of the certificate; its organizations are the Talos roles it grants.
    pub fn certificate(&self) -> &CertificateFacts {
        &self.0.facts
    }

    /// Traces a warning if the certificate is about to expire, once for all clones.
    pub(crate) fn check_expiry(&self, now: SystemTime) {
        self.0.expiry.check(&self.0.facts, now);
    }

    /// Loads the key and checks that it belongs to the certificate.
    pub(crate) fn certified_key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let key = self.0.key.clone_key();
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|_| TlsError::InvalidKey)?;
        let certified = CertifiedKey::new(self.0.chain.clone(), key);
        match certified.keys_match() {
            // Some hardware keys do not tell their public half; then the server is the one to find out.
            Ok(()) | Err(RustlsError::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(RustlsError::InconsistentKeys(_)) => Err(TlsError::KeyMismatch),
            Err(_) => Err(TlsError::InvalidCertificate),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.0.facts)
            .field("chain", &self.0.chain.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}
