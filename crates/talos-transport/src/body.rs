//! [`ResponseBody`]: what a call returns after the headers.

mod limit;
mod replay;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tonic::{Code, Status};

pub(crate) use self::limit::{Idle, Limit};
pub(crate) use self::replay::ReplayBody;
use crate::call::AnsweredBy;
use crate::connect::Establish;
use crate::connection::{Peer, call_error};
use crate::error::Delivery;
use crate::observe::Observed;
use crate::pool::Flight;
use crate::status;

/// The body of a response: messages, then trailers.
///
/// It ends with an error if the connection breaks, if the time of the call is over, or if the trailers carry a gRPC status
/// other than `OK`; that status then has [`AnsweredBy`] as its source. Dropping it before its end resets the call and
/// leaves the connection usable.
#[must_use = "dropping a response body ends the call"]
pub struct ResponseBody {
    inner: Inner,
    /// What was read already to see how the response begins.
    held: VecDeque<Frame<Bytes>>,
    limit: Option<Limit>,
    idle: Option<Idle>,
    /// Sees what the caller reads.
    call: Option<Observed>,
    /// Sees what is received.
    attempt: Option<Observed>,
}

enum Inner {
    Remote {
        incoming: Incoming,
        peer: Arc<Peer>,
        flight: Flight<Establish>,
    },
    Other(UnsyncBoxBody<Bytes, Status>),
    Ended,
}

impl ResponseBody {
    /// A body that does not come from a channel, for services that answer in its place.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error = Status> + Send + 'static,
    {
        Self::of(Inner::Other(body.boxed_unsync()))
    }

    pub(crate) fn remote(incoming: Incoming, peer: Arc<Peer>, flight: Flight<Establish>) -> Self {
        Self::of(Inner::Remote {
            incoming,
            peer,
            flight,
        })
    }

    fn of(inner: Inner) -> Self {
        Self {
            inner,
            held: VecDeque::new(),
            limit: None,
            idle: None,
            call: None,
            attempt: None,
        }
    }

    pub(crate) fn observe_call(&mut self, call: Observed) {
        self.call = Some(call);
    }

    pub(crate) fn observe_attempt(&mut self, attempt: Observed) {
        self.attempt = Some(attempt);
    }

    /// The call fails at this time.
    pub(crate) fn set_limit(&mut self, limit: Limit) {
        self.limit = Some(limit);
    }

    /// The call fails when nothing comes for this long.
    pub(crate) fn set_idle(&mut self, idle: Idle) {
        self.idle = Some(idle);
    }

    /// Waits for the first message, or with `whole` for the end of the reply, and keeps what it reads for the caller.
    ///
    /// # Errors
    ///
    /// The call failed before that. Nothing of its response has been handed out then.
    pub(crate) async fn hold_back(&mut self, whole: bool) -> Result<(), Status> {
        let mut length = 0;
        while let Some(frame) = poll_fn(|cx| self.poll_inner(cx)).await {
            let frame = frame?;
            let data = frame.data_ref().map_or(0, Bytes::len);
            self.held.push_back(frame);
            length += data;
            if length > HOLD_LIMIT || (data > 0 && !whole) {
                break;
            }
        }
        Ok(())
    }

    /// Gives up the connection's resources at once, even if the caller keeps the body.
    fn end(&mut self) {
        self.inner = Inner::Ended;
        self.limit = None;
        self.idle = None;
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = self.inner.poll_frame(cx);
        let frame = match polled {
            Poll::Ready(frame) => {
                if let Some(idle) = &mut self.idle {
                    idle.received();
                }
                frame
            }
            Poll::Pending => {
                let limit = self.limit.as_mut().and_then(|limit| limit.poll(cx));
                let Some(error) = limit.or_else(|| self.idle.as_mut().and_then(|idle| idle.poll(cx))) else {
                    return Poll::Pending;
                };
                Some(Err(error.into()))
            }
        };
        if !matches!(frame, Some(Ok(_))) {
            self.end();
        }
        observe(&mut self.attempt, &frame);
        Poll::Ready(frame)
    }
}

/// Lets an observer see a piece of the body, or its end.
fn observe(observed: &mut Option<Observed>, frame: &Option<Result<Frame<Bytes>, Status>>) {
    let code = match frame {
        Some(Ok(frame)) if !frame.is_trailers() => {
            if let (Some(observed), Some(data)) = (observed, frame.data_ref()) {
                observed.received(data.len());
            }
            return;
        }
        // Other than good trailers come as errors.
        Some(Ok(_)) => Code::Ok,
        Some(Err(status)) => status.code(),
        // No server of gRPC does that.
        None => Code::Unknown,
    };
    if let Some(observed) = observed.take() {
        observed.end(code);
    }
}

impl Inner {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self {
            Self::Remote {
                incoming,
                peer,
                flight,
            } => Pin::new(incoming).poll_frame(cx).map(|frame| {
                frame.map(|frame| match frame {
                    Ok(frame) => match frame.trailers_ref().and_then(|trailers| failure(trailers, peer)) {
                        Some(status) => Err(status),
                        None => Ok(frame),
                    },
                    Err(error) => {
                        let error = call_error(&error, peer, Delivery::Unknown);
                        flight.failed(&error);
                        Err(error.into())
                    }
                })
            }),
            Self::Other(body) => Pin::new(body).poll_frame(cx),
            Self::Ended => Poll::Ready(None),
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let frame = match this.held.pop_front() {
            Some(frame) => Some(Ok(frame)),
            None => ready!(this.poll_inner(cx)),
        };
        observe(&mut this.call, &frame);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        if !self.held.is_empty() {
            return false;
        }
        match &self.inner {
            Inner::Remote { incoming, .. } => incoming.is_end_stream(),
            Inner::Other(body) => body.is_end_stream(),
            Inner::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        if !self.held.is_empty() {
            return SizeHint::default();
        }
        match &self.inner {
            Inner::Remote { incoming, .. } => incoming.size_hint(),
            Inner::Other(body) => body.size_hint(),
            Inner::Ended => SizeHint::with_exact(0),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let from = match &self.inner {
            Inner::Remote { peer, .. } => Some(&peer.endpoint),
            Inner::Other(_) | Inner::Ended => None,
        };
        f.debug_struct("ResponseBody")
            .field("from", &from)
            .field("ended", &self.is_end_stream())
            .finish()
    }
}

fn failure(trailers: &HeaderMap, peer: &Peer) -> Option<Status> {
    status::failure(trailers, || AnsweredBy::new(peer.endpoint.clone()))
}

/// Replies larger than this, in bytes, are not held back until they are complete.
const HOLD_LIMIT: usize = 64 * 1024;
