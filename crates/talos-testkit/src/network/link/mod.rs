//! One connection of a client to an endpoint, seen from below HTTP/2: it can be silenced, cut and told to go
//! away, and its pings are policed as grpc-go polices them.

mod frames;
mod line;
mod pings;
mod tap;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::sync::Guarded;
pub(crate) use line::Line;
pub(crate) use tap::Tap;

/// Control over one connection.
#[derive(Debug)]
pub(crate) struct Link {
    state: Guarded<State>,
    /// Bytes of reply bodies that were handed to HTTP/2, and those of them that were written.
    queued: AtomicU64,
    written: AtomicU64,
    going_away: Notify,
}

#[derive(Debug, Default)]
struct State {
    silent: bool,
    cut: bool,
    cut_after: Option<u64>,
    /// The task that serves the connection.
    line: Option<Waker>,
    /// Tasks that wait for something to have been written.
    waiting: Vec<Waker>,
}

impl Link {
    pub(crate) fn new() -> Self {
        Self {
            state: Guarded::default(),
            queued: AtomicU64::new(0),
            written: AtomicU64::new(0),
            going_away: Notify::new(),
        }
    }

    /// Lets nothing through in either direction, or everything again.
    pub(crate) fn silence(&self, silent: bool) {
        self.change(|state| state.silent = silent);
    }

    /// Breaks the connection.
    pub(crate) fn cut(&self) {
        self.change(|state| state.cut = true);
    }

    /// Breaks the connection after `count` more bytes towards the client.
    pub(crate) fn cut_after(&self, count: u64) {
        self.change(|state| state.cut_after = Some(count));
    }

    /// Lets the connection take no more calls.
    pub(crate) fn go_away(&self) {
        self.going_away.notify_one();
    }

    /// Waits for [`Self::go_away`].
    pub(crate) async fn told_to_go(&self) {
        self.going_away.notified().await;
    }

    /// Notes that `bytes` of a reply's body go to HTTP/2.
    pub(crate) fn enqueue(&self, bytes: usize) {
        self.queued.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes of reply bodies that have gone to HTTP/2.
    pub(crate) fn queued(&self) -> u64 {
        self.queued.load(Ordering::Relaxed)
    }

    /// Waits until `target` bytes of reply bodies have been written.
    pub(crate) fn poll_written(&self, cx: &mut Context<'_>, target: u64) -> Poll<()> {
        let mut state = self.state.lock();
        if state.cut || self.written.load(Ordering::Relaxed) >= target {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn wrote(&self, bytes: u64) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let (line, waiting) = {
            let mut state = self.state.lock();
            change(&mut state);
            (state.line.take(), std::mem::take(&mut state.waiting))
        };
        line.into_iter().chain(waiting).for_each(Waker::wake);
    }
}

/// The connections that a cluster has right now, by number.
#[derive(Debug, Default)]
pub(crate) struct Links {
    links: Guarded<HashMap<u64, (usize, Arc<Link>)>>,
    next: AtomicU64,
    /// Wakes whoever waits for connections to end.
    gone: Notify,
}

impl Links {
    /// Adds a connection to the node with index `node`, until the guard is dropped.
    pub(crate) fn add(self: &Arc<Self>, node: usize, link: Arc<Link>) -> Registered {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        self.links.lock().insert(number, (node, link));
        Registered {
            links: Arc::clone(self),
            number,
        }
    }

    /// All connections to the node with index `node`.
    pub(crate) fn of(&self, node: usize) -> Vec<Arc<Link>> {
        let links = self.links.lock();
        let found = links.values().filter(|(to, _)| *to == node);
        found.map(|(_, link)| Arc::clone(link)).collect()
    }

    /// Waits until there is no connection to the node with index `node`.
    pub(crate) async fn until_none(&self, node: usize) {
        loop {
            let mut gone = pin!(self.gone.notified());
            gone.as_mut().enable();
            if self.of(node).is_empty() {
                return;
            }
            gone.await;
        }
    }

    /// Calls `visit` for every connection.
    pub(crate) fn each(&self, mut visit: impl FnMut(usize, &Link)) {
        self.links
            .lock()
            .values()
            .for_each(|(node, link)| visit(*node, link));
    }
}

/// The entry of a connection in [`Links`].
#[derive(Debug)]
pub(crate) struct Registered {
    links: Arc<Links>,
    pub(crate) number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.links.links.lock().remove(&self.number);
        self.links.gone.notify_waiters();
    }
}
