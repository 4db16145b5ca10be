//! [`Fingerprint`]: how a Talos node in maintenance mode names its certificate.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;

use super::{TlsError, pem, provider};

/// SHA-256 of a certificate's public key, as a Talos node prints it on its console.
///
/// The hash covers the DER form of the *SubjectPublicKeyInfo*, so it survives a renewal that keeps the key; the
/// text form is standard base64 with padding, 44 characters. In maintenance mode a node makes a new key with each
/// certificate, at least every 12 hours, so such a fingerprint is short-lived.
///
/// ```
/// use talos_transport::tls::Fingerprint;
///
/// let text = "pnduMqbUZ/sQyDW1o4kP6c1u1PoB2gRQu8KEV38guAM=";
/// assert_eq!(text.parse::<Fingerprint>()?.to_string(), text);
/// # Ok::<(), talos_transport::tls::FingerprintError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

/// The text is not a [`Fingerprint`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[error("fingerprint {input:?} is not the padded base64 form of a SHA-256 hash (44 characters)")]
pub struct FingerprintError {
    /// The rejected text.
    pub input: String,
}

impl Fingerprint {
    /// The fingerprint of the first certificate in a PEM text.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoCertificate`] or [`TlsError::InvalidCertificate`] if there is no such certificate, and
    /// [`TlsError::NoCryptoProvider`] if nothing can compute the hash.
    pub fn of_certificate_pem(pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let certificates = pem::certificates(pem.as_ref())?;
        let first = certificates.first().ok_or(TlsError::NoCertificate)?;
        Self::of(first, &*provider::resolve(None)?)
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn of(certificate: &CertificateDer<'_>, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let parsed = ParsedCertificate::try_from(certificate).map_err(|_| TlsError::InvalidCertificate)?;
        let spki = parsed.subject_public_key_info();
        provider::sha256(provider, &spki)
            .map(Self)
            .ok_or(TlsError::NoSha256)
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        let invalid = || FingerprintError {
            input: crate::endpoint::shown(input),
        };
        let bytes = STANDARD.decode(input).map_err(|_| invalid())?;
        bytes.try_into().map(Self).map_err(|_| invalid())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}
