//! Certificates as Talos makes them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Algorithm {
    Ed25519,
    Ecdsa,
    Rsa,
}

/// A certificate and its key in the PEM forms Talos uses.
#[derive(Clone)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// PKCS#8, whatever `key` is.
    pub(crate) key_der: Vec<u8>,
}

pub(crate) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Validity {
    Now,
    Expired,
    Future,
}

impl Ca {
    /// An Ed25519 CA with the subject `O=talos`, which all Talos CAs have in common.
    pub(crate) fn new() -> Self {
        Self::with(Algorithm::Ed25519)
    }

    pub(crate) fn with(algorithm: Algorithm) -> Self {
        let key = key(algorithm);
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&["talos"]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub(crate) fn server(&self, names: &[&str]) -> Pair {
        self.server_valid(names, Validity::Now)
    }

    pub(crate) fn server_valid(&self, names: &[&str], validity: Validity) -> Pair {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "node");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, validity, Algorithm::Ed25519)
    }

    /// A client certificate with the role `os:admin`.
    pub(crate) fn client(&self) -> Pair {
        self.client_with(Algorithm::Ed25519, Validity::Now)
    }

    pub(crate) fn client_with(&self, algorithm: Algorithm, validity: Validity) -> Pair {
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&["os:admin", "os:etcd:backup"]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, validity, algorithm)
    }

    fn issue(&self, mut params: CertificateParams, validity: Validity, algorithm: Algorithm) -> Pair {
        (params.not_before, params.not_after) = match validity {
            Validity::Now => (date_time_ymd(2024, 2, 29), date_time_ymd(2124, 2, 29)),
            Validity::Expired => (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1)),
            Validity::Future => (date_time_ymd(2090, 1, 1), date_time_ymd(2091, 1, 1)),
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = key(algorithm);
        let certificate = params.signed_by(&key, &self.issuer).unwrap().pem();
        Pair {
            certificate,
            key: talos_key_pem(&key, algorithm),
            key_der: key.serialize_der(),
        }
    }
}

/// A PEM block.
pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

/// The base64 text of a PEM block, in one line.
pub(crate) fn base64_of(pem: &str) -> String {
    pem.lines().filter(|line| !line.starts_with("-----")).collect()
}

fn subject(organizations: &[&str]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for organization in organizations {
        // rcgen keeps one value per type, so further ones go under the same OID spelled out.
        if name.get(&DnType::OrganizationName).is_none() {
            name.push(DnType::OrganizationName, *organization);
        } else {
            name.push(DnType::CustomDnType(vec![2, 5, 4, 10]), *organization);
        }
    }
    name
}

fn key(algorithm: Algorithm) -> KeyPair {
    match algorithm {
        Algorithm::Ed25519 => KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(),
        Algorithm::Ecdsa => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap(),
        Algorithm::Rsa => KeyPair::from_pem_and_sign_algo(
            include_str!("../data/rsa-2048-for-tests-only.pem"),
            &rcgen::PKCS_RSA_SHA256,
        )
        .unwrap(),
    }
}

/// The key under the label and in the structure Talos uses for its algorithm.
fn talos_key_pem(key: &KeyPair, algorithm: Algorithm) -> String {
    let pkcs8 = key.serialize_der();
    match algorithm {
        Algorithm::Ed25519 => {
            // Talos writes PKCS#8 version 1, without the public key that the test library appends.
            let mut v1 = vec![0x30, 0x2e, 0x02, 0x01, 0x00];
            v1.extend_from_slice(&pkcs8[pkcs8.len() - 83 + 5..][..43]);
            assert_eq!(
                v1[..16],
                [
                    0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20
                ]
            );
            pem("ED25519 PRIVATE KEY", &v1)
        }
        Algorithm::Ecdsa => pem("EC PRIVATE KEY", inner_key(&pkcs8)),
        Algorithm::Rsa => pem("RSA PRIVATE KEY", inner_key(&pkcs8)),
    }
}

/// What PKCS#8 wraps: SEC1 or PKCS#1. Version and algorithm come first, then an octet string with the key.
fn inner_key(pkcs8: &[u8]) -> &[u8] {
    let (_, outer) = element(pkcs8);
    let (rest, _version) = element(outer);
    let (rest, _algorithm) = element(rest);
    element(rest).1
}

/// Splits a DER element off: what follows it, and its contents.
fn element(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, header) = match der[1] {
        short if short < 0x80 => (usize::from(short), 2),
        long => {
            let digits = &der[2..2 + usize::from(long & 0x7f)];
            (
                digits.iter().fold(0, |sum, digit| sum << 8 | usize::from(*digit)),
                2 + digits.len(),
            )
        }
    };
    (&der[header + length..], &der[header..header + length])
}
