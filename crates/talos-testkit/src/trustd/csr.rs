//! PKCS#10 certificate requests, as far as `trustd` looks at them.

use std::net::IpAddr;

use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;

use crate::pki::certificate::{OID_ORGANIZATION, OID_SUBJECT_ALT_NAME};
use crate::pki::der::{self, Reader};

/// `extensionRequest` of PKCS#9.
const OID_EXTENSION_REQUEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SigningRequest {
    /// The subject's parts in DER, without organizations: nobody becomes a client of the API here.
    pub(crate) names: Vec<Vec<u8>>,
    /// `SubjectPublicKeyInfo` in DER.
    pub(crate) public_key: Vec<u8>,
    pub(crate) dns_names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
}

/// The DER in a PEM block of a request.
pub(super) fn decode(pem: &[u8]) -> Option<Vec<u8>> {
    let request = CertificateSigningRequestDer::from_pem_slice(pem).ok()?;
    Some(request.as_ref().to_vec())
}

impl SigningRequest {
    /// Reads a request in DER; `None` when it is malformed.
    pub(super) fn parse(request: &[u8]) -> Option<Self> {
        let mut request = Reader::new(Reader::new(request).expect(der::SEQUENCE)?);
        let mut info = Reader::new(request.expect(der::SEQUENCE)?);
        info.expect(der::INTEGER)?;
        let subject = info.expect(der::SEQUENCE)?;
        let public_key = der::element(der::SEQUENCE, info.expect(der::SEQUENCE)?);
        let mut wanted = Self {
            names: names(subject)?,
            public_key,
            dns_names: Vec::new(),
            addresses: Vec::new(),
        };
        while let Some((tag, attributes)) = info.next() {
            if tag == der::context(0) {
                wanted.read_attributes(attributes)?;
            }
        }
        // The algorithm and the signature, which trustd takes on trust.
        request.expect(der::SEQUENCE)?;
        request.expect(der::BIT_STRING)?;
        Some(wanted)
    }

    fn read_attributes(&mut self, attributes: &[u8]) -> Option<()> {
        let mut attributes = Reader::new(attributes);
        while let Some((_, attribute)) = attributes.next() {
            let mut attribute = Reader::new(attribute);
            if attribute.expect(der::OBJECT_ID)? != OID_EXTENSION_REQUEST {
                continue;
            }
            let mut values = Reader::new(attribute.expect(der::SET)?);
            let mut extensions = Reader::new(values.expect(der::SEQUENCE)?);
            while let Some((_, extension)) = extensions.next() {
                let mut extension = Reader::new(extension);
                let is_names = extension.expect(der::OBJECT_ID)? == OID_SUBJECT_ALT_NAME;
                let mut value = None;
                while let Some((tag, contents)) = extension.next() {
                    value = (tag == der::OCTET_STRING).then_some(contents).or(value);
                }
                if is_names {
                    self.read_names(value?)?;
                }
            }
        }
        Some(())
    }

    fn read_names(&mut self, names: &[u8]) -> Option<()> {
        let mut names = Reader::new(Reader::new(names).expect(der::SEQUENCE)?);
        while let Some((tag, value)) = names.next() {
            if tag == der::context_primitive(2) {
                self.dns_names.push(String::from_utf8(value.to_vec()).ok()?);
            } else if tag == der::context_primitive(7) {
                self.addresses.push(match value.len() {
                    4 => IpAddr::from(<[u8; 4]>::try_from(value).ok()?),
                    16 => IpAddr::from(<[u8; 16]>::try_from(value).ok()?),
                    _ => return None,
                });
            }
        }
        Some(())
    }
}

/// The relative names of a subject but for organizations.
fn names(subject: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut kept = Vec::new();
    let mut relative_names = Reader::new(subject);
    while let Some((tag, relative_name)) = relative_names.next() {
        let mut attributes = Reader::new(relative_name);
        let mut organization = false;
        while let Some((_, attribute)) = attributes.next() {
            organization |= Reader::new(attribute).expect(der::OBJECT_ID)? == OID_ORGANIZATION;
        }
        if !organization {
            kept.push(der::element(tag, relative_name));
        }
    }
    Some(kept)
}
