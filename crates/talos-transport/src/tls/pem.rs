//! PEM as Talos writes and reads it.
//!
//! Ready-made readers skip blocks whose label they do not know, and `ED25519 PRIVATE KEY`, the label of nearly every
//! key Talos makes, is one of those. So labels are only used to find a block; what is inside is told from the DER.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::TlsError;

const CERTIFICATE: &str = "CERTIFICATE";
const PRIVATE_KEY: &str = "PRIVATE KEY";
const ENCRYPTED_PRIVATE_KEY: &str = "ENCRYPTED PRIVATE KEY";

/// All `CERTIFICATE` blocks, in order; other blocks are skipped.
pub(crate) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found = Vec::new();
    for block in Blocks::new(pem) {
        let block = block?;
        if block.label == CERTIFICATE {
            found.push(CertificateDer::from(block.decode()?.to_vec()));
        }
    }
    Ok(found)
}

/// The first private key, whatever algorithm its label names.
pub(crate) fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    for block in Blocks::new(pem) {
        let block = block?;
        let is_key = block.label == PRIVATE_KEY
            || block
                .label
                .strip_suffix(PRIVATE_KEY)
                .is_some_and(|algorithm| algorithm.ends_with(' '));
        if !is_key {
            continue;
        }
        if block.label == ENCRYPTED_PRIVATE_KEY || block.encrypted {
            return Err(TlsError::EncryptedKey);
        }
        let der = block.decode()?;
        // PKCS#8, PKCS#1 and SEC1 differ in their first bytes. On failure the error holds no key material.
        return PrivateKeyDer::try_from(&der[..])
            .map(|key| key.clone_key())
            .map_err(|_| TlsError::InvalidKey);
    }
    Err(TlsError::NoPrivateKey)
}

/// One `BEGIN`/`END` block.
struct Block<'a> {
    label: &'a str,
    /// Whether a header line says that the body is encrypted.
    encrypted: bool,
    /// Everything between the two boundary lines, header lines excluded.
    body: &'a [u8],
}

impl Block<'_> {
    fn decode(&self) -> Result<Zeroizing<Vec<u8>>, TlsError> {
        let compact: Zeroizing<Vec<u8>> = Zeroizing::new(
            self.body
                .iter()
                .copied()
                .filter(|b| !b.is_ascii_whitespace())
                .collect(),
        );
        let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(compact.len())]);
        let length = STANDARD
            .decode_slice(&compact[..], &mut der)
            .map_err(|_| TlsError::MalformedPem {
                label: self.label.to_owned(),
            })?;
        der.truncate(length);
        Ok(der)
    }
}

/// Iterates over the blocks of a PEM text, skipping whatever stands between them.
struct Blocks<'a> {
    rest: &'a [u8],
}

impl<'a> Blocks<'a> {
    fn new(pem: &'a [u8]) -> Self {
        Self { rest: pem }
    }

    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self
            .rest
            .iter()
            .position(|b| *b == b'\n')
            .unwrap_or(self.rest.len());
        let line = &self.rest[..end];
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Some(line.trim_ascii())
    }
}

impl<'a> Iterator for Blocks<'a> {
    type Item = Result<Block<'a>, TlsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let label = loop {
            if let Some(label) = boundary(self.next_line()?, b"-----BEGIN ") {
                break label;
            }
        };
        let mut encrypted = false;
        let mut body = self.rest;
        loop {
            let before = self.rest.len();
            let Some(line) = self.next_line() else {
                return Some(Err(TlsError::MalformedPem {
                    label: label.to_owned(),
                }));
            };
            if let Some(end) = boundary(line, b"-----END ") {
                if end != label {
                    return Some(Err(TlsError::MalformedPem {
                        label: label.to_owned(),
                    }));
                }
                let length = body.len() - before;
                return Some(Ok(Block {
                    label,
                    encrypted,
                    body: &body[..length],
                }));
            }
            // Header lines (`Proc-Type: 4,ENCRYPTED`) come before the base64 text, which has no colon.
            if line.contains(&b':') {
                encrypted |= line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
                body = self.rest;
            }
        }
    }
}

/// The label of a boundary line, if the line is one.
fn boundary<'a>(line: &'a [u8], prefix: &[u8]) -> Option<&'a str> {
    let label = line.strip_prefix(prefix)?.strip_suffix(b"-----")?;
    std::str::from_utf8(label).ok()
}
