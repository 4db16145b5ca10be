//! Verification of client certificates, with the alerts that Go's TLS stack sends.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};

use crate::pki::{CertificateAuthority, LeafFacts};

/// Chain verification against the cluster's authority, then `apid`'s own rule: the Extended Key Usage list
/// of every certificate that is no authority must be exactly `clientAuth`.
#[derive(Debug)]
pub(super) struct TalosClientVerifier {
    chain: Arc<dyn ClientCertVerifier>,
}

impl TalosClientVerifier {
    pub(super) fn new(
        authority: &CertificateAuthority,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, Error> {
        let chain = chain_verifier(authority, provider)?;
        Ok(Self { chain })
    }
}

/// Chain verification of clients against an authority.
pub(crate) fn chain_verifier(
    authority: &CertificateAuthority,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.certificate_der().to_vec()))?;
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

impl ClientCertVerifier for TalosClientVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self
            .chain
            .verify_client_cert(end_entity, intermediates, now)
            .map_err(as_go_reports_it)?;
        let facts = LeafFacts::parse(end_entity).ok_or(CertificateError::BadEncoding)?;
        if facts.client_auth_only {
            Ok(verified)
        } else {
            Err(CertificateError::BadEncoding.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chain.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chain.supported_verify_schemes()
    }
}

/// Go knows three answers: unknown authority (a bad signature included), expired, and bad certificate for
/// everything else. rustls picks its alert by the error, `BadEncoding` being "bad certificate".
fn as_go_reports_it(error: Error) -> Error {
    use CertificateError as E;
    let Error::InvalidCertificate(certificate_error) = error else {
        return error;
    };
    Error::InvalidCertificate(match certificate_error {
        expired @ (E::Expired | E::ExpiredContext { .. } | E::NotValidYet | E::NotValidYetContext { .. }) => {
            expired
        }
        E::UnknownIssuer | E::BadSignature => E::UnknownIssuer,
        _ => E::BadEncoding,
    })
}
