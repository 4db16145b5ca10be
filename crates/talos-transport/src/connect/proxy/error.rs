//! What goes wrong on the way through a proxy.

use std::fmt;
use std::io;
use std::time::Duration;

use super::Proxy;
use crate::connect::{ConnectReason, HandshakeError};
use crate::tls::TlsError;

/// A proxy did not lead to the endpoint. Nothing was sent to the endpoint.
///
/// The [`source`](std::error::Error::source) is the [`failure`](Self::failure). Neither shows the credentials.
#[derive(Debug, thiserror::Error)]
#[error("no connection through the proxy {proxy}")]
pub struct ProxyError {
    proxy: String,
    #[source]
    failure: ProxyFailure,
}

/// Why a proxy did not lead to the endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyFailure {
    /// The proxy itself cannot be reached.
    #[error("the proxy cannot be reached")]
    Dial(#[source] Box<ConnectReason>),
    /// TLS with an `https` proxy cannot be set up on this side, for instance because there are no system roots.
    #[error("TLS with the proxy cannot be set up")]
    TlsSetup(#[source] TlsError),
    /// There is no trusted TLS connection with an `https` proxy.
    #[error("TLS with the proxy failed")]
    Tls(#[source] HandshakeError),
    /// The connect timeout of the channel was over while the proxy had the next word.
    #[error("no answer within {after:?} ({stage})")]
    TimedOut {
        /// The connect timeout.
        after: Duration,
        /// How far the attempt had come.
        stage: ProxyStage,
    },
    /// The proxy wants to know who we are: it got no credentials, or does not accept them.
    #[error("{}", authentication(*.credentials_sent, .offered))]
    Authentication {
        /// Whether it was shown user and password.
        credentials_sent: bool,
        /// The authentication schemes that an HTTP proxy offers; only `Basic` is supported here.
        offered: Vec<String>,
    },
    /// An HTTP proxy answered `CONNECT` by something else than status 200.
    #[error("the proxy answered {status}{}{}", spaced(.reason), hint(*.status))]
    Status {
        /// The HTTP status.
        status: u16,
        /// The words that came with it, shortened; whatever is not printable ASCII is left out.
        reason: String,
    },
    /// A SOCKS proxy refused to connect, or could not.
    #[error("the proxy answered: {0}")]
    Socks(SocksReply),
    /// What listens there does not speak the protocol of the proxy's URL.
    #[error("what answers there is no {protocol} proxy{}", .answer.as_ref().map(|a| format!("; it answered {a:?}")).unwrap_or_default())]
    Protocol {
        /// The protocol that was expected.
        protocol: &'static str,
        /// The first line of its answer, if that is text.
        answer: Option<String>,
    },
    /// The head of an HTTP proxy's answer is longer than this many bytes.
    #[error("the head of the proxy's answer is longer than {limit} bytes")]
    AnswerTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The proxy closed the connection before it had answered.
    #[error("the proxy closed the connection without an answer")]
    Closed,
    /// The connection to the proxy broke.
    #[error("the network failed")]
    Io(#[source] io::Error),
}

/// How far an attempt had come on its way through a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProxyStage {
    /// Resolving the proxy's name or establishing the TCP connection to it.
    Dial,
    /// The TLS handshake with an `https` proxy.
    Tls,
    /// Waiting for the proxy to connect to the endpoint, or to say that it cannot.
    Answer,
}

/// The answer of a SOCKS proxy that does not connect, as in RFC 1928.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SocksReply {
    /// Something failed inside the proxy.
    GeneralFailure,
    /// The proxy's rules do not allow this connection.
    NotAllowed,
    /// The endpoint's network cannot be reached from there.
    NetworkUnreachable,
    /// The endpoint cannot be reached from there, or its name cannot be resolved there.
    HostUnreachable,
    /// The endpoint refused the connection.
    ConnectionRefused,
    /// The endpoint is too many hops away.
    TtlExpired,
    /// The proxy makes no connections.
    CommandNotSupported,
    /// The proxy does not take this kind of address.
    AddressTypeNotSupported,
    /// Another answer, by its number.
    Other(u8),
}

impl ProxyError {
    pub(super) fn new(proxy: &Proxy, failure: ProxyFailure) -> Self {
        Self {
            proxy: proxy.to_string(),
            failure,
        }
    }

    pub(in crate::connect) fn timed_out(proxy: &Proxy, after: Duration, stage: ProxyStage) -> Self {
        Self::new(proxy, ProxyFailure::TimedOut { after, stage })
    }

    /// The proxy, as `scheme://host:port`.
    pub fn proxy(&self) -> &str {
        &self.proxy
    }

    /// What went wrong.
    pub fn failure(&self) -> &ProxyFailure {
        &self.failure
    }
}

impl ProxyFailure {
    /// Whether the next attempt would fail in the same way.
    pub(in crate::connect) fn is_lasting(&self) -> bool {
        match self {
            Self::TlsSetup(_)
            | Self::Tls(_)
            | Self::Authentication { .. }
            | Self::Protocol { .. }
            | Self::AnswerTooLong { .. } => true,
            // What a proxy says about the endpoint, or what may be on the way to either of them.
            Self::Dial(_)
            | Self::TimedOut { .. }
            | Self::Status { .. }
            | Self::Socks(_)
            | Self::Closed
            | Self::Io(_) => false,
        }
    }

    /// What a read, a write or a handshake with the proxy says.
    pub(super) fn from_io(error: io::Error) -> Self {
        if let Some(error) = HandshakeError::find(&error) {
            return Self::Tls(error);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

impl From<u8> for SocksReply {
    fn from(number: u8) -> Self {
        match number {
            1 => Self::GeneralFailure,
            2 => Self::NotAllowed,
            3 => Self::NetworkUnreachable,
            4 => Self::HostUnreachable,
            5 => Self::ConnectionRefused,
            6 => Self::TtlExpired,
            7 => Self::CommandNotSupported,
            8 => Self::AddressTypeNotSupported,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for SocksReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GeneralFailure => "general failure",
            Self::NotAllowed => "its rules do not allow this connection",
            Self::NetworkUnreachable => "the endpoint's network is unreachable",
            Self::HostUnreachable => "the endpoint is unreachable, or its name cannot be resolved",
            Self::ConnectionRefused => "the endpoint refused the connection",
            Self::TtlExpired => "the endpoint is too many hops away",
            Self::CommandNotSupported => "it makes no connections",
            Self::AddressTypeNotSupported => "it does not take this kind of address",
            Self::Other(number) => return write!(f, "SOCKS reply {number}"),
        })
    }
}

impl fmt::Display for ProxyStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dial => "the proxy's address does not answer",
            Self::Tls => "connected to the proxy, but the TLS handshake with it did not finish",
            Self::Answer => "connected to the proxy, but it did not get through to the endpoint",
        })
    }
}

fn authentication(credentials_sent: bool, offered: &[String]) -> String {
    let mut text = if credentials_sent {
        "the proxy does not accept the user and password of its URL".to_owned()
    } else {
        "the proxy asks for user and password; give them in its URL, scheme://user:password@host".to_owned()
    };
    if !offered.is_empty() && !offered.iter().any(|scheme| scheme.eq_ignore_ascii_case("basic")) {
        text.push_str("; it supports only ");
        text.push_str(&offered.join(", "));
        text.push_str(", and this client only Basic");
    }
    text
}

fn spaced(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(" {reason}")
    }
}

/// What a status of a proxy usually means.
fn hint(status: u16) -> &'static str {
    match status {
        200..=299 => ", which is not the 200 that opens a tunnel",
        300..=399 => ", a redirect to somewhere else",
        403 => "; it may have to allow CONNECT to this host and port",
        400 | 404 | 405 | 501 => "; it may be a web server and no proxy, or not allow CONNECT",
        502..=504 => "; it cannot reach the endpoint",
        _ => "",
    }
}
