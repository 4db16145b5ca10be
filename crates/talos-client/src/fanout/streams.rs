//! The streams of several nodes as one.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures_core::Stream;
use futures_util::stream::{FuturesUnordered, SelectAll};
use talos_transport::NodeName;

use super::Tagged;
use crate::Node;

/// The items of the streams of several nodes, as they come, each with the node it is from; see
/// [`Nodes::streams`](super::Nodes::streams).
///
/// A node whose stream cannot be opened has one item, the error. A stream that fails ends with its error. The other nodes go
/// on; the whole ends when all have ended. Each node may have one message under way that was not taken yet, and what HTTP/2
/// allows for a stream.
///
/// # Cancel safety
///
/// Waiting for the next item may be cancelled at any time, nothing is lost. Dropping it ends all streams.
#[must_use = "streams do nothing unless polled"]
pub struct NodeStreams<S, Fut> {
    opening: FuturesUnordered<Tagged<Fut>>,
    open: SelectAll<Opened<S>>,
}

struct Opened<S> {
    node: NodeName,
    stream: Pin<Box<S>>,
}

impl<S, T, E, Fut> NodeStreams<S, Fut>
where
    Fut: Future<Output = Result<S, E>>,
    S: Stream<Item = Result<T, E>>,
{
    pub(super) fn open(nodes: Vec<Node>, mut open: impl FnMut(Node) -> Fut) -> Self {
        let opening = nodes.into_iter().map(|node| Tagged {
            node: Some(node.name().clone()),
            future: Box::pin(open(node)),
        });
        Self {
            opening: opening.collect(),
            open: SelectAll::new(),
        }
    }

    /// The next item, with the node it is from; `None` when all streams have ended.
    ///
    /// # Errors
    ///
    /// Each item is what the stream of its node had, or why there is no stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_item(&mut self) -> Option<(NodeName, Result<T, E>)> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// How many nodes have a stream that has not ended, or may still open one.
    pub fn nodes_left(&self) -> usize {
        self.opening.len() + self.open.len()
    }
}

impl<S, T, E, Fut> Stream for NodeStreams<S, Fut>
where
    Fut: Future<Output = Result<S, E>>,
    S: Stream<Item = Result<T, E>>,
{
    type Item = (NodeName, Result<T, E>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while let Poll::Ready(Some((node, result))) = Pin::new(&mut self.opening).poll_next(cx) {
            match result {
                Ok(stream) => self.open.push(Opened {
                    node,
                    stream: Box::pin(stream),
                }),
                Err(error) => return Poll::Ready(Some((node, Err(error)))),
            }
        }
        match Pin::new(&mut self.open).poll_next(cx) {
            Poll::Ready(None) if !self.opening.is_empty() => Poll::Pending,
            polled => polled,
        }
    }
}

impl<S: Stream> Stream for Opened<S> {
    type Item = (NodeName, S::Item);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = self.stream.as_mut().poll_next(cx);
        item.map(|item| item.map(|item| (self.node.clone(), item)))
    }
}

impl<S: Stream, Fut> fmt::Debug for NodeStreams<S, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeStreams")
            .field("opening", &self.opening.len())
            .field("open", &self.open.len())
            .finish()
    }
}
