//! X.509 version 3 certificates, laid out as Go's `x509.CreateCertificate` lays them out.

use std::net::IpAddr;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

use super::key::PrivateKey;
use super::spec::ExtendedKeyUsage;
use super::{PkiError, der};
use crate::clock::Moment;

pub(super) const OID_COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
pub(crate) const OID_ORGANIZATION: &[u8] = &[0x55, 0x04, 0x0a];
pub(super) const OID_SUBJECT_KEY_ID: &[u8] = &[0x55, 0x1d, 0x0e];
const OID_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x0f];
pub(crate) const OID_SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 0x11];
const OID_BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 0x13];
const OID_AUTHORITY_KEY_ID: &[u8] = &[0x55, 0x1d, 0x23];
pub(crate) const OID_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 0x25];

const DER_TRUE: &[u8] = &[0x01, 0x01, 0xff];

pub(crate) const DIGITAL_SIGNATURE: u8 = 0b1000_0000;
pub(crate) const KEY_ENCIPHERMENT: u8 = 0b0010_0000;
pub(crate) const CERT_SIGN: u8 = 0b0000_0100;

/// When a certificate is valid.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    pub(crate) not_before: Moment,
    pub(crate) not_after: Moment,
}

impl Validity {
    /// From now on, for `duration`.
    pub(crate) fn starting_now(duration: Duration) -> Self {
        let not_before = Moment::now();
        Self {
            not_before,
            not_after: not_before.shifted(duration, false),
        }
    }
}

/// What a certificate says, apart from key and issuer.
#[derive(Debug, Clone)]
pub(crate) struct Template {
    pub(crate) organizations: Vec<String>,
    pub(crate) common_name: Option<String>,
    /// Further parts of the subject, in DER.
    pub(crate) other_names: Vec<Vec<u8>>,
    pub(crate) validity: Validity,
    pub(crate) key_usage: u8,
    pub(crate) extended_key_usage: Vec<ExtendedKeyUsage>,
    pub(crate) dns_names: Vec<String>,
    pub(crate) addresses: Vec<IpAddr>,
    /// A certificate authority carries basic constraints and this subject key identifier.
    pub(crate) authority_key_id: Option<[u8; 20]>,
}

/// Who signs: subject in DER, key identifier and key.
pub(crate) struct Signer<'a> {
    pub(crate) subject: &'a [u8],
    pub(crate) key_id: [u8; 20],
    pub(crate) key: &'a PrivateKey,
}

impl Template {
    pub(crate) fn subject(&self) -> Vec<u8> {
        let attribute = |oid: &[u8], value: &str| der::sequence(&[der::oid(oid), der::text(value)]);
        let mut relative_names = Vec::new();
        if !self.organizations.is_empty() {
            let values = self
                .organizations
                .iter()
                .map(|value| attribute(OID_ORGANIZATION, value))
                .collect();
            relative_names.push(der::set_of(values));
        }
        if let Some(name) = &self.common_name {
            relative_names.push(der::set_of(vec![attribute(OID_COMMON_NAME, name)]));
        }
        relative_names.extend(self.other_names.iter().cloned());
        der::sequence(&relative_names)
    }

    /// DER of the certificate over `public_key` (a `SubjectPublicKeyInfo`), signed by `signer`.
    pub(crate) fn sign(&self, public_key: &[u8], signer: &Signer<'_>) -> Result<Vec<u8>, PkiError> {
        let mut serial = [0; 16];
        SystemRandom::new()
            .fill(&mut serial)
            .map_err(|_| PkiError::Random)?;
        let to_be_signed = der::sequence(&[
            der::element(der::context(0), der::unsigned(&[2])),
            der::unsigned(&serial),
            signer.key.signature_algorithm(),
            signer.subject.to_vec(),
            der::sequence(&[time(self.validity.not_before), time(self.validity.not_after)]),
            self.subject(),
            public_key.to_vec(),
            der::element(der::context(3), der::sequence(&self.extensions(signer))),
        ]);
        let signature = signer.key.sign(&to_be_signed)?;
        Ok(der::sequence(&[
            to_be_signed,
            signer.key.signature_algorithm(),
            der::bits(&signature),
        ]))
    }

    fn extensions(&self, signer: &Signer<'_>) -> Vec<Vec<u8>> {
        let mut extensions = vec![extension(OID_KEY_USAGE, true, der::flags(self.key_usage))];
        if !self.extended_key_usage.is_empty() {
            let purposes: Vec<_> = self
                .extended_key_usage
                .iter()
                .map(|purpose| der::oid(purpose.encoded()))
                .collect();
            extensions.push(extension(OID_EXTENDED_KEY_USAGE, false, der::sequence(&purposes)));
        }
        if let Some(key_id) = self.authority_key_id {
            let constraints = der::sequence(&[DER_TRUE.to_vec()]);
            extensions.push(extension(OID_BASIC_CONSTRAINTS, true, constraints));
            let key_id = der::element(der::OCTET_STRING, key_id);
            extensions.push(extension(OID_SUBJECT_KEY_ID, false, key_id));
        } else {
            let key_id = der::sequence(&[der::element(der::context_primitive(0), signer.key_id)]);
            extensions.push(extension(OID_AUTHORITY_KEY_ID, false, key_id));
        }
        if !self.dns_names.is_empty() || !self.addresses.is_empty() {
            let dns = self
                .dns_names
                .iter()
                .map(|name| der::element(der::context_primitive(2), name));
            let addresses = self.addresses.iter().map(|address| match address {
                IpAddr::V4(v4) => der::element(der::context_primitive(7), v4.octets()),
                IpAddr::V6(v6) => der::element(der::context_primitive(7), v6.octets()),
            });
            let names: Vec<_> = dns.chain(addresses).collect();
            extensions.push(extension(OID_SUBJECT_ALT_NAME, false, der::sequence(&names)));
        }
        extensions
    }
}

fn extension(oid: &[u8], critical: bool, value: Vec<u8>) -> Vec<u8> {
    let mut parts = vec![der::oid(oid)];
    if critical {
        parts.push(DER_TRUE.to_vec());
    }
    parts.push(der::element(der::OCTET_STRING, value));
    der::sequence(&parts)
}

fn time(moment: Moment) -> Vec<u8> {
    let (short, text) = moment.asn1();
    der::element(
        if short {
            der::UTC_TIME
        } else {
            der::GENERALIZED_TIME
        },
        text,
    )
}
