//! Events of one call.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use talos_proto::machine as proto;

use super::{Event, EventId};
use crate::{error::Result, stream::Messages};

/// Events of a node, for as long as one call lasts.
///
/// **The end is no proof that nothing happens any more**: a node that shuts down and a reader who was too slow
/// end it just so. [`EventsRequest::reattach`](super::EventsRequest::reattach) goes on by itself.
///
/// # Errors
///
/// An item is an error when the call breaks or the node ends it with a status. Nothing comes after an error.
///
/// # Cancel safety
///
/// Waiting for the next event may be cancelled at any time, nothing is lost.
#[must_use = "streams do nothing unless polled"]
#[derive(Debug)]
pub struct EventStream {
    inner: Messages<proto::Event>,
    hello: Option<EventId>,
    /// From a node that did not begin with a hello.
    first: Option<proto::Event>,
}

impl EventStream {
    /// Waits for the first message, which says no more than that the stream has begun.
    pub(super) async fn begin(mut inner: Messages<proto::Event>) -> Result<Self> {
        let mut hello = None;
        let mut first = None;
        if let Some(message) = inner.next().await.transpose()? {
            if let Some(error) = inner.call().node_error(message.metadata.as_ref()) {
                return Err(error);
            }
            if is_hello(&message) {
                hello = message.id.parse().ok();
            } else {
                first = Some(message);
            }
        }
        Ok(Self { inner, hello, first })
    }

    /// The id that the beginning of the stream has among events: everything later is in it.
    pub fn began_at(&self) -> Option<EventId> {
        self.hello
    }

    /// The next event, or `None` at the end.
    ///
    /// # Errors
    ///
    /// As for the items of the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_event(&mut self) -> Option<Result<Event>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

/// The first message has no contents.
fn is_hello(message: &proto::Event) -> bool {
    message.data.as_ref().is_none_or(|data| data.type_url.is_empty())
}

impl Stream for EventStream {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let raw = match self.first.take() {
            Some(first) => first,
            None => match ready!(self.inner.poll_next(cx)).transpose()? {
                Some(raw) => raw,
                None => return Poll::Ready(None),
            },
        };
        if let Some(error) = self.inner.call().node_error(raw.metadata.as_ref()) {
            self.inner.end();
            return Poll::Ready(Some(Err(error)));
        }
        Poll::Ready(Some(Ok(Event::new(raw))))
    }
}
