//! Certificate authorities and certificates as a Talos cluster has them, and odd ones for tests.
//!
//! A cluster has separate authorities for the Talos API (Ed25519, subject `O=talos`) and for Kubernetes
//! (ECDSA P-256, `O=kubernetes`). Roles of a client are the organizations in the subject of its
//! certificate. Keys come from the system's random numbers, never from the cluster's seed.

mod authority;
pub(crate) mod certificate;
pub(crate) mod der;
mod inspect;
mod key;
mod load;
pub(crate) mod pem;
mod spec;

pub use authority::CertificateAuthority;
pub(crate) use authority::{ONE_DAY, ServerIdentity};
pub(crate) use inspect::LeafFacts;
pub use key::KeyAlgorithm;
pub(crate) use key::PrivateKey;
pub(crate) use spec::ValidityWindow;
pub use spec::{ClientCert, ClientCertSpec, ExtendedKeyUsage};

/// Why a key or a certificate could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// The operating system gave no random numbers.
    #[error("the system's random number generator failed")]
    Random,
    /// The cryptography library refused a key that it has just made.
    #[error("the cryptography library rejected a generated key")]
    Key,
    /// A PEM text lacks the block that it should have, or the block cannot be read.
    #[error("a certificate or key is missing or malformed")]
    Malformed,
    /// A key and a certificate are not of the same authority.
    #[error("the key does not belong to the certificate")]
    Mismatch,
}
