//! What a new cluster keeps secret: authorities, keys and tokens.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::{SecureRandom, SystemRandom};

use crate::pki::{CertificateAuthority, KeyAlgorithm, PkiError, PrivateKey};

/// The secrets bundle of a cluster.
pub(crate) struct Secrets {
    pub(crate) talos: Arc<CertificateAuthority>,
    pub(crate) etcd: CertificateAuthority,
    pub(crate) kubernetes: Arc<CertificateAuthority>,
    pub(crate) aggregator: CertificateAuthority,
    /// PEM of the key that signs service account tokens. Talos makes an RSA one and takes this as well.
    pub(crate) service_account: String,
    pub(crate) cluster_id: String,
    pub(crate) cluster_secret: String,
    pub(crate) secretbox: String,
    pub(crate) trustd_token: String,
    pub(crate) bootstrap_token: String,
}

impl Secrets {
    #[cfg(any(test, feature = "real"))]
    pub(crate) fn generate() -> Result<Self, PkiError> {
        Self::around(Arc::new(CertificateAuthority::new_talos()?))
    }

    /// New secrets beside the authority of the Talos API.
    pub(crate) fn around(talos: Arc<CertificateAuthority>) -> Result<Self, PkiError> {
        Ok(Self {
            talos,
            etcd: CertificateAuthority::self_signed(Some("etcd"), KeyAlgorithm::EcdsaP256)?,
            kubernetes: Arc::new(CertificateAuthority::new_kubernetes()?),
            aggregator: CertificateAuthority::self_signed(None, KeyAlgorithm::EcdsaP256)?,
            service_account: PrivateKey::generate(KeyAlgorithm::EcdsaP256)?.to_pem(),
            cluster_id: random_key()?,
            cluster_secret: random_key()?,
            secretbox: random_key()?,
            trustd_token: token()?,
            bootstrap_token: token()?,
        })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// 32 random bytes in base64.
fn random_key() -> Result<String, PkiError> {
    let mut bytes = [0; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| PkiError::Random)?;
    Ok(STANDARD.encode(bytes))
}

/// Six characters, a dot, sixteen characters.
fn token() -> Result<String, PkiError> {
    Ok(format!("{}.{}", characters(6)?, characters(16)?))
}

/// Lower-case letters and digits, each as likely as any other.
pub(crate) fn characters(count: usize) -> Result<String, PkiError> {
    const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let random = SystemRandom::new();
    let mut text = String::with_capacity(count);
    while text.len() < count {
        let mut byte = [0];
        random.fill(&mut byte).map_err(|_| PkiError::Random)?;
        // 252 is the largest multiple of 36 that a byte can hold.
        if byte[0] < 252 {
            text.push(char::from(ALPHABET[usize::from(byte[0] % 36)]));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_the_form_of_kubernetes() {
        let token = token().unwrap();
        let (id, secret) = token.split_once('.').unwrap();
        assert_eq!((id.len(), secret.len()), (6, 16));
        let fits = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_lowercase();
        assert!(id.bytes().chain(secret.bytes()).all(fits), "{token}");
    }

    #[test]
    fn keys_have_32_bytes() {
        assert_eq!(STANDARD.decode(random_key().unwrap()).unwrap().len(), 32);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secrets::generate().unwrap()), "Secrets { .. }");
    }
}
