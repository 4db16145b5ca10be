//! Fields that are not to be printed, and one that is not to be read.

use std::fmt;

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::SecretString;

/// Bytes that are wiped from memory when dropped and never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// Whether there are no bytes at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Bytes> for SecretBytes {
    fn from(bytes: Bytes) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateAndKey {
    /// The certificate, or several in a row.
    pub certificate: String,
    /// The private key; may be empty.
    pub key: SecretString,
}

/// An expression of the Common Expression Language that selects disks or volumes, parsed and checked by the
/// node.
///
/// The protobuf form of a spec has no text of it, only the tree: bytes of a
/// `google.api.expr.v1alpha1.CheckedExpr`. The YAML form has the text; see [`DynamicObject`](crate::resource::DynamicObject).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expression(Vec<u8>);

impl Expression {
    #[allow(dead_code, reason = "few specs have one")]
    pub(crate) const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The tree as protobuf.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_printed() {
        let pair = CertificateAndKey {
            certificate: "public".to_owned(),
            key: "hunter2".into(),
        };
        let bytes = SecretBytes::from(Bytes::from_static(b"hunter2"));
        let text = format!("{pair:?} {bytes:?} {pair:#?}");
        assert!(text.contains("public") && !text.contains("hunter2"), "{text}");
        assert_eq!(bytes.expose(), b"hunter2");
    }
}
