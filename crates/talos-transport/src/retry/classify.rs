//! What a failed attempt says about trying again.

use std::error::Error as _;

use tonic::{Code, Status};

use crate::Endpoint;
use crate::call::AnsweredBy;
use crate::connect::{ConnectError, ConnectReason};
use crate::error::{Delivery, Error, ResetCode};

/// A failure that may pass.
#[derive(Debug)]
pub(super) struct Transient<'a> {
    pub(super) cause: Cause,
    /// No server can have acted on the request.
    pub(super) unprocessed: bool,
    /// Where the attempt failed, if it got somewhere.
    pub(super) endpoint: Option<&'a Endpoint>,
}

/// Kinds of failures that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// No endpoint could be connected to.
    Unconnected,
    /// The connection ended, before or after the request was sent.
    ConnectionLost,
    /// A server did not look at the request.
    Refused,
    /// A server, or something before it, ended the call without a status.
    Reset,
    /// A server says that it, or the node behind it, cannot answer now.
    Unavailable,
    /// A proxy before the server says that it cannot reach it.
    Gateway,
    /// The time of the attempt was over.
    AttemptTimeout,
}

impl Cause {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Unconnected => "unconnected",
            Self::ConnectionLost => "connection_lost",
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Unavailable => "unavailable",
            Self::Gateway => "gateway",
            Self::AttemptTimeout => "attempt_timeout",
        }
    }

    /// Whether the first retry needs no wait: the next attempt goes another way.
    pub(super) fn retry_at_once(self) -> bool {
        matches!(self, Self::ConnectionLost | Self::AttemptTimeout)
    }

    /// Whether something cannot be reached, which often stays so for long.
    pub(super) fn is_unreachable(self) -> bool {
        matches!(self, Self::Unconnected | Self::Unavailable | Self::Gateway)
    }

    /// Whether a retry is paid from the budget: it is where it puts load on a server that is there and in trouble.
    pub(super) fn is_charged(self) -> bool {
        !matches!(self, Self::Unconnected | Self::ConnectionLost)
    }
}

/// Whether the failure may pass; `None` if the next attempt would fail in the same way.
pub(super) fn transient(status: &Status) -> Option<Transient<'_>> {
    let source = status.source();
    if let Some(error) = source.and_then(|source| source.downcast_ref::<Error>()) {
        return of_channel(error);
    }
    let answered_by = source.and_then(|source| source.downcast_ref::<AnsweredBy>());
    (status.code() == Code::Unavailable).then(|| Transient {
        cause: Cause::Unavailable,
        unprocessed: false,
        endpoint: answered_by.map(AnsweredBy::endpoint),
    })
}

fn of_channel(error: &Error) -> Option<Transient<'_>> {
    let cause = match error {
        Error::Connect(error) => may_connect_later(error).then_some(Cause::Unconnected),
        Error::Closed { .. } => Some(Cause::ConnectionLost),
        Error::Reset { code, .. } => match *code {
            ResetCode::REFUSED_STREAM => Some(Cause::Refused),
            // The rest says that the two sides do not understand each other, or that we ask for too much.
            ResetCode::NO_ERROR | ResetCode::INTERNAL_ERROR | ResetCode::CANCEL => Some(Cause::Reset),
            _ => None,
        },
        Error::NotGrpc { status, .. } => matches!(status, 502..=504).then_some(Cause::Gateway),
        // The time of the whole call is watched further out; what is seen here is that of an attempt.
        Error::Timeout { .. } => Some(Cause::AttemptTimeout),
    };
    cause.map(|cause| Transient {
        cause,
        unprocessed: matches!(error.delivery(), Delivery::NotSent | Delivery::Refused),
        endpoint: error.endpoint(),
    })
}

/// Not if every endpoint was found and turned out to be the wrong one.
fn may_connect_later(error: &ConnectError) -> bool {
    let lasting =
        |reason: &ConnectReason| matches!(reason, ConnectReason::Tls(_) | ConnectReason::NotHttp2 { .. });
    !error.failures().iter().all(|failure| lasting(failure.reason()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connect::{ConnectFailure, ConnectStage};
    use crate::error::{CloseReason, TimeLimit};

    fn endpoint() -> Endpoint {
        "10.5.0.2".parse().unwrap()
    }

    fn connect(reasons: impl IntoIterator<Item = ConnectReason>) -> Error {
        let failures = reasons
            .into_iter()
            .map(|reason| ConnectFailure::new(endpoint(), reason))
            .collect();
        Error::Connect(ConnectError::new(failures))
    }

    fn closed(delivery: Delivery) -> Error {
        Error::Closed {
            endpoint: endpoint(),
            delivery,
            reason: CloseReason::Eof,
        }
    }

    fn timeout(delivery: Delivery) -> Error {
        Error::Timeout {
            limit: TimeLimit::Attempt,
            after: Duration::from_secs(1),
            delivery,
            previous: None,
        }
    }

    fn reset(code: h2::Reason) -> Error {
        Error::Reset {
            endpoint: endpoint(),
            code: code.into(),
        }
    }

    fn not_grpc(status: u16) -> Error {
        Error::NotGrpc {
            endpoint: endpoint(),
            status,
            content_type: None,
        }
    }

    #[test]
    fn failures_of_the_channel_are_told_apart() {
        let not_http2 = || ConnectReason::NotHttp2 { answer: None };
        let timed_out = ConnectReason::TimedOut {
            after: Duration::from_secs(1),
            stage: ConnectStage::Dial,
        };
        for (error, expected) in [
            (
                connect([ConnectReason::Refused]),
                Some((Cause::Unconnected, true)),
            ),
            (connect([timed_out]), Some((Cause::Unconnected, true))),
            (
                connect([not_http2(), ConnectReason::Refused]),
                Some((Cause::Unconnected, true)),
            ),
            (connect([not_http2(), not_http2()]), None),
            (closed(Delivery::NotSent), Some((Cause::ConnectionLost, true))),
            (closed(Delivery::Refused), Some((Cause::ConnectionLost, true))),
            (closed(Delivery::Unknown), Some((Cause::ConnectionLost, false))),
            (reset(h2::Reason::REFUSED_STREAM), Some((Cause::Refused, true))),
            (reset(h2::Reason::INTERNAL_ERROR), Some((Cause::Reset, false))),
            (reset(h2::Reason::CANCEL), Some((Cause::Reset, false))),
            (reset(h2::Reason::ENHANCE_YOUR_CALM), None),
            (reset(h2::Reason::INADEQUATE_SECURITY), None),
            (reset(h2::Reason::PROTOCOL_ERROR), None),
            (not_grpc(503), Some((Cause::Gateway, false))),
            (not_grpc(429), None),
            (not_grpc(404), None),
            (timeout(Delivery::NotSent), Some((Cause::AttemptTimeout, true))),
            (timeout(Delivery::Unknown), Some((Cause::AttemptTimeout, false))),
        ] {
            let status = Status::from(error);
            let found = transient(&status).map(|found| (found.cause, found.unprocessed));
            assert_eq!(found, expected, "{status:?}");
        }
    }

    #[test]
    fn of_what_servers_say_only_unavailable_may_pass() {
        for code in 1..=16 {
            let code = Code::from(code);
            let mut status = Status::new(code, "text");
            status.set_source(std::sync::Arc::new(AnsweredBy::new(endpoint())));
            let found = transient(&status);
            assert_eq!(found.is_some(), code == Code::Unavailable, "{code:?}");
            if let Some(found) = found {
                assert!(!found.unprocessed);
                assert_eq!(found.endpoint, Some(&endpoint()));
            }
        }
    }
}
