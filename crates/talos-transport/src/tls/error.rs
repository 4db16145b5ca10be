//! What can be wrong with TLS material, before anything is dialled.

/// A problem with certificates, keys or TLS settings.
///
/// What goes wrong *during* a handshake is a [`HandshakeError`](crate::HandshakeError).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The text has no `CERTIFICATE` block.
    #[error("no PEM block labelled CERTIFICATE found")]
    NoCertificate,
    /// The text has no block whose label ends with `PRIVATE KEY`.
    #[error("no PEM block with a private key found")]
    NoPrivateKey,
    /// A PEM block is cut off or its body is not base64.
    #[error("the PEM block labelled {label:?} is malformed")]
    MalformedPem {
        /// Label of the block.
        label: String,
    },
    /// The private key is protected by a password, which Talos does not use.
    #[error("the private key is encrypted; decrypt it first")]
    EncryptedKey,
    /// A `CERTIFICATE` block does not hold an X.509 certificate.
    #[error("the certificate cannot be read")]
    InvalidCertificate,
    /// The private key is none of PKCS#8, PKCS#1 and SEC1, or the provider does not support its algorithm.
    #[error("the private key cannot be read or its algorithm is not supported")]
    InvalidKey,
    /// Certificate and private key are two unrelated ones.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// None of the given CA certificates can be used.
    #[error("none of the CA certificates can be used")]
    NoTrustAnchor,
    /// Verification by fingerprint was asked for, with no fingerprint.
    #[error("at least one certificate fingerprint is needed")]
    NoFingerprint,
    /// The server name override is neither a DNS name nor an IP address.
    #[error("server name {name:?} is neither a DNS name nor an IP address")]
    InvalidServerName {
        /// The rejected name.
        name: String,
    },
    /// The operating system's certificate store is empty or cannot be read.
    #[error("the system's certificate store cannot be used: {reason}")]
    SystemRoots {
        /// What the store said.
        reason: String,
    },
    /// This build of the crate cannot do what was asked for.
    #[error("this needs the feature `{feature}` of talos-transport")]
    FeatureDisabled {
        /// The feature to enable.
        feature: &'static str,
    },
    /// There is nothing to do the cryptography.
    #[error(
        "no cryptography provider: enable the feature `ring` or `aws-lc-rs` of talos-transport, install a process \
         default, or pass one to TlsConfigBuilder::crypto_provider"
    )]
    NoCryptoProvider,
    /// The cryptography provider cannot compute SHA-256, which fingerprints need.
    #[error("the cryptography provider offers no SHA-256")]
    NoSha256,
    /// The cryptography provider supports neither TLS 1.2 nor TLS 1.3.
    #[error("the cryptography provider supports neither TLS 1.2 nor TLS 1.3")]
    NoTlsVersion,
}
