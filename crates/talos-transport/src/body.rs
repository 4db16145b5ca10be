//! [`ResponseBody`]: what a call returns after the headers.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::Sleep;
use tonic::Status;

use crate::call::AnsweredBy;
use crate::connection::{Peer, call_error};
use crate::error::{Delivery, Error};
use crate::status;

/// The body of a response: messages, then trailers.
///
/// It ends with an error if the connection breaks, if the time of the call is over, or if the trailers carry a gRPC status
/// other than `OK`; that status then has [`AnsweredBy`] as its source. Dropping it before its end resets the call and
/// leaves the connection usable.
#[must_use = "dropping a response body ends the call"]
pub struct ResponseBody {
    inner: Inner,
    limit: Option<Limit>,
}

enum Inner {
    Remote { incoming: Incoming, peer: Arc<Peer> },
    Other(UnsyncBoxBody<Bytes, Status>),
    Ended,
}

/// A point in time at which the call fails.
pub(crate) struct Limit {
    pub(crate) sleep: Pin<Box<Sleep>>,
    pub(crate) after: Duration,
}

impl ResponseBody {
    /// A body that does not come from a channel, for services that answer in its place.
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error = Status> + Send + 'static,
    {
        Self {
            inner: Inner::Other(body.boxed_unsync()),
            limit: None,
        }
    }

    pub(crate) fn remote(incoming: Incoming, peer: Arc<Peer>) -> Self {
        Self {
            inner: Inner::Remote { incoming, peer },
            limit: None,
        }
    }

    pub(crate) fn set_limit(&mut self, limit: Limit) {
        self.limit = Some(limit);
    }

    /// Gives up the connection's resources at once, even if the caller keeps the body.
    fn end(&mut self) {
        self.inner = Inner::Ended;
        self.limit = None;
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let polled = match &mut this.inner {
            Inner::Remote { incoming, peer } => Pin::new(incoming).poll_frame(cx).map(|frame| {
                frame.map(|frame| match frame {
                    Ok(frame) => match frame.trailers_ref().and_then(|trailers| failure(trailers, peer)) {
                        Some(status) => Err(status),
                        None => Ok(frame),
                    },
                    Err(error) => Err(call_error(&error, peer, Delivery::Unknown).into()),
                })
            }),
            Inner::Other(body) => Pin::new(body).poll_frame(cx),
            Inner::Ended => return Poll::Ready(None),
        };
        let frame = match polled {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                let Some(limit) = &mut this.limit else {
                    return Poll::Pending;
                };
                ready!(limit.sleep.as_mut().poll(cx));
                Some(Err(Error::Timeout {
                    after: limit.after,
                    delivery: Delivery::Unknown,
                }
                .into()))
            }
        };
        if !matches!(frame, Some(Ok(_))) {
            this.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Remote { incoming, .. } => incoming.is_end_stream(),
            Inner::Other(body) => body.is_end_stream(),
            Inner::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
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
