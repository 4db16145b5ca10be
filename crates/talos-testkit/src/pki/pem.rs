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

/// All blocks of a text, labels and contents; `None` when one is broken.
pub(crate) fn decode(text: &str) -> Option<Vec<(String, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut lines = text.lines().map(str::trim);
    while let Some(line) = lines.next() {
        let Some(label) = line
            .strip_prefix("-----BEGIN ")
            .and_then(|rest| rest.strip_suffix("-----"))
        else {
            continue;
        };
        let end = format!("-----END {label}-----");
        let mut body = String::new();
        loop {
            match lines.next()? {
                line if line == end => break,
                line => body.push_str(line),
            }
        }
        found.push((label.to_owned(), STANDARD.decode(body).ok()?));
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let text = format!(
            "note\n{}{}",
            encode(CERTIFICATE, &[7; 100]),
            encode(EC_PRIVATE_KEY, b"")
        );
        let blocks = decode(&text).unwrap();
        assert_eq!(blocks[0], (CERTIFICATE.to_owned(), vec![7; 100]));
        assert_eq!(blocks[1], (EC_PRIVATE_KEY.to_owned(), Vec::new()));
    }

    #[test]
    fn a_block_without_an_end_is_broken() {
        let text = encode(CERTIFICATE, b"abc");
        assert_eq!(decode(text.trim_end().trim_end_matches('-')), None);
        assert_eq!(
            decode("-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n"),
            None
        );
        assert_eq!(decode("nothing"), Some(Vec::new()));
    }
}
