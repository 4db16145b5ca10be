//! Which cryptography provider is used: the one named, else the process default, else the one compiled in.
//!
//! Nothing here installs a process default; that is the application's decision.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::crypto::hash::{Hash, HashAlgorithm};

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

/// SHA-256 of the provider's cipher suites; `None` if it has none that uses SHA-256.
pub(crate) fn sha256_of(provider: &CryptoProvider) -> Option<&'static dyn Hash> {
    let suite = |suite: &rustls::SupportedCipherSuite| match suite {
        rustls::SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
        rustls::SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
    };
    provider
        .cipher_suites
        .iter()
        .map(suite)
        .find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
}

/// The SHA-256 of all of this.
pub(crate) fn sha256(provider: &CryptoProvider, data: &[u8]) -> Option<[u8; 32]> {
    sha256_of(provider)?.hash(data).as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tells providers apart; they have no name.
    #[cfg(any(feature = "ring", feature = "aws-lc-rs"))]
    fn kind(provider: &CryptoProvider) -> String {
        format!("{:?}", provider.secure_random)
    }

    #[test]
    fn an_explicit_provider_goes_first() {
        let mut explicit = rustls::crypto::ring::default_provider();
        explicit.kx_groups.truncate(1);
        let resolved = resolve(Some(&Arc::new(explicit))).unwrap();
        assert_eq!(resolved.kx_groups.len(), 1);
    }

    #[test]
    #[cfg(feature = "ring")]
    fn ring_is_used_unless_told_otherwise() {
        // With both compiled in as well.
        let ring = rustls::crypto::ring::default_provider();
        assert_eq!(kind(&resolve(None).unwrap()), kind(&ring));
        #[cfg(feature = "aws-lc-rs")]
        assert_ne!(kind(&rustls::crypto::aws_lc_rs::default_provider()), kind(&ring));
    }

    #[test]
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    fn aws_lc_rs_is_used_if_it_is_the_only_one() {
        let aws_lc_rs = rustls::crypto::aws_lc_rs::default_provider();
        assert_eq!(kind(&resolve(None).unwrap()), kind(&aws_lc_rs));
        assert_ne!(kind(&rustls::crypto::ring::default_provider()), kind(&aws_lc_rs));
    }

    #[test]
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    fn none_is_made_up() {
        assert_eq!(resolve(None).err(), Some(TlsError::NoCryptoProvider));
    }
}
