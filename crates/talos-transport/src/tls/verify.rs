//! The certificate verifiers behind [`ServerVerification`](super::ServerVerification).

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::verification::Check;
use super::{Fingerprint, TlsError};

pub(crate) fn verifier(
    check: &Check,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    match check {
        Check::Roots(roots) => {
            WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
                .build()
                .map(|verifier| Arc::new(RootVerifier(verifier)) as Arc<dyn ServerCertVerifier>)
                .map_err(|_| TlsError::NoTrustAnchor)
        }
        Check::Leaf(accepted) => Ok(Arc::new(LeafVerifier {
            accepted: accepted.clone(),
            provider: Arc::clone(provider),
        })),
    }
}

/// The server showed a certificate none of the expected fingerprints belongs to. Travels through rustls inside
/// [`CertificateError::Other`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnexpectedFingerprint {
    pub(crate) seen: Fingerprint,
    pub(crate) accepted: Arc<[Fingerprint]>,
}

impl fmt::Display for UnexpectedFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unexpected certificate fingerprint {}", self.seen)
    }
}

impl std::error::Error for UnexpectedFingerprint {}

/// The TLS library's verifier, with one answer put right.
#[derive(Debug)]
struct RootVerifier(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for RootVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self
            .0
            .verify_server_cert(leaf, intermediates, server_name, ocsp_response, now);
        verified.map_err(|error| match error {
            // All Talos CAs have the same subject, so the CA of another cluster is found by name and then does not fit.
            Error::InvalidCertificate(CertificateError::BadSignature) => {
                Error::InvalidCertificate(CertificateError::UnknownIssuer)
            }
            other => other,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Looks at the leaf certificate alone: at its public key, or at nothing.
#[derive(Debug)]
struct LeafVerifier {
    /// `None` accepts every certificate.
    accepted: Option<Arc<[Fingerprint]>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for LeafVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(accepted) = &self.accepted else {
            return Ok(ServerCertVerified::assertion());
        };
        let seen = Fingerprint::of(leaf, &self.provider).map_err(|error| match error {
            TlsError::InvalidCertificate => Error::InvalidCertificate(CertificateError::BadEncoding),
            other => Error::General(other.to_string()),
        })?;
        if accepted.contains(&seen) {
            return Ok(ServerCertVerified::assertion());
        }
        let unexpected = UnexpectedFingerprint {
            seen,
            accepted: Arc::clone(accepted),
        };
        Err(Error::InvalidCertificate(CertificateError::Other(OtherError(
            Arc::new(unexpected),
        ))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
