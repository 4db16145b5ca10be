//! Why a TLS handshake failed, in terms a user can act on.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::{AlertDescription, CertificateError, Error as RustlsError};
use rustls_pki_types::UnixTime;

use crate::tls::Fingerprint;
use crate::tls::time::rfc3339;
use crate::tls::verify::UnexpectedFingerprint;

/// Why there is no trusted connection with a server.
///
/// The first group is our verdict on the server, [`Alert`](Self::Alert) is the server's verdict on us. With TLS 1.3
/// that verdict comes after the handshake looked complete on our side; a channel waits for it, so it is reported the
/// same way.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The certificate leads to none of the trusted CAs: a wrong CA, another cluster, or something in between.
    #[error("the server's certificate is not signed by a trusted CA")]
    UnknownIssuer,
    /// The certificate is trusted, but not for this name or address. Talos adds more by `machine.certSANs`.
    #[error("the server's certificate is valid for {}, not for {expected}", list(.presented))]
    NameMismatch {
        /// The name or address it should be valid for.
        expected: String,
        /// The names and addresses it is valid for.
        presented: Vec<String>,
    },
    /// The certificate's time is over, or the local clock is ahead.
    #[error("the server's certificate expired{}; or the local clock is wrong", at(.not_after))]
    Expired {
        /// When it ended, if known.
        not_after: Option<SystemTime>,
    },
    /// The certificate's time has not begun, or the local clock is behind.
    #[error("the server's certificate is not valid yet{}; or the local clock is wrong", at(.not_before))]
    NotYetValid {
        /// When it begins, if known.
        not_before: Option<SystemTime>,
    },
    /// The certificate's fingerprint is none of those expected.
    #[error("the server's certificate has the fingerprint {seen}, which is not among the expected ones")]
    FingerprintMismatch {
        /// The fingerprint the server showed.
        seen: Fingerprint,
        /// The fingerprints that would have been accepted.
        accepted: Arc<[Fingerprint]>,
    },
    /// The certificate is unusable for another reason: malformed, not for servers, not signed by its own key.
    #[error("the server's certificate is not acceptable")]
    InvalidCertificate {
        /// The TLS library's reason.
        #[source]
        source: RustlsError,
    },
    /// The server ended the connection with a TLS alert.
    #[error("the server refused the connection: {alert}")]
    Alert {
        /// What the server said.
        alert: Alert,
    },
    /// What answers on this port does not speak TLS.
    #[error("the server does not speak TLS")]
    NotTls,
    /// The TLS protocol failed otherwise, for instance because no version or cipher suite is shared.
    #[error("the TLS protocol failed")]
    Protocol {
        /// The TLS library's reason.
        #[source]
        source: RustlsError,
    },
}

/// What a server says when it ends a TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Alert {
    /// It wants a client certificate and got none.
    CertificateRequired,
    /// The client certificate is not signed by a CA the server trusts.
    UnknownCa,
    /// The client certificate is not valid any more, or not yet, by the server's clock.
    CertificateExpired,
    /// The client certificate is unsuitable. Talos says so if its extended key usage is not exactly "client
    /// authentication".
    BadCertificate,
    /// The client certificate is fine but not allowed in.
    AccessDenied,
    /// Nothing both sides support; with TLS 1.2 also the answer to a missing client certificate.
    HandshakeFailure,
    /// The server does not know the requested server name.
    UnrecognizedName,
    /// Another alert, by its number in the TLS registry.
    Other(u8),
}

impl HandshakeError {
    /// Finds the TLS library's error in what a TLS stream returned.
    pub(crate) fn find(error: &io::Error) -> Option<Self> {
        error
            .get_ref()?
            .downcast_ref::<RustlsError>()
            .map(|error| Self::from_rustls(error.clone()))
    }

    pub(crate) fn from_rustls(error: RustlsError) -> Self {
        match error {
            RustlsError::InvalidCertificate(reason) => Self::from_certificate(reason),
            RustlsError::AlertReceived(alert) => Self::Alert {
                alert: Alert::from(alert),
            },
            RustlsError::InvalidMessage(_) | RustlsError::PeerSentOversizedRecord => Self::NotTls,
            source => Self::Protocol { source },
        }
    }

    fn from_certificate(reason: CertificateError) -> Self {
        match reason {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::Expired => Self::Expired { not_after: None },
            CertificateError::ExpiredContext { not_after, .. } => Self::Expired {
                not_after: system_time(not_after),
            },
            CertificateError::NotValidYet => Self::NotYetValid { not_before: None },
            CertificateError::NotValidYetContext { not_before, .. } => Self::NotYetValid {
                not_before: system_time(not_before),
            },
            CertificateError::NotValidForNameContext { expected, presented } => Self::NameMismatch {
                expected: expected.to_str().into_owned(),
                presented: presented.iter().map(|name| bare_name(name)).collect(),
            },
            CertificateError::Other(ref other) => match other.0.downcast_ref::<UnexpectedFingerprint>() {
                Some(UnexpectedFingerprint { seen, accepted }) => Self::FingerprintMismatch {
                    seen: *seen,
                    accepted: Arc::clone(accepted),
                },
                None => Self::InvalidCertificate {
                    source: RustlsError::InvalidCertificate(reason),
                },
            },
            reason => Self::InvalidCertificate {
                source: RustlsError::InvalidCertificate(reason),
            },
        }
    }
}

impl From<AlertDescription> for Alert {
    fn from(alert: AlertDescription) -> Self {
        match alert {
            AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                Self::CertificateRequired
            }
            AlertDescription::UnknownCA => Self::UnknownCa,
            AlertDescription::CertificateExpired => Self::CertificateExpired,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRevoked => Self::BadCertificate,
            AlertDescription::AccessDenied => Self::AccessDenied,
            AlertDescription::HandshakeFailure => Self::HandshakeFailure,
            AlertDescription::UnrecognisedName => Self::UnrecognizedName,
            other => Self::Other(u8::from(other)),
        }
    }
}

impl fmt::Display for Alert {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CertificateRequired => f.write_str("a client certificate is required"),
            Self::UnknownCa => f.write_str("the client certificate is not signed by a CA it trusts"),
            Self::CertificateExpired => f.write_str("the client certificate has expired or is not valid yet"),
            Self::BadCertificate => f.write_str("the client certificate is unsuitable"),
            Self::AccessDenied => f.write_str("access denied"),
            Self::HandshakeFailure => f.write_str(
                "handshake failure; a client certificate is missing or nothing is supported by both",
            ),
            Self::UnrecognizedName => f.write_str("the server name is not known there"),
            Self::Other(number) => write!(f, "TLS alert {number}"),
        }
    }
}

fn system_time(time: UnixTime) -> Option<SystemTime> {
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(time.as_secs()))
}

fn at(time: &Option<SystemTime>) -> String {
    time.map(|time| format!(" ({})", rfc3339(time)))
        .unwrap_or_default()
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "no name at all".to_owned()
    } else {
        names.join(", ")
    }
}

/// `DnsName("a.example")` and `IpAddress(10.5.0.2)`, as the TLS library prints names, without the wrapping.
fn bare_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inner.unwrap_or(name).trim_matches('"').to_owned()
}
