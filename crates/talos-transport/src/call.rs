//! What travels with a single call: limits on its time, and who answered it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::Endpoint;
use crate::error::Delivery;

/// Request extension: limits the whole call, to the last byte of the response.
///
/// For unary calls, and for streams that must be over within a known time. The server is told by `grpc-timeout` and
/// gives up as well. Without it, a `grpc-timeout` in the metadata, such as [`tonic::Request::set_timeout`] puts there,
/// has the same effect; if there are both, the shorter one counts.
///
/// When the time is over the call fails with `DEADLINE_EXCEEDED` and [`Error::Timeout`](crate::Error::Timeout).
///
/// ```
/// use std::time::Duration;
/// use talos_transport::CallTimeout;
///
/// let mut request = tonic::Request::new(());
/// request.extensions_mut().insert(CallTimeout(Duration::from_secs(5)));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallTimeout(pub Duration);

/// Request extension: limits the wait until a response *begins*, and then no more.
///
/// For streams of unknown length. The server is not told, since it would end the stream as well. Do not set it for
/// streams that may be silent, such as followed logs: Talos sends response headers together with the first message, so
/// the response of a quiet node begins late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstResponseTimeout(pub Duration);

/// Request extension: limits each attempt of a call, until its response begins, or until it is complete for calls of
/// [`RetryClass::RepeatableUnary`](crate::RetryClass::RepeatableUnary). None by default.
///
/// An attempt whose time is over is given up and followed by another one as its [`RetryClass`](crate::RetryClass) allows;
/// [`CallTimeout`] limits all of them together. The server is not told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptTimeout(pub Duration);

/// Request extension: the longest silence of a server, before its response begins and between pieces of it. None by
/// default.
///
/// For streams that end by themselves, such as files. Not for those that may be silent because there is nothing to say.
/// [`FirstResponseTimeout`] goes before it for the wait until the response begins. A caller who does not read does not make
/// the server silent; the time counts while the caller waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleTimeout(pub Duration);

/// The endpoint a response came from.
///
/// It is an extension of every response, and the [`source`](std::error::Error::source) of every [`tonic::Status`] that a
/// server sent:
///
/// ```
/// use talos_transport::AnsweredBy;
///
/// fn endpoint(response: &tonic::Response<()>) -> Option<&AnsweredBy> {
///     response.extensions().get()
/// }
/// ```
///
/// This is the way in and not the machine that answered: that is the [`Node`](crate::Node) of the request, or the
/// endpoint's own machine if it had none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnsweredBy(Endpoint);

impl AnsweredBy {
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self(endpoint)
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0
    }
}

impl fmt::Display for AnsweredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answered by {}", self.0)
    }
}

impl std::error::Error for AnsweredBy {}

/// The deadline of a call, as the deadline layer hands it to the innermost service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deadline {
    /// When the server should give up as well; `None` if it is not to be told.
    pub(crate) told: Option<Instant>,
    pub(crate) progress: Progress,
}

impl Deadline {
    /// The same one, but with a progress of the attempt's own, of which the whole call hears too.
    pub(crate) fn of_attempt(&self) -> Self {
        Self {
            told: self.told,
            progress: Progress {
                sent: Arc::default(),
                whole: Some(Arc::clone(&self.progress.sent)),
            },
        }
    }
}

/// Whether a call has reached a connection, so that a timeout can tell "not sent" from "not answered".
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    sent: Arc<AtomicBool>,
    /// That of the call, if this one is of an attempt.
    whole: Option<Arc<AtomicBool>>,
}

impl Progress {
    pub(crate) fn sending(&self) {
        self.sent.store(true, Ordering::Relaxed);
        if let Some(whole) = &self.whole {
            whole.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn delivery(&self) -> Delivery {
        if self.sent.load(Ordering::Relaxed) {
            Delivery::Unknown
        } else {
            Delivery::NotSent
        }
    }
}

/// Request extension of one attempt: endpoints it should not go to, because earlier attempts of the same call failed
/// there. They are used all the same if there is no other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Avoid(pub(crate) Vec<Endpoint>);
