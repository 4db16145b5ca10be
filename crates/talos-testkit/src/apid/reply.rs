//! The outermost layer of a reply: what goes to HTTP/2.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;

use crate::network::link::Link;

/// A reply's body, counted on its way to the connection.
pub(super) struct Sent {
    body: Body,
    link: Option<Arc<Link>>,
}

impl Sent {
    pub(super) const fn new(body: Body, link: Option<Arc<Link>>) -> Self {
        Self { body, link }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let (Some(link), Some(Ok(frame))) = (&self.link, &frame) {
            link.enqueue(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
