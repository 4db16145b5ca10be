//! [`Sha256`]: a hash of data as it comes.

use std::fmt;

use rustls::crypto::hash::Context;

use super::{TlsError, provider};

/// SHA-256 by the cryptography that TLS uses, for data that comes in pieces.
///
/// For programs that check what they received, such as an etcd snapshot, and want no second implementation of a hash.
///
/// ```
/// # #[cfg(feature = "ring")]
/// # fn main() -> Result<(), talos_transport::tls::TlsError> {
/// use talos_transport::tls::Sha256;
///
/// let mut hash = Sha256::new()?;
/// hash.update(b"a");
/// hash.update(b"bc");
/// assert_eq!(hash.finish()[..4], [0xba, 0x78, 0x16, 0xbf]);
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "ring"))]
/// # fn main() {}
/// ```
pub struct Sha256(Box<dyn Context>);

impl Sha256 {
    /// Begins with nothing, by the process default provider or the one compiled in.
    ///
    /// # Errors
    ///
    /// [`TlsError::NoCryptoProvider`] and [`TlsError::NoSha256`] if nothing can compute it.
    pub fn new() -> Result<Self, TlsError> {
        let provider = provider::resolve(None)?;
        let hash = provider::sha256_of(&provider).ok_or(TlsError::NoSha256)?;
        Ok(Self(hash.start()))
    }

    /// Adds a piece.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The hash of all pieces.
    pub fn finish(self) -> [u8; 32] {
        let output = self.0.finish();
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(output.as_ref()) {
            *to = *from;
        }
        hash
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sha256").finish_non_exhaustive()
    }
}

#[cfg(all(test, any(feature = "ring", feature = "aws-lc-rs")))]
mod tests {
    use super::*;

    #[test]
    fn pieces_do_not_matter() {
        let data: Vec<u8> = (0..10_000_u32).map(|byte| byte as u8).collect();
        let whole = provider::sha256(&provider::resolve(None).unwrap(), &data).unwrap();
        for size in [1, 63, 64, 1024, 10_000] {
            let mut hash = Sha256::new().unwrap();
            for piece in data.chunks(size) {
                hash.update(piece);
            }
            assert_eq!(hash.finish(), whole, "pieces of {size}");
        }
    }
}
