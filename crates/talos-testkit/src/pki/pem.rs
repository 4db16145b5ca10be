//! PEM blocks with the labels that Talos writes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub(crate) const CERTIFICATE: &str = "CERTIFICATE";
/// Not a label of any RFC, but the one Talos uses; the contents are plain PKCS#8.
pub(crate) const ED25519_PRIVATE_KEY: &str = "ED25519 PRIVATE KEY";
pub(crate) const EC_PRIVATE_KEY: &str = "EC PRIVATE KEY";

/// One PEM block with 64-character lines, ending in a newline.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
