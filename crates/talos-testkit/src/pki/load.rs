//! Authorities that were made elsewhere.

use super::certificate::OID_SUBJECT_KEY_ID;
use super::der::{self, Reader};
use super::key::PrivateKey;
use super::{CertificateAuthority, PkiError, pem};

impl CertificateAuthority {
    /// An authority that exists already, from its certificate and its Ed25519 key, one PEM block each. Keys may
    /// have Talos's label or that of PKCS#8.
    ///
    /// # Errors
    ///
    /// [`PkiError::Malformed`] when a block is missing or cannot be read, [`PkiError::Mismatch`] when the two do
    /// not belong together.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, PkiError> {
        let certificate = block(certificate, &[pem::CERTIFICATE])?;
        let pkcs8 = block(key, &[pem::ED25519_PRIVATE_KEY, "PRIVATE KEY"])?;
        let seed = seed(&pkcs8).ok_or(PkiError::Malformed)?;
        let key = PrivateKey::from_seed(seed)?;
        let parts = Parts::read(&certificate).ok_or(PkiError::Malformed)?;
        if parts.public_key != key.public_key_info() {
            return Err(PkiError::Mismatch);
        }
        Ok(Self::assembled(
            key,
            parts.subject,
            parts.key_id,
            certificate.into(),
        ))
    }
}

fn block(text: &str, labels: &[&str]) -> Result<Vec<u8>, PkiError> {
    let mut blocks = pem::decode(text).ok_or(PkiError::Malformed)?.into_iter();
    let found = blocks.find(|(label, _)| labels.contains(&label.as_str()));
    found.map(|(_, der)| der).ok_or(PkiError::Malformed)
}

/// The seed inside PKCS#8.
fn seed(pkcs8: &[u8]) -> Option<[u8; 32]> {
    let mut info = Reader::new(Reader::new(pkcs8).expect(der::SEQUENCE)?);
    info.expect(der::INTEGER)?;
    info.expect(der::SEQUENCE)?;
    let wrapped = info.expect(der::OCTET_STRING)?;
    Reader::new(wrapped).expect(der::OCTET_STRING)?.try_into().ok()
}

/// What of a certificate goes into those that it signs.
struct Parts {
    subject: Vec<u8>,
    public_key: Vec<u8>,
    key_id: [u8; 20],
}

impl Parts {
    fn read(certificate: &[u8]) -> Option<Self> {
        let mut certificate = Reader::new(Reader::new(certificate).expect(der::SEQUENCE)?);
        let mut fields = Reader::new(certificate.expect(der::SEQUENCE)?);
        fields.expect(der::context(0))?;
        fields.expect(der::INTEGER)?;
        for _algorithm_issuer_validity in 0..3 {
            fields.expect(der::SEQUENCE)?;
        }
        let subject = der::element(der::SEQUENCE, fields.expect(der::SEQUENCE)?);
        let public_key = der::element(der::SEQUENCE, fields.expect(der::SEQUENCE)?);
        let mut key_id = None;
        while let Some((tag, contents)) = fields.next() {
            if tag == der::context(3) {
                key_id = subject_key_id(contents);
            }
        }
        Some(Self {
            subject,
            public_key,
            key_id: key_id?,
        })
    }
}

fn subject_key_id(extensions: &[u8]) -> Option<[u8; 20]> {
    let mut extensions = Reader::new(Reader::new(extensions).expect(der::SEQUENCE)?);
    while let Some((_, extension)) = extensions.next() {
        let mut extension = Reader::new(extension);
        if extension.expect(der::OBJECT_ID)? == OID_SUBJECT_KEY_ID {
            let value = extension.expect(der::OCTET_STRING)?;
            return Reader::new(value).expect(der::OCTET_STRING)?.try_into().ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::{ClientCertSpec, KeyAlgorithm};

    #[test]
    fn certificates_of_a_loaded_authority_pass_for_those_of_the_first() {
        let made = CertificateAuthority::new_talos().unwrap();
        let loaded = CertificateAuthority::from_pem(&made.certificate_pem(), &made.key_pem()).unwrap();
        assert_eq!(loaded.certificate_der(), made.certificate_der());
        let cert = loaded.issue_client(&ClientCertSpec::new(["os:admin"])).unwrap();
        let (_, leaf) = x509_parser::parse_x509_certificate(cert.certificate_der()).unwrap();
        let (_, authority) = x509_parser::parse_x509_certificate(made.certificate_der()).unwrap();
        assert_eq!(leaf.issuer(), authority.subject());
        let signed = &leaf.tbs_certificate;
        let key = ring::signature::UnparsedPublicKey::new(
            &ring::signature::ED25519,
            &authority.public_key().subject_public_key.data,
        );
        key.verify(signed.as_ref(), &leaf.signature_value.data).unwrap();
    }

    #[test]
    fn parts_that_do_not_belong_together_are_refused() {
        let (one, two) = (
            CertificateAuthority::new_talos().unwrap(),
            CertificateAuthority::new_talos().unwrap(),
        );
        let mixed = CertificateAuthority::from_pem(&one.certificate_pem(), &two.key_pem());
        assert!(matches!(mixed, Err(PkiError::Mismatch)));
    }

    #[test]
    fn what_is_no_authority_is_refused() {
        let made = CertificateAuthority::new_talos().unwrap();
        let curve = CertificateAuthority::self_signed(None, KeyAlgorithm::EcdsaP256).unwrap();
        let cases = [
            (String::new(), made.key_pem()),
            (made.certificate_pem(), String::new()),
            (made.key_pem(), made.certificate_pem()),
            (made.certificate_pem(), curve.key_pem()),
            (made.certificate_pem().replacen('M', "*", 1), made.key_pem()),
        ];
        for (certificate, key) in cases {
            let refused = CertificateAuthority::from_pem(&certificate, &key);
            assert!(matches!(refused, Err(PkiError::Malformed)), "{certificate}");
        }
    }
}
