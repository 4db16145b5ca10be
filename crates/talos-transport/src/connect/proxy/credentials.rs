//! [`Credentials`]: what a proxy wants to know about us.

use zeroize::Zeroizing;

use super::{ProxyScheme, ProxyUrlError};

/// User and password, wiped from memory when dropped.
pub(super) struct Credentials {
    pub(super) user: Zeroizing<Vec<u8>>,
    pub(super) password: Zeroizing<Vec<u8>>,
}

impl Credentials {
    pub(super) fn new(user: &[u8], password: &[u8]) -> Self {
        Self {
            user: Zeroizing::new(user.to_vec()),
            password: Zeroizing::new(password.to_vec()),
        }
    }

    /// Reads the part of a URL in front of the `@`.
    pub(super) fn decode(user_info: &str) -> Result<Self, ProxyUrlError> {
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        Ok(Self {
            user: percent_decode(user)?,
            password: percent_decode(password)?,
        })
    }

    /// Whether the protocol can carry them.
    pub(super) fn check(&self, scheme: ProxyScheme) -> Result<(), ProxyUrlError> {
        match scheme {
            ProxyScheme::Http | ProxyScheme::Https if self.user.contains(&b':') => {
                Err(ProxyUrlError::ColonInUser)
            }
            ProxyScheme::Socks5
                if self.user.is_empty()
                    || self.user.len() > SOCKS_TEXT_LIMIT
                    || self.password.len() > SOCKS_TEXT_LIMIT =>
            {
                Err(ProxyUrlError::SocksCredentialsLength)
            }
            _ => Ok(()),
        }
    }
}

fn percent_decode(text: &str) -> Result<Zeroizing<Vec<u8>>, ProxyUrlError> {
    let digit = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
    // Never reallocated, so that no copy is left behind.
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let byte = if byte == b'%' {
            let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                return Err(ProxyUrlError::InvalidEscape);
            };
            (high << 4 | low) as u8
        } else {
            byte
        };
        decoded.push(byte);
    }
    Ok(decoded)
}

/// How long user and password may be, as SOCKS gives one byte to each length.
const SOCKS_TEXT_LIMIT: usize = 255;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::connect::proxy::Proxy;

    fn parse(text: &str) -> Result<Proxy, ProxyUrlError> {
        text.parse()
    }

    #[test]
    fn decodes_credentials() {
        for (text, user, password) in [
            ("http://user:secret@p", "user", "secret"),
            ("http://user@p", "user", ""),
            ("http://:secret@p", "", "secret"),
            ("http://a%40b:%2F%3f%23%25:%c3%a9@p", "a@b", "/?#%:\u{e9}"),
            ("socks5://u%3Aser:@p", "u:ser", ""),
        ] {
            let proxy = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let credentials = proxy.credentials().expect(text);
            assert_eq!(
                (credentials.user.as_slice(), credentials.password.as_slice()),
                (user.as_bytes(), password.as_bytes()),
                "{text}"
            );
        }
        assert!(!parse("http://@p").unwrap().has_credentials());
        let literal = parse("http://u:p@p")
            .unwrap()
            .with_credentials("a", "%41@/")
            .unwrap();
        assert_eq!(literal.credentials().unwrap().password.as_slice(), b"%41@/");
    }

    proptest! {
        #[test]
        fn every_password_survives_percent_encoding(password: Vec<u8>) {
            let encoded: String = password.iter().map(|b| format!("%{b:02x}")).collect();
            let proxy = parse(&format!("http://user:{encoded}@proxy")).unwrap();
            prop_assert_eq!(proxy.credentials().unwrap().password.as_slice(), password.as_slice());
        }
    }
}
