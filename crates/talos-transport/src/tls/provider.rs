//! Which cryptography provider is used: the one named, else the process default, else the one compiled in.
//!
//! Nothing here installs a process default; that is the application's decision.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::HashAlgorithm;

use super::TlsError;

pub(crate) fn resolve(explicit: Option<&Arc<CryptoProvider>>) -> Result<Arc<CryptoProvider>, TlsError> {
    let process_default = || CryptoProvider::get_default().cloned();
    explicit
        .cloned()
        .or_else(process_default)
        .or_else(compiled_in)
        .ok_or(TlsError::NoCryptoProvider)
}

#[cfg(feature = "ring")]
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::ring::default_provider()))
}

#[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
}

#[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
fn compiled_in() -> Option<Arc<CryptoProvider>> {
    None
}

/// SHA-256 by way of the provider's cipher suites; `None` if it has none that uses SHA-256.
pub(crate) fn sha256(provider: &CryptoProvider, data: &[u8]) -> Option<[u8; 32]> {
    let suite = |suite: &rustls::SupportedCipherSuite| match suite {
        rustls::SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
        rustls::SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
    };
    let hash = provider
        .cipher_suites
        .iter()
        .map(suite)
        .find(|hash| hash.algorithm() == HashAlgorithm::SHA256)?;
    hash.hash(data).as_ref().try_into().ok()
}
