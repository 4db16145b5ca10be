//! Resources of several nodes at once.

use std::{
    fmt,
    future::IntoFuture,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use futures_core::Stream;
use talos_transport::NodeName;

use super::{Item, ListRequest, Object, Resource, Watch, WatchEvent};
use crate::{Node, error::Result};

/// Nodes that are asked at the same time, each by a call of its own.
///
/// ```no_run
/// # #[cfg(feature = "def-runtime")]
/// # async fn example(client: talos_client::Client) -> talos_client::Result<()> {
/// use talos_client::resource::{ManyNodes, runtime::MachineStatus};
///
/// let nodes = ManyNodes::new([client.node("10.5.0.2")?, client.node("10.5.0.3")?]);
/// for (node, status) in nodes.list::<MachineStatus>().await {
///     match status {
///         Ok(found) => println!("{node}: {found:?}"),
///         Err(error) => println!("{node}: {error:#}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ManyNodes {
    nodes: Vec<Node>,
    at_once: usize,
}

/// A list that is on its way.
type Pending<R> = <ListRequest<Object<R>> as IntoFuture>::IntoFuture;

/// The answer of each node.
type Answers<R> = Vec<(NodeName, Result<Vec<Object<R>>>)>;

impl ManyNodes {
    /// These nodes.
    pub fn new(nodes: impl IntoIterator<Item = Node>) -> Self {
        Self {
            nodes: nodes.into_iter().collect(),
            at_once: 64,
        }
    }

    /// How many nodes are asked at a time, at least 1. Default: 64. Watches are open on all of them.
    #[must_use]
    pub const fn at_once(mut self, count: usize) -> Self {
        self.at_once = if count == 0 { 1 } else { count };
        self
    }

    /// The resources of this type on each node, in the order of the nodes. A node that fails has its error, and the
    /// others their answers.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the calls.
    ///
    /// Upstream: `cosi.resource.State/List` · talosctl get TYPE --nodes · since Talos 1.7 or older · role os:reader,
    /// os:admin for sensitive types · read-only
    pub async fn list<R: Resource>(&self) -> Answers<R> {
        let mut waiting = self.nodes.iter().enumerate();
        let mut running: Vec<(usize, Pending<R>)> = Vec::new();
        let mut answers: Vec<Option<Result<Vec<Object<R>>>>> = self.nodes.iter().map(|_| None).collect();
        std::future::poll_fn(|cx| {
            loop {
                while running.len() < self.at_once {
                    let Some((index, node)) = waiting.next() else {
                        break;
                    };
                    let call = IntoFuture::into_future(node.resources().list::<R>());
                    running.push((index, call));
                }
                let before = running.len();
                running.retain_mut(|(index, call)| match call.as_mut().poll(cx) {
                    Poll::Pending => true,
                    Poll::Ready(answer) => {
                        answers[*index] = Some(answer);
                        false
                    }
                });
                if running.is_empty() && waiting.len() == 0 {
                    return Poll::Ready(());
                }
                if running.len() == before {
                    return Poll::Pending;
                }
            }
        })
        .await;
        let names = self.nodes.iter().map(|node| node.name().clone());
        names
            .zip(answers)
            .filter_map(|(name, answer)| Some((name, answer?)))
            .collect()
    }

    /// One stream of what becomes of the resources of this type on all nodes.
    ///
    /// Upstream: `cosi.resource.State/Watch` · talosctl get TYPE --watch --nodes · since Talos 1.7 or older · role
    /// os:reader, os:admin for sensitive types · read-only
    pub fn watch<R: Resource>(&self) -> ManyWatch<Object<R>> {
        let mut many = ManyWatch::new();
        for node in &self.nodes {
            many.add(node.name().clone(), node.resources().watch::<R>().start());
        }
        many
    }
}

/// Watches of several nodes as one stream; nodes may join and leave. Each item has the name of its node.
///
/// The stream never ends: without watches it waits for one to be added. A watch that has ended with an error is
/// removed after it.
#[must_use = "streams do nothing unless polled"]
pub struct ManyWatch<T> {
    watches: Vec<(NodeName, Watch<T>)>,
    /// Where the next look begins, so that a busy node does not keep the others from being heard.
    next: usize,
    waker: Option<Waker>,
}

impl<T: Item> ManyWatch<T> {
    /// No watches.
    pub const fn new() -> Self {
        Self {
            watches: Vec::new(),
            next: 0,
            waker: None,
        }
    }

    /// Adds the watch of a node, in place of one of the same name.
    pub fn add(&mut self, node: NodeName, watch: Watch<T>) {
        self.remove(&node);
        self.watches.push((node, watch));
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Ends the watch of a node and says whether there was one.
    pub fn remove(&mut self, node: &NodeName) -> bool {
        let before = self.watches.len();
        self.watches.retain(|(name, _)| name != node);
        self.watches.len() < before
    }

    /// The nodes that are watched.
    pub fn nodes(&self) -> impl Iterator<Item = &NodeName> {
        self.watches.iter().map(|(name, _)| name)
    }

    /// The next event of any node.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn next_event(&mut self) -> (NodeName, Result<WatchEvent<T>>) {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(NodeName, Result<WatchEvent<T>>)> {
        let mut looks = self.watches.len();
        while looks > 0 && !self.watches.is_empty() {
            looks -= 1;
            let index = self.next % self.watches.len();
            let (name, watch) = &mut self.watches[index];
            match Pin::new(watch).poll_next(cx) {
                Poll::Pending => self.next = index + 1,
                Poll::Ready(Some(event)) => {
                    let name = name.clone();
                    self.next = index + 1;
                    return Poll::Ready((name, event));
                }
                Poll::Ready(None) => {
                    drop(self.watches.remove(index));
                }
            }
        }
        self.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<T: Item> Default for ManyWatch<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: Item> Stream for ManyWatch<T> {
    type Item = (NodeName, Result<WatchEvent<T>>);

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_event(cx).map(Some)
    }
}

impl<T> fmt::Debug for ManyWatch<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nodes: Vec<_> = self.watches.iter().map(|(name, _)| name).collect();
        f.debug_struct("ManyWatch")
            .field("nodes", &nodes)
            .finish_non_exhaustive()
    }
}
