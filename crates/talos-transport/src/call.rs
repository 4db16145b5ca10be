//! What travels with a single call: limits on its time, and who answered it.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::Request;
use tokio::time::Instant;
use tonic::body::Body;

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
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    /// When the server should give up as well; `None` if it is not to be told.
    pub(crate) told: Option<Instant>,
    pub(crate) progress: Progress,
}

/// Whether a call has reached a connection, so that a timeout can tell "not sent" from "not answered".
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress(Arc<AtomicBool>);

impl Progress {
    pub(crate) fn sending(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn delivery(&self) -> Delivery {
        if self.0.load(Ordering::Relaxed) {
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

/// Request extension of one attempt: where a request comes back to that failed without being consumed, which is when
/// [`Error::delivery`](crate::Error::delivery) is [`Delivery::NotSent`] and often enough not even then. A refused request
/// never comes back: by then its body has been handed over.
#[derive(Debug, Clone, Default)]
pub(crate) struct GiveBack(Arc<Mutex<Option<Request<Body>>>>);

impl GiveBack {
    pub(crate) fn put(&self, request: Request<Body>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(request);
    }

    /// The request, if it came back. Its extensions are those of the attempt.
    pub(crate) fn take(&self) -> Option<Request<Body>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
