//! What `apid` reads from a certificate that a client presents.

use super::certificate::{OID_COMMON_NAME, OID_EXTENDED_KEY_USAGE, OID_ORGANIZATION};
use super::der::{self, Reader};
use super::spec::ExtendedKeyUsage;

/// The parts of a leaf certificate that decide about access.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LeafFacts {
    /// Organizations of the subject: the caller's roles.
    pub(crate) organizations: Vec<String>,
    /// The common name of the subject, which only Kubernetes reads.
    pub(crate) common_name: Option<String>,
    /// Whether the Extended Key Usage list is exactly `[clientAuth]`.
    pub(crate) client_auth_only: bool,
}

impl LeafFacts {
    /// Reads a DER certificate whose signature has been verified already; `None` when it is malformed.
    pub(crate) fn parse(certificate: &[u8]) -> Option<Self> {
        let mut certificate = Reader::new(Reader::new(certificate).expect(der::SEQUENCE)?);
        let mut fields = Reader::new(certificate.expect(der::SEQUENCE)?);
        fields.expect(der::context(0))?;
        fields.expect(der::INTEGER)?;
        for _algorithm_issuer_validity in 0..3 {
            fields.expect(der::SEQUENCE)?;
        }
        let subject = fields.expect(der::SEQUENCE)?;
        let organizations = names(subject, OID_ORGANIZATION)?;
        let common_name = names(subject, OID_COMMON_NAME)?.pop();
        let mut client_auth_only = false;
        while let Some((tag, contents)) = fields.next() {
            if tag == der::context(3) {
                client_auth_only = is_client_auth_only(contents)?;
            }
        }
        Some(Self {
            organizations,
            common_name,
            client_auth_only,
        })
    }
}

/// All names of one type in a subject.
fn names(subject: &[u8], wanted: &[u8]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    let mut relative_names = Reader::new(subject);
    while let Some((_, relative_name)) = relative_names.next() {
        let mut attributes = Reader::new(relative_name);
        while let Some((_, attribute)) = attributes.next() {
            let mut attribute = Reader::new(attribute);
            let is_wanted = attribute.expect(der::OBJECT_ID)? == wanted;
            let (_, value) = attribute.next()?;
            if is_wanted {
                found.push(String::from_utf8_lossy(value).into_owned());
            }
        }
    }
    Some(found)
}

fn is_client_auth_only(extensions: &[u8]) -> Option<bool> {
    let mut extensions = Reader::new(Reader::new(extensions).expect(der::SEQUENCE)?);
    while let Some((_, extension)) = extensions.next() {
        let mut extension = Reader::new(extension);
        if extension.expect(der::OBJECT_ID)? != OID_EXTENDED_KEY_USAGE {
            continue;
        }
        let mut value = None;
        while let Some((tag, contents)) = extension.next() {
            value = (tag == der::OCTET_STRING).then_some(contents).or(value);
        }
        let mut purposes = Reader::new(Reader::new(value?).expect(der::SEQUENCE)?);
        let first = purposes.expect(der::OBJECT_ID)?;
        return Some(first == ExtendedKeyUsage::ClientAuth.encoded() && purposes.next().is_none());
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::super::{CertificateAuthority, ClientCertSpec};
    use super::*;

    #[test]
    fn roles_and_purposes_are_read_back() {
        let authority = CertificateAuthority::new_talos().unwrap();
        let cases: [(&[&str], &[ExtendedKeyUsage], bool); 4] = [
            (&["os:admin"], &[ExtendedKeyUsage::ClientAuth], true),
            (
                &["os:reader", "os:operator"],
                &[ExtendedKeyUsage::ServerAuth],
                false,
            ),
            (
                &[],
                &[ExtendedKeyUsage::ClientAuth, ExtendedKeyUsage::ServerAuth],
                false,
            ),
            (&["röle"], &[], false),
        ];
        for (roles, purposes, client_auth_only) in cases {
            let spec =
                ClientCertSpec::new(roles.iter().copied()).extended_key_usage(purposes.iter().copied());
            let cert = authority.issue_client(&spec).unwrap();
            let facts = LeafFacts::parse(cert.certificate_der()).unwrap();
            let mut expected = roles.to_vec();
            expected.sort_unstable();
            let mut organizations = facts.organizations;
            organizations.sort();
            assert_eq!(organizations, expected);
            assert_eq!(facts.client_auth_only, client_auth_only, "{roles:?}");
        }
    }

    #[test]
    fn a_truncated_certificate_is_refused() {
        let authority = CertificateAuthority::new_talos().unwrap();
        let der = authority.certificate_der();
        for length in [0, 1, 4, 40, der.len() / 2, der.len() - 1] {
            assert_eq!(LeafFacts::parse(&der[..length]), None, "{length}");
        }
    }
}
