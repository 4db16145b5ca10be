//! Private keys: Ed25519 for everything of Talos, ECDSA P-256 for Kubernetes and for odd tests.

use std::fmt;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

use super::{PkiError, der, pem};

const OID_ED25519: &[u8] = &[0x2b, 0x65, 0x70];
const OID_EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
const OID_PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
const OID_ECDSA_WITH_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

/// Kind of a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum KeyAlgorithm {
    /// Ed25519, what Talos generates.
    #[default]
    Ed25519,
    /// ECDSA over P-256 with SHA-256, found in clusters whose certificate authority was brought along.
    EcdsaP256,
}

/// A private key that can sign.
pub(crate) enum PrivateKey {
    Ed25519 {
        pair: Ed25519KeyPair,
        seed: [u8; 32],
    },
    EcdsaP256 {
        pair: EcdsaKeyPair,
        pkcs8: Vec<u8>,
        sec1: Vec<u8>,
    },
}

impl PrivateKey {
    pub(crate) fn generate(algorithm: KeyAlgorithm) -> Result<Self, PkiError> {
        let random = SystemRandom::new();
        match algorithm {
            KeyAlgorithm::Ed25519 => {
                let mut seed = [0; 32];
                random.fill(&mut seed).map_err(|_| PkiError::Random)?;
                Self::from_seed(seed)
            }
            KeyAlgorithm::EcdsaP256 => {
                let signing = &ECDSA_P256_SHA256_ASN1_SIGNING;
                let document =
                    EcdsaKeyPair::generate_pkcs8(signing, &random).map_err(|_| PkiError::Random)?;
                let pkcs8 = document.as_ref().to_vec();
                let pair = EcdsaKeyPair::from_pkcs8(signing, &pkcs8, &random).map_err(|_| PkiError::Key)?;
                let sec1 = der::sequence(&[
                    der::unsigned(&[1]),
                    der::element(der::OCTET_STRING, secret_scalar(&pkcs8).ok_or(PkiError::Key)?),
                    der::element(der::context(0), der::oid(OID_PRIME256V1)),
                    der::element(der::context(1), der::bits(pair.public_key().as_ref())),
                ]);
                Ok(Self::EcdsaP256 { pair, pkcs8, sec1 })
            }
        }
    }

    /// The Ed25519 key with the seed.
    pub(crate) fn from_seed(seed: [u8; 32]) -> Result<Self, PkiError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| PkiError::Key)?;
        Ok(Self::Ed25519 { pair, seed })
    }

    /// DER of the `SubjectPublicKeyInfo`.
    pub(crate) fn public_key_info(&self) -> Vec<u8> {
        match self {
            Self::Ed25519 { pair, .. } => der::sequence(&[
                der::sequence(&[der::oid(OID_ED25519)]),
                der::bits(pair.public_key().as_ref()),
            ]),
            Self::EcdsaP256 { pair, .. } => der::sequence(&[
                der::sequence(&[der::oid(OID_EC_PUBLIC_KEY), der::oid(OID_PRIME256V1)]),
                der::bits(pair.public_key().as_ref()),
            ]),
        }
    }

    /// DER of the `AlgorithmIdentifier` of this key's signatures.
    pub(crate) fn signature_algorithm(&self) -> Vec<u8> {
        der::sequence(&[der::oid(match self {
            Self::Ed25519 { .. } => OID_ED25519,
            Self::EcdsaP256 { .. } => OID_ECDSA_WITH_SHA256,
        })])
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, PkiError> {
        match self {
            Self::Ed25519 { pair, .. } => Ok(pair.sign(message).as_ref().to_vec()),
            Self::EcdsaP256 { pair, .. } => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| PkiError::Random),
        }
    }

    /// PKCS#8; version 1 without the public key for Ed25519, as Go writes it.
    pub(crate) fn pkcs8_der(&self) -> Vec<u8> {
        match self {
            Self::Ed25519 { seed, .. } => der::sequence(&[
                der::unsigned(&[0]),
                der::sequence(&[der::oid(OID_ED25519)]),
                der::element(der::OCTET_STRING, der::element(der::OCTET_STRING, seed)),
            ]),
            Self::EcdsaP256 { pkcs8, .. } => pkcs8.clone(),
        }
    }

    /// The key under the label, and in the format, that Talos writes.
    pub(crate) fn to_pem(&self) -> String {
        match self {
            Self::Ed25519 { .. } => pem::encode(pem::ED25519_PRIVATE_KEY, &self.pkcs8_der()),
            Self::EcdsaP256 { sec1, .. } => pem::encode(pem::EC_PRIVATE_KEY, sec1),
        }
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ed25519 { .. } => "PrivateKey(Ed25519)",
            Self::EcdsaP256 { .. } => "PrivateKey(EcdsaP256)",
        })
    }
}

/// The secret scalar inside a PKCS#8 document with an elliptic curve key.
fn secret_scalar(pkcs8: &[u8]) -> Option<&[u8]> {
    let mut info = der::Reader::new(der::Reader::new(pkcs8).expect(der::SEQUENCE)?);
    info.expect(der::INTEGER)?;
    info.expect(der::SEQUENCE)?;
    let mut key = der::Reader::new(der::Reader::new(info.expect(der::OCTET_STRING)?).expect(der::SEQUENCE)?);
    key.expect(der::INTEGER)?;
    key.expect(der::OCTET_STRING)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ed25519_keys_are_pkcs8_version_one_under_talos_label() {
        let key = PrivateKey::generate(KeyAlgorithm::Ed25519).unwrap();
        let der = key.pkcs8_der();
        assert_eq!(der.len(), 48);
        assert_eq!(
            der[..16],
            [
                0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20
            ]
        );
        assert!(key.to_pem().starts_with("-----BEGIN ED25519 PRIVATE KEY-----\n"));
    }

    #[test]
    fn debug_shows_no_key_material() {
        let key = PrivateKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        assert_eq!(format!("{key:?}"), "PrivateKey(EcdsaP256)");
        assert!(key.to_pem().starts_with("-----BEGIN EC PRIVATE KEY-----\n"));
    }
}
