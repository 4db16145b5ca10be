//! [`ServerVerification`]: how a server proves that it is the right one.

use std::fmt;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;

use super::{Fingerprint, TlsError, pem};

/// How the server's certificate is checked.
///
/// Whichever way is chosen, the server must prove that it holds the key of the certificate it shows.
#[derive(Clone)]
pub struct ServerVerification(pub(crate) Check);

#[derive(Clone)]
pub(crate) enum Check {
    /// Chain up to one of these roots, validity, and the server name.
    Roots(Arc<RootCertStore>),
    /// Public key of the leaf only; `None` accepts every certificate.
    Leaf(Option<Arc<[Fingerprint]>>),
}

impl ServerVerification {
    /// Trusts the CA certificates of a PEM text and nothing else; this is what a talosconfig asks for.
    ///
    /// The text may hold several certificates, as it does while a cluster's CA is rotated. Certificates that cannot
    /// be used as a CA are skipped as long as one can. Chain, validity and server name are verified.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoCertificate`], [`TlsError::MalformedPem`], or [`TlsError::NoTrustAnchor`] if none is usable.
    pub fn ca_pem(pem: impl AsRef<[u8]>) -> Result<Self, TlsError> {
        let certificates = pem::certificates(pem.as_ref())?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate);
        }
        Self::from_certificates(certificates)
    }

    /// Trusts the operating system's certificate store, for endpoints behind a public certificate such as Omni's.
    ///
    /// Reads the store when called. The environment variables `SSL_CERT_FILE` and `SSL_CERT_DIR` replace it, as they
    /// do for other programs.
    ///
    /// # Errors
    ///
    /// [`TlsError::SystemRoots`] if the store is empty or unreadable, and [`TlsError::FeatureDisabled`] without the
    /// feature `native-roots`.
    #[cfg(feature = "native-roots")]
    pub fn native_roots() -> Result<Self, TlsError> {
        Self::from_store(rustls_native_certs::load_native_certs())
    }

    #[cfg(feature = "native-roots")]
    fn from_store(found: rustls_native_certs::CertificateResult) -> Result<Self, TlsError> {
        if found.certs.is_empty() {
            let reason = found
                .errors
                .first()
                .map_or_else(|| "it is empty".to_owned(), ToString::to_string);
            return Err(TlsError::SystemRoots { reason });
        }
        Self::from_certificates(found.certs)
    }

    /// Trusts the operating system's certificate store; this build has the feature `native-roots` disabled.
    ///
    /// # Errors
    ///
    /// Always [`TlsError::FeatureDisabled`].
    #[cfg(not(feature = "native-roots"))]
    pub fn native_roots() -> Result<Self, TlsError> {
        Err(TlsError::FeatureDisabled {
            feature: "native-roots",
        })
    }

    /// Accepts a server whose certificate has one of these fingerprints.
    ///
    /// This is how a node in maintenance mode is verified: its certificate comes from a CA nobody knows, but its
    /// console shows the fingerprint. Neither chain nor validity nor server name are checked, and only the leaf
    /// certificate counts.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoFingerprint`] if there is none.
    pub fn fingerprints(fingerprints: impl IntoIterator<Item = Fingerprint>) -> Result<Self, TlsError> {
        let fingerprints: Arc<[Fingerprint]> = fingerprints.into_iter().collect();
        if fingerprints.is_empty() {
            return Err(TlsError::NoFingerprint);
        }
        Ok(Self(Check::Leaf(Some(fingerprints))))
    }

    /// The door to ways that protect against nobody.
    pub fn dangerous() -> DangerousVerification {
        DangerousVerification(())
    }

    fn from_certificates(certificates: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        let (added, skipped) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(TlsError::NoTrustAnchor);
        }
        if skipped > 0 {
            tracing::warn!(added, skipped, "some CA certificates cannot be used");
        }
        Ok(Self(Check::Roots(Arc::new(roots))))
    }
}

impl fmt::Debug for ServerVerification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Check::Roots(roots) => f
                .debug_struct("Roots")
                .field("certificates", &roots.len())
                .finish(),
            Check::Leaf(Some(fingerprints)) => f.debug_tuple("Fingerprints").field(fingerprints).finish(),
            Check::Leaf(None) => f.write_str("DangerousSkip"),
        }
    }
}

/// Ways of "verifying" that must be asked for by name, see [`ServerVerification::dangerous`].
#[derive(Debug)]
pub struct DangerousVerification(());

impl DangerousVerification {
    /// Accepts **every** certificate: whoever answers can read and change everything that is sent, including the
    /// machine configuration with the cluster's secrets.
    ///
    /// Use it only for a node in maintenance mode on a network you control, and prefer
    /// [`fingerprints`](ServerVerification::fingerprints) even there. The server still has to prove that it holds the
    /// key of the certificate it shows, so the connection cannot be taken over later.
    pub fn skip(self) -> ServerVerification {
        ServerVerification(Check::Leaf(None))
    }
}

/// The process's own store depends on the machine and its environment, so these bring stores of their own.
#[cfg(test)]
#[cfg(feature = "native-roots")]
mod tests {
    use std::fs;
    use std::path::Path;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::crypto::CryptoProvider;
    use rustls_native_certs::load_certs_from_paths;
    use rustls_pki_types::{ServerName, UnixTime};

    use super::*;
    use crate::tls::verify::verifier;

    struct Ca(Issuer<'static, KeyPair>, String);

    impl Ca {
        fn new() -> Self {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            let pem = params.self_signed(&key).unwrap().pem();
            Self(Issuer::new(params, key), pem)
        }

        fn accepts(&self, store: &ServerVerification, provider: &Arc<CryptoProvider>) -> bool {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(["omni.example.org".to_owned()]).unwrap();
            let leaf = params.signed_by(&key, &self.0).unwrap();
            let name = ServerName::try_from("omni.example.org").unwrap();
            let verifier = verifier(&store.0, provider).unwrap();
            verifier
                .verify_server_cert(leaf.der(), &[], &name, &[], UnixTime::now())
                .is_ok()
        }
    }

    fn store(file: &Path) -> Result<ServerVerification, TlsError> {
        ServerVerification::from_store(load_certs_from_paths(Some(file), None))
    }

    #[test]
    fn trusts_what_the_store_holds_and_nothing_else() {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let [one, other, stranger] = [Ca::new(), Ca::new(), Ca::new()];
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle.crt");
        fs::write(&file, format!("{}{}", one.1, other.1)).unwrap();
        let store = store(&file).unwrap();
        let accepted = [&one, &other, &stranger].map(|ca| ca.accepts(&store, &provider));
        assert_eq!(accepted, [true, true, false]);
    }

    #[test]
    fn a_store_without_certificates_is_an_error_with_its_reason() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        fs::write(&empty, "").unwrap();
        let missing = folder.path().join("missing");
        for (file, expected) in [(&empty, "it is empty"), (&missing, "missing")] {
            match store(file) {
                Err(TlsError::SystemRoots { reason }) => assert!(reason.contains(expected), "{reason}"),
                unexpected => panic!("{file:?}: {unexpected:?}"),
            }
        }
    }
}
