//! Addresses to dial: [`Endpoint`].

mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

pub(crate) use self::parse::shown;
use crate::host::{Host, HostError};

/// An address we dial: `host:port` of an apid, or the path of a unix socket.
///
/// An endpoint is only the way in. Which machine answers a call is decided by the [`Node`](crate::Node)
/// the call names; without one, the machine behind the endpoint answers.
///
/// # Text forms
///
/// | Text | Dials |
/// |---|---|
/// | `10.5.0.2`, `cp.example.org` | port [`50000`](Endpoint::DEFAULT_PORT) |
/// | `cp.example.org:6443` | as given |
/// | `2001:db8::1`, `[2001:db8::1]` | `[2001:db8::1]:50000` |
/// | `[2001:db8::1]:8080` | as given |
/// | `https://cp.example.org` | port 443 |
/// | `https://cp.example.org:444` | port 444 |
/// | `grpc://cp.example.org`, any other scheme | port 50000 |
/// | `fe80::1%eth0`, `[fe80::1%eth0]:50000`, `grpc://[fe80::1%25eth0]` | the address in that zone |
/// | `unix:///run/machine.sock` | the socket, without TLS |
///
/// A URL is reduced to its host and port: user information, path, query and fragment are dropped, and
/// **no scheme ever turns TLS off**. A text with several colons and no brackets is an IPv6 address, so
/// `fd00::1:5000` has no port. A zone is used for dialling only; neither the certificate check nor the
/// `:authority` of a request contains it. IPv6 and IPv4 addresses are kept in canonical form, names as given.
///
/// [`Display`](fmt::Display) prints `host:port`, `[v6]:port` or `unix:///path`, which parses to an equal endpoint.
///
/// ```
/// use talos_transport::Endpoint;
///
/// let endpoint: Endpoint = "https://[fd00::1]:444/ignored".parse()?;
/// assert_eq!(endpoint.host(), Some("fd00::1"));
/// assert_eq!(endpoint.to_string(), "[fd00::1]:444");
/// # Ok::<(), talos_transport::EndpointError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Endpoint(Repr);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Repr {
    Tcp { host: Host, port: u16 },
    Unix { path: Arc<str> },
}

/// Why a text is not an [`Endpoint`].
///
/// Every message quotes the text, shortened and without the user information of a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The text is empty.
    #[error("endpoint is empty")]
    Empty,
    /// There is a port or a scheme, but no host.
    #[error("endpoint {input:?} has no host")]
    MissingHost {
        /// The rejected text.
        input: String,
    },
    /// The part after the colon is not a number from 1 to 65535.
    #[error("endpoint {input:?} has an invalid port {port:?}; ports are numbers from 1 to 65535")]
    InvalidPort {
        /// The rejected text.
        input: String,
        /// The part taken for the port.
        port: String,
    },
    /// The text contains white space, a control character, a character outside ASCII or one that has no place in
    /// a host.
    #[error("endpoint {input:?} contains the illegal character {character:?}")]
    IllegalCharacter {
        /// The rejected text.
        input: String,
        /// The first illegal character.
        character: char,
    },
    /// An opening bracket is not closed, or something other than `:port` follows the closing one.
    #[error("endpoint {input:?} has unbalanced brackets; write [address]:port")]
    Brackets {
        /// The rejected text.
        input: String,
    },
    /// Several colons or brackets promise an IPv6 address, but it is none.
    #[error("endpoint {input:?} is neither host:port nor an IPv6 address")]
    InvalidIpv6 {
        /// The rejected text.
        input: String,
    },
    /// Digits and dots promise an IPv4 address, but it is none.
    #[error("endpoint {input:?} is not a valid IPv4 address")]
    InvalidIpv4 {
        /// The rejected text.
        input: String,
    },
    /// The zone of a scoped IPv6 address is empty or contains characters other than letters, digits, `.`, `_`,
    /// `-` and `~`.
    #[error("endpoint {input:?} has an invalid IPv6 zone")]
    InvalidZone {
        /// The rejected text.
        input: String,
    },
    /// The host breaks the rules of DNS names: labels of 1 to 63 characters that do not start or end with a
    /// hyphen, at most 253 characters together.
    #[error("endpoint {input:?} is not a valid DNS name")]
    InvalidName {
        /// The rejected text.
        input: String,
    },
    /// A unix socket needs an absolute path in UTF-8, written `unix:///path`.
    #[error("endpoint {input:?} is not an absolute socket path; write unix:///path")]
    InvalidSocketPath {
        /// The rejected text.
        input: String,
    },
}

impl Endpoint {
    /// Port of apid, used where a text names none: 50000.
    pub const DEFAULT_PORT: u16 = 50000;

    /// An endpoint from its two parts; `host` is a name or an address, IPv6 with or without brackets.
    ///
    /// # Errors
    ///
    /// The same as for parsing a text; port 0 is [`EndpointError::InvalidPort`].
    pub fn new(host: &str, port: u16) -> Result<Self, EndpointError> {
        let host = Host::parse(host).map_err(|error| EndpointError::from_host(error, host))?;
        if port == 0 {
            return Err(EndpointError::InvalidPort {
                input: host.as_str().to_owned(),
                port: "0".to_owned(),
            });
        }
        Ok(Self(Repr::Tcp { host, port }))
    }

    /// An endpoint that is a unix socket. The connection is HTTP/2 without TLS.
    ///
    /// # Errors
    ///
    /// [`EndpointError::InvalidSocketPath`] unless the path is absolute and UTF-8.
    pub fn unix(path: impl AsRef<Path>) -> Result<Self, EndpointError> {
        let path = path.as_ref();
        let invalid = || EndpointError::InvalidSocketPath {
            input: shown(&path.to_string_lossy()),
        };
        let text = path.to_str().ok_or_else(invalid)?;
        if !text.starts_with('/') || text.contains('\0') {
            return Err(invalid());
        }
        // `unix:////path`, as some Talos tools write it, is the same socket as `unix:///path`.
        let text = text.trim_start_matches('/');
        if text.is_empty() {
            return Err(invalid());
        }
        Ok(Self(Repr::Unix {
            path: format!("/{text}").into(),
        }))
    }

    /// The host without brackets, with the zone of a scoped address; `None` for a unix socket.
    pub fn host(&self) -> Option<&str> {
        self.tcp().map(|(host, _)| host.as_str())
    }

    /// The port; `None` for a unix socket.
    pub fn port(&self) -> Option<u16> {
        self.tcp().map(|(_, port)| port)
    }

    /// The host as an address, if it is one. The zone of a scoped address is not part of it.
    pub fn ip(&self) -> Option<IpAddr> {
        self.tcp().and_then(|(host, _)| host.ip())
    }

    /// The path of a unix socket; `None` for a network endpoint.
    pub fn socket_path(&self) -> Option<&Path> {
        match &self.0 {
            Repr::Tcp { .. } => None,
            Repr::Unix { path } => Some(Path::new(&**path)),
        }
    }

    /// Whether this is a unix socket, and so a connection without TLS.
    pub fn is_unix(&self) -> bool {
        matches!(self.0, Repr::Unix { .. })
    }

    /// The name or address the server's certificate must be valid for: the host without zone and without the dot
    /// that may end a DNS name. `None` for a unix socket.
    pub fn server_name(&self) -> Option<&str> {
        let host = self.tcp()?.0.without_zone();
        Some(host.strip_suffix('.').unwrap_or(host))
    }

    /// `host:port` as it stands in the `:authority` of a request: IPv6 in brackets and without zone.
    /// `localhost` for a unix socket.
    pub fn authority(&self) -> String {
        match &self.0 {
            Repr::Tcp { port, .. } => format!("{}:{port}", self.authority_host()),
            Repr::Unix { .. } => self.authority_host(),
        }
    }

    /// The authority without the port, which is what Talos's own client sends when it has several endpoints.
    pub(crate) fn authority_host(&self) -> String {
        match self.tcp() {
            Some((host, _)) if host.is_v6() => format!("[{}]", host.without_zone()),
            Some((host, _)) => host.as_str().to_owned(),
            None => "localhost".to_owned(),
        }
    }

    fn tcp(&self) -> Option<(&Host, u16)> {
        match &self.0 {
            Repr::Tcp { host, port } => Some((host, *port)),
            Repr::Unix { .. } => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Tcp { host, port } if host.is_v6() => write!(f, "[{}]:{port}", host.as_str()),
            Repr::Tcp { host, port } => write!(f, "{}:{port}", host.as_str()),
            Repr::Unix { path } => write!(f, "unix://{path}"),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl TryFrom<SocketAddr> for Endpoint {
    type Error = EndpointError;

    /// Fails for port 0 only.
    fn try_from(address: SocketAddr) -> Result<Self, Self::Error> {
        match address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => {
                Self::new(&format!("{}%{}", v6.ip(), v6.scope_id()), v6.port())
            }
            _ => Self::new(&address.ip().to_string(), address.port()),
        }
    }
}

impl EndpointError {
    fn from_host(error: HostError, input: &str) -> Self {
        let input = shown(input);
        match error {
            HostError::Empty => Self::MissingHost { input },
            HostError::IllegalCharacter(character) => Self::IllegalCharacter { input, character },
            HostError::Ipv4 => Self::InvalidIpv4 { input },
            HostError::Ipv6 => Self::InvalidIpv6 { input },
            HostError::Zone => Self::InvalidZone { input },
            HostError::Name => Self::InvalidName { input },
        }
    }
}
