//! The same calls to several nodes.
//!
//! [`Client::nodes`](crate::Client::nodes) makes a [`Nodes`], which makes one call per node, each with the `node` metadata of
//! its own, over the connections that the client has anyway. Nothing is sent to several nodes at once by an endpoint; see
//! [`aggregate`] for that.
//!
//! | Wanted | Use |
//! |---|---|
//! | what each node answers, whatever becomes of the others | [`Nodes::each`] |
//! | all answers, or the first failure | [`Nodes::try_each`] |
//! | answers as they come | [`Nodes::results`] |
//! | the streams of all nodes as one | [`Nodes::streams`] |
//!
//! ```no_run
//! use talos_client::Client;
//!
//! # async fn example(client: Client) -> talos_client::Result<()> {
//! let report = client
//!     .nodes(["10.5.0.2", "10.5.0.3"])?
//!     .each(|node| async move { node.memory().await })
//!     .await;
//! for (node, memory) in &report {
//!     match memory {
//!         Ok(memory) => println!("{node}: {} bytes", memory.total()),
//!         Err(error) => println!("{node}: {error:#}"),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

use std::{
    collections::HashSet,
    fmt,
    future::Future,
    num::NonZeroUsize,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use futures_util::stream::FuturesUnordered;
use talos_transport::NodeName;

use crate::Node;

#[cfg(feature = "machine")]
pub mod aggregate;
mod map;
mod streams;

pub use map::{NodeFailure, NodeMap};
pub use streams::NodeStreams;

/// Several nodes that are to be asked the same; made by [`Client::nodes`](crate::Client::nodes) and from handles, by
/// `collect`.
///
/// Names that are given twice count once. No nodes are no error: then there is nothing to do.
///
/// Everything runs in the task of the caller, and no task is started, so dropping what a method returns ends all calls under
/// way. Closures are called when it is their node's turn.
#[derive(Clone, Debug)]
#[must_use = "nothing is asked before a method is called"]
pub struct Nodes {
    nodes: Vec<Node>,
    concurrency: NonZeroUsize,
}

/// The results of [`Nodes::results`], in the order in which they come.
///
/// # Cancel safety
///
/// Waiting for the next result may be cancelled, nothing is lost. Dropping the stream ends the calls under way.
#[must_use = "streams do nothing unless polled"]
pub struct NodeResults<F, Fut> {
    waiting: std::vec::IntoIter<Node>,
    make: F,
    running: FuturesUnordered<Tagged<Fut>>,
    concurrency: NonZeroUsize,
}

/// What runs for one node.
struct Tagged<Fut> {
    node: Option<NodeName>,
    future: Pin<Box<Fut>>,
}

impl Nodes {
    /// How many calls are under way at the same time unless [`Nodes::concurrency`] says otherwise: 64.
    ///
    /// That is enough to keep a connection busy, and few enough not to flood the endpoint, which opens a connection of its
    /// own to each node.
    pub const DEFAULT_CONCURRENCY: usize = 64;

    /// Limits how many nodes are being asked at the same time. 0 counts as 1. Default: [`Nodes::DEFAULT_CONCURRENCY`].
    ///
    /// [`Nodes::streams`] is not limited by this, since streams stay open.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.concurrency = NonZeroUsize::new(calls).unwrap_or(NonZeroUsize::MIN);
        self
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The handles, in the order in which they were given.
    pub fn iter(&self) -> std::slice::Iter<'_, Node> {
        self.nodes.iter()
    }

    /// Does this for each node, and tells what came of it by node, in the order in which they were given. A failure of one
    /// node has no effect on the others.
    ///
    /// # Cancel safety
    ///
    /// Cancelling ends the calls under way; results that were there are lost. Use [`Nodes::results`] to keep them.
    pub async fn each<T, F, Fut>(self, make: F) -> NodeMap<T>
    where
        F: FnMut(Node) -> Fut,
        Fut: Future<Output = T>,
    {
        let mut slots = map::Slots::new(self.names());
        let mut results = self.results(make);
        while let Some((node, result)) = results.next_result().await {
            slots.put(&node, result);
        }
        slots.finish()
    }

    /// Does this for each node until one fails. Then the calls to the others are given up; whether they had an effect is not
    /// known.
    ///
    /// # Errors
    ///
    /// The first failure, with the node it happened at. If it is our [`Error`](crate::Error), `?` makes one of it.
    ///
    /// # Cancel safety
    ///
    /// As for [`Nodes::each`].
    pub async fn try_each<T, E, F, Fut>(self, make: F) -> Result<NodeMap<T>, NodeFailure<E>>
    where
        F: FnMut(Node) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let mut slots = map::Slots::new(self.names());
        let mut results = self.results(make);
        while let Some((node, result)) = results.next_result().await {
            match result {
                Ok(value) => slots.put(&node, value),
                Err(error) => return Err(NodeFailure::new(node, error)),
            }
        }
        Ok(slots.finish())
    }

    /// Does this for each node, and hands out what came of it as it comes.
    pub fn results<T, F, Fut>(self, make: F) -> NodeResults<F, Fut>
    where
        F: FnMut(Node) -> Fut,
        Fut: Future<Output = T>,
    {
        NodeResults {
            waiting: self.nodes.into_iter(),
            make,
            running: FuturesUnordered::new(),
            concurrency: self.concurrency,
        }
    }

    /// Opens a stream at each node, and merges their items, each with the node it is from.
    ///
    /// All streams are opened at the same time, whatever [`Nodes::concurrency`] says: nodes open a stream only together with
    /// its first message, so a quiet one would keep others waiting for ever. They share connections; each node that is read
    /// slowly holds back only itself.
    ///
    /// ```no_run
    /// use talos_client::Client;
    ///
    /// # async fn example(client: Client) -> talos_client::Result<()> {
    /// let mut lines = client
    ///     .nodes(["10.5.0.2", "10.5.0.3"])?
    ///     .streams(|node| async move { Ok(node.logs("kubelet").follow(true).send().await?.lines()) });
    /// while let Some((node, line)) = lines.next_item().await {
    ///     println!("{node}: {}", line?);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn streams<S, T, E, F, Fut>(self, open: F) -> NodeStreams<S, Fut>
    where
        F: FnMut(Node) -> Fut,
        Fut: Future<Output = Result<S, E>>,
        S: Stream<Item = Result<T, E>>,
    {
        NodeStreams::open(self.nodes, open)
    }

    fn names(&self) -> Vec<NodeName> {
        self.nodes.iter().map(|node| node.name().clone()).collect()
    }
}

impl FromIterator<Node> for Nodes {
    /// Names that come twice count once.
    fn from_iter<I: IntoIterator<Item = Node>>(nodes: I) -> Self {
        let mut seen = HashSet::new();
        let nodes = nodes.into_iter().filter(|node| seen.insert(node.name().clone()));
        Self {
            nodes: nodes.collect(),
            concurrency: NonZeroUsize::new(Self::DEFAULT_CONCURRENCY).unwrap_or(NonZeroUsize::MIN),
        }
    }
}

impl<'a> IntoIterator for &'a Nodes {
    type Item = &'a Node;
    type IntoIter = std::slice::Iter<'a, Node>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T, F, Fut> NodeResults<F, Fut>
where
    F: FnMut(Node) -> Fut,
    Fut: Future<Output = T>,
{
    /// The next result, with the node it is from; `None` when all nodes have one.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn next_result(&mut self) -> Option<(NodeName, T)> {
        std::future::poll_fn(|cx| self.poll_result(cx)).await
    }

    fn poll_result(&mut self, cx: &mut Context<'_>) -> Poll<Option<(NodeName, T)>> {
        while self.running.len() < self.concurrency.get()
            && let Some(node) = self.waiting.next()
        {
            let name = node.name().clone();
            self.running.push(Tagged {
                node: Some(name),
                future: Box::pin((self.make)(node)),
            });
        }
        Pin::new(&mut self.running).poll_next(cx)
    }
}

impl<T, F, Fut> Stream for NodeResults<F, Fut>
where
    F: FnMut(Node) -> Fut + Unpin,
    Fut: Future<Output = T>,
{
    type Item = (NodeName, T);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_result(cx)
    }
}

impl<Fut: Future> Future for Tagged<Fut> {
    type Output = (NodeName, Fut::Output);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let output = ready!(self.future.as_mut().poll(cx));
        match self.node.take() {
            Some(node) => Poll::Ready((node, output)),
            // It is not polled again after its end.
            None => Poll::Pending,
        }
    }
}

impl<F, Fut> fmt::Debug for NodeResults<F, Fut> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeResults")
            .field("waiting", &self.waiting.len())
            .field("running", &self.running.len())
            .finish_non_exhaustive()
    }
}
