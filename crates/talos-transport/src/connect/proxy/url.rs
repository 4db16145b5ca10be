//! [`Proxy`]: where a proxy is and how it is spoken to, read from a URL.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use super::credentials::Credentials;
use crate::tls::ServerVerification;
use crate::{Endpoint, EndpointError};

/// One proxy: protocol, address, and what it wants to know about us.
///
/// Read from a URL such as `http://10.0.0.1:3128` or `socks5://user:password@proxy.example.org`. User and password are
/// percent-encoded in a URL, so that a password with `@`, `/` or `%` in it reads `%40`, `%2F` or `%25`; path, query and
/// fragment of the URL are dropped. [`with_credentials`](Self::with_credentials) takes them as they are.
///
/// [`Display`](fmt::Display) prints `scheme://host:port`; neither it nor `Debug` shows user or password.
#[derive(Clone)]
pub struct Proxy {
    scheme: ProxyScheme,
    address: Endpoint,
    credentials: Option<Arc<Credentials>>,
    verification: Option<ServerVerification>,
}

/// The protocol a proxy speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyScheme {
    /// HTTP/1.1 with the method `CONNECT`.
    Http,
    /// The same within TLS.
    Https,
    /// SOCKS version 5. `socks5h` is the same: host names are never resolved on this side.
    Socks5,
}

/// Why a text is not a [`Proxy`].
///
/// No message shows the text, since any part of it may turn out to be a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyUrlError {
    /// The text is empty.
    #[error("the proxy URL is empty")]
    Empty,
    /// There is no `scheme://` at the beginning.
    #[error("the proxy URL does not begin with http://, https:// or socks5://")]
    MissingScheme,
    /// The scheme is none of `http`, `https`, `socks5` and `socks5h`.
    #[error("the proxy scheme {scheme:?} is not supported; there are http, https and socks5")]
    UnsupportedScheme {
        /// The scheme.
        scheme: String,
    },
    /// There is no host.
    #[error("the proxy URL has no host")]
    MissingHost,
    /// The host has a character in it that no host has. User and password may have it, if it is percent-encoded.
    #[error("the host of the proxy URL has the illegal character {character:?}")]
    IllegalCharacter {
        /// The character.
        character: char,
    },
    /// The host is neither an IP address nor a DNS name; IPv6 addresses stand in brackets.
    #[error("the host of the proxy URL is neither a DNS name nor an IP address")]
    InvalidHost,
    /// The port is not a number from 1 to 65535.
    #[error("the port of the proxy URL is not a number from 1 to 65535")]
    InvalidPort,
    /// A `%` of user or password is not followed by two hexadecimal digits; a `%` itself is written `%25`.
    #[error("user or password of the proxy URL have a % that is not followed by two hexadecimal digits")]
    InvalidEscape,
    /// User or password have a `/`, `?` or `#` that is not percent-encoded, and so end too early.
    #[error("user or password of the proxy URL have a /, ? or # that is not percent-encoded")]
    UnescapedCredentials,
    /// The user has a colon in it, which HTTP's basic authorization cannot express.
    #[error("the user of an HTTP proxy cannot have a colon in it")]
    ColonInUser,
    /// SOCKS allows 1 to 255 bytes for the user and up to 255 for the password.
    #[error("the user of a SOCKS proxy needs 1 to 255 bytes, and its password at most 255")]
    SocksCredentialsLength,
}

impl Proxy {
    /// Shows this user and password to the proxy, instead of those of the URL. They are taken literally.
    ///
    /// # Errors
    ///
    /// [`ProxyUrlError::ColonInUser`] for HTTP, [`ProxyUrlError::SocksCredentialsLength`] for SOCKS.
    pub fn with_credentials(
        mut self,
        user: impl AsRef<[u8]>,
        password: impl AsRef<[u8]>,
    ) -> Result<Self, ProxyUrlError> {
        let credentials = Credentials::new(user.as_ref(), password.as_ref());
        credentials.check(self.scheme)?;
        self.credentials = Some(Arc::new(credentials));
        Ok(self)
    }

    /// Verifies an `https` proxy in this way; the other schemes have no use for it. Default: by the operating system's
    /// certificate store, which needs the feature `native-roots`.
    ///
    /// The name to verify is the host of the proxy.
    pub fn with_verification(mut self, verification: ServerVerification) -> Self {
        self.verification = Some(verification);
        self
    }

    /// The protocol.
    pub fn scheme(&self) -> ProxyScheme {
        self.scheme
    }

    /// Host and port; this is what is dialled.
    pub fn address(&self) -> &Endpoint {
        &self.address
    }

    /// Whether there are user and password to show.
    pub fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_deref()
    }

    pub(super) fn verification(&self) -> Option<&ServerVerification> {
        self.verification.as_ref()
    }
}

impl FromStr for Proxy {
    type Err = ProxyUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(ProxyUrlError::Empty);
        }
        let (scheme, rest) = text.split_once("://").ok_or(ProxyUrlError::MissingScheme)?;
        let scheme: ProxyScheme = scheme.parse()?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, dropped) = rest.split_at(end);
        if dropped.contains('@') {
            return Err(ProxyUrlError::UnescapedCredentials);
        }
        let (user_info, address) = match authority.rsplit_once('@') {
            Some((user_info, address)) => (Some(user_info), address),
            None => (None, authority),
        };
        let address = parse_address(address, scheme.default_port())?;
        let credentials = match user_info {
            None | Some("") => None,
            Some(user_info) => Some(Credentials::decode(user_info)?),
        };
        if let Some(credentials) = &credentials {
            credentials.check(scheme)?;
        }
        Ok(Self {
            scheme,
            address,
            credentials: credentials.map(Arc::new),
            verification: None,
        })
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.address)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let credentials = if self.has_credentials() {
            "<redacted>"
        } else {
            "<absent>"
        };
        f.debug_struct("Proxy")
            .field("url", &format_args!("{self}"))
            .field("credentials", &format_args!("{credentials}"))
            .field("verification", &self.verification)
            .finish()
    }
}

impl ProxyScheme {
    /// The scheme as in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Socks5 => "socks5",
        }
    }

    /// The port of a URL without one: 80, 443 or 1080.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Socks5 => 1080,
        }
    }
}

impl FromStr for ProxyScheme {
    type Err = ProxyUrlError;

    /// Reads `http`, `https`, `socks5` or `socks5h`, in any case.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut characters = text.bytes();
        let begins = characters.next().is_some_and(|b| b.is_ascii_alphabetic());
        if !begins || !characters.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')) {
            return Err(ProxyUrlError::MissingScheme);
        }
        match text.to_ascii_lowercase().as_str() {
            "http" => Ok(Self::Http),
            "https" => Ok(Self::Https),
            "socks5" | "socks5h" => Ok(Self::Socks5),
            other => Err(ProxyUrlError::UnsupportedScheme {
                scheme: other.chars().take(SCHEME_SHOWN).collect(),
            }),
        }
    }
}

impl fmt::Display for ProxyScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

fn parse_address(text: &str, default_port: u16) -> Result<Endpoint, ProxyUrlError> {
    let (host, port) = match text.rsplit_once(']') {
        // Only IPv6 addresses have brackets, and what follows them is nothing but a port.
        Some((_, "")) => (text, None),
        Some((before, rest)) => {
            let port = rest.strip_prefix(':').ok_or(ProxyUrlError::InvalidHost)?;
            (&text[..=before.len()], Some(port))
        }
        None => match text.split_once(':') {
            Some((_, rest)) if rest.contains(':') => return Err(ProxyUrlError::InvalidHost),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        },
    };
    let port = match port {
        None | Some("") => default_port,
        Some(digits) => Some(digits)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|digits| digits.parse().ok())
            .filter(|port| *port != 0)
            .ok_or(ProxyUrlError::InvalidPort)?,
    };
    // The percent sign in front of an IPv6 zone is itself percent-encoded in a URL.
    let host = host.replacen("%25", "%", 1);
    Endpoint::new(&host, port).map_err(|error| match error {
        EndpointError::Empty | EndpointError::MissingHost { .. } => ProxyUrlError::MissingHost,
        EndpointError::IllegalCharacter { character, .. } => ProxyUrlError::IllegalCharacter { character },
        _ => ProxyUrlError::InvalidHost,
    })
}

/// How much of an unknown scheme is shown.
const SCHEME_SHOWN: usize = 32;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Proxy, ProxyUrlError> {
        text.parse()
    }

    #[test]
    fn reads_scheme_address_and_default_port() {
        for (text, shown) in [
            ("http://10.0.0.1:3128", "http://10.0.0.1:3128"),
            ("HTTP://10.0.0.1", "http://10.0.0.1:80"),
            ("http://10.0.0.1:/", "http://10.0.0.1:80"),
            ("https://proxy.example.org", "https://proxy.example.org:443"),
            (
                "https://proxy.example.org:8443/path?query#fragment",
                "https://proxy.example.org:8443",
            ),
            ("socks5://proxy", "socks5://proxy:1080"),
            ("socks5h://proxy:9050", "socks5://proxy:9050"),
            ("http://[fd00::1]:3128", "http://[fd00::1]:3128"),
            ("http://[fd00::1]", "http://[fd00::1]:80"),
            ("http://[fe80::1%25eth0]:1", "http://[fe80::1%eth0]:1"),
            ("http://@proxy:1", "http://proxy:1"),
            ("http://user:secret@proxy:1", "http://proxy:1"),
            ("http://us@er:sec@ret@proxy:1", "http://proxy:1"),
        ] {
            let proxy = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(proxy.to_string(), shown, "{text}");
        }
    }

    #[test]
    fn says_what_is_wrong_and_never_shows_a_secret() {
        let unsupported = |scheme: &str| ProxyUrlError::UnsupportedScheme {
            scheme: scheme.to_owned(),
        };
        let illegal = |character| ProxyUrlError::IllegalCharacter { character };
        let long = "x".repeat(256);
        for (text, expected) in [
            ("", ProxyUrlError::Empty),
            ("direct", ProxyUrlError::MissingScheme),
            ("proxy:3128", ProxyUrlError::MissingScheme),
            ("user:SECRET@proxy:3128", ProxyUrlError::MissingScheme),
            ("user:SECRET://proxy", ProxyUrlError::MissingScheme),
            ("://SECRET@proxy", ProxyUrlError::MissingScheme),
            ("ftp://user:SECRET@proxy", unsupported("ftp")),
            ("socks4://user:SECRET@proxy", unsupported("socks4")),
            ("http://", ProxyUrlError::MissingHost),
            ("http://:3128", ProxyUrlError::MissingHost),
            ("http://user:SECRET@:3128", ProxyUrlError::MissingHost),
            ("http://user:SECRET@[]:1", ProxyUrlError::MissingHost),
            ("http://user:SECRET@pro xy", illegal(' ')),
            ("http://user:SECRET@pr\u{f6}xy", illegal('\u{f6}')),
            ("http://user:SECRET@10.0.0.256", ProxyUrlError::InvalidHost),
            ("http://user:SECRET@-proxy-", ProxyUrlError::InvalidHost),
            ("http://user:SECRET@[fd00::1", ProxyUrlError::InvalidHost),
            ("http://user:SECRET@[fd00::1]3128", ProxyUrlError::InvalidHost),
            ("http://[proxy]:1", ProxyUrlError::InvalidHost),
            ("http://fd00::1", ProxyUrlError::InvalidHost),
            ("http://user:SECRET", ProxyUrlError::InvalidPort),
            ("http://user:SECRET@proxy:0", ProxyUrlError::InvalidPort),
            ("http://user:SECRET@proxy:65536", ProxyUrlError::InvalidPort),
            ("http://user:SECRET@proxy:+1", ProxyUrlError::InvalidPort),
            ("http://user:SEC/RET@proxy:1", ProxyUrlError::UnescapedCredentials),
            ("http://user:SEC#RET@proxy:1", ProxyUrlError::UnescapedCredentials),
            ("http://user:%SECRET@proxy", ProxyUrlError::InvalidEscape),
            ("http://user:SECRET%4@proxy", ProxyUrlError::InvalidEscape),
            ("http://user:SECRET%@proxy", ProxyUrlError::InvalidEscape),
            ("http://us%3Aer:SECRET@proxy", ProxyUrlError::ColonInUser),
            ("socks5://:SECRET@proxy", ProxyUrlError::SocksCredentialsLength),
            (
                &format!("socks5://user:{long}@proxy"),
                ProxyUrlError::SocksCredentialsLength,
            ),
            (
                &format!("socks5://{long}:SECRET@proxy"),
                ProxyUrlError::SocksCredentialsLength,
            ),
        ] {
            let error = parse(text).expect_err(text);
            assert_eq!(error, expected, "{text}");
            assert!(!format!("{error} {error:?}").contains("SEC"), "{text}: {error}");
        }
    }

    #[test]
    fn printing_shows_no_credentials() {
        let proxy = parse("http://SECRET-user:SECRET@proxy:1").unwrap();
        let shown = format!("{proxy} {proxy:?} {proxy:#?}");
        assert!(
            !shown.contains("SECRET") && shown.contains("http://proxy:1"),
            "{shown}"
        );
        assert!(shown.contains("<redacted>"), "{shown}");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_showing_user_info(
            scheme in "(http|https|socks5|socks5h|ftp|)(://)?",
            user_info in "[a-z:@%/ ]{0,8}",
            host in r"[a-z0-9\.\[\]:\-%]{0,12}",
        ) {
            let text = format!("{scheme}{user_info}SECRET@{host}");
            let shown = match parse(&text) {
                Ok(proxy) => format!("{proxy} {proxy:?}"),
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!shown.contains("SECRET"), "{}: {}", text, shown);
        }
    }
}
