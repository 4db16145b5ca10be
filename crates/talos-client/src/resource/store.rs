//! What a watch has told, as a map that can be asked.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{Arc, PoisonError, RwLock},
    task::{Context, Poll},
};

use futures_core::Stream;
use tokio::sync::watch;

use super::{Item, Watch, WatchEvent};
use crate::error::Result;

/// The resources that a watch has told of, by id. Cloning is cheap, and all clones are the same store.
///
/// It is kept up to date by its [`Reflector`], and only while that is polled. It never shows half a beginning: after
/// [`WatchEvent::Restarted`] it keeps the old state until the new one is whole.
///
/// ```no_run
/// # #[cfg(feature = "def-cluster")]
/// # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
/// use talos_client::resource::{Store, cluster::Member};
///
/// let (members, reflector) = Store::new(node.resources().watch::<Member>().start());
/// tokio::spawn(reflector.run());
/// members.ready().await;
/// println!("{} members", members.len());
/// # Ok(())
/// # }
/// ```
pub struct Store<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    items: RwLock<Arc<Items<T>>>,
    /// 0 until the first beginning is whole, then the number of changes.
    changes: watch::Sender<u64>,
}

type Items<T> = BTreeMap<String, Arc<T>>;

impl<T: Item> Store<T> {
    /// A store for this watch, and what keeps it up to date.
    pub fn new(watch: Watch<T>) -> (Self, Reflector<T>) {
        let store = Self {
            shared: Arc::new(Shared {
                items: RwLock::default(),
                changes: watch::Sender::new(0),
            }),
        };
        let reflector = Reflector {
            single: watch.is_single(),
            watch,
            store: store.clone(),
            pending: Some(Items::new()),
        };
        (store, reflector)
    }

    /// The resource with this id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<Arc<T>> {
        self.items().get(id).cloned()
    }

    /// All resources, sorted by id.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<T>> {
        self.items().values().cloned().collect()
    }

    /// All resources by id, as they are now. They share their contents with the store.
    #[must_use]
    pub fn snapshot(&self) -> Arc<BTreeMap<String, Arc<T>>> {
        self.items()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items().is_empty()
    }

    /// Whether the watch has told all that there was.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        *self.shared.changes.borrow() > 0
    }

    /// Waits until the watch has told all that there was; for ever, if the reflector is dropped or has ended before.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn ready(&self) {
        let mut changes = self.shared.changes.subscribe();
        // The store holds the sender.
        let _ = changes.wait_for(|changes| *changes > 0).await;
    }

    /// Wakes whenever something has changed. The number grows with each change.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    fn items(&self) -> Arc<Items<T>> {
        let items = self.shared.items.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&items)
    }

    fn edit(&self, change: impl FnOnce(&mut Items<T>)) {
        {
            let mut items = self.shared.items.write().unwrap_or_else(PoisonError::into_inner);
            // A copy of the map, but not of what is in it, only where somebody holds a snapshot.
            change(Arc::make_mut(&mut items));
        }
        self.shared.changes.send_modify(|changes| *changes += 1);
    }
}

impl<T> Clone for Store<T> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<T> fmt::Debug for Store<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("changes", &*self.shared.changes.borrow())
            .finish_non_exhaustive()
    }
}

/// What has happened to a store.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreEvent {
    /// The store shows a new state.
    Changed,
    /// The watch has told something that changes nothing yet.
    Told,
}

/// Keeps a [`Store`] up to date while it is polled, as a stream or by [`run`](Self::run).
///
/// As a stream it gives an item for each event of the watch, after the store has taken it. Errors are as for
/// [`Watch`]: one about a single resource, which then is missing from the store, or the end.
#[must_use = "streams do nothing unless polled"]
pub struct Reflector<T> {
    watch: Watch<T>,
    store: Store<T>,
    single: bool,
    /// A beginning that is not whole yet.
    pending: Option<Items<T>>,
}

impl<T: Item> Reflector<T> {
    /// Polls the watch until it ends, which may be never.
    ///
    /// # Errors
    ///
    /// The error that ended the watch; those about single resources are passed over.
    pub async fn run(mut self) -> Result<()> {
        let mut last = Ok(());
        while let Some(event) = self.next_event().await {
            last = event.map(drop);
        }
        last
    }

    /// Waits for the next event, and lets the store take it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: nothing is lost.
    pub async fn next_event(&mut self) -> Option<Result<StoreEvent>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    fn take(&mut self, event: WatchEvent<T>) -> StoreEvent {
        match event {
            WatchEvent::Interrupted(_) => StoreEvent::Told,
            WatchEvent::Restarted => {
                self.pending = Some(Items::new());
                StoreEvent::Told
            }
            WatchEvent::Bootstrapped => self.swap(),
            WatchEvent::Absent => {
                self.pending = Some(Items::new());
                self.swap()
            }
            WatchEvent::Created(item) | WatchEvent::Updated { new: item, .. } => {
                let id = item.metadata().id.clone();
                self.change(move |items| {
                    items.insert(id, Arc::new(item));
                })
            }
            WatchEvent::Destroyed(item) => self.change(|items| {
                items.remove(&item.metadata().id);
            }),
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut Items<T>)) -> StoreEvent {
        match &mut self.pending {
            Some(pending) => {
                change(pending);
                // One resource is a whole beginning.
                if self.single {
                    self.swap()
                } else {
                    StoreEvent::Told
                }
            }
            None => {
                self.store.edit(change);
                StoreEvent::Changed
            }
        }
    }

    fn swap(&mut self) -> StoreEvent {
        if let Some(pending) = self.pending.take() {
            self.store.edit(|items| *items = pending);
        }
        StoreEvent::Changed
    }
}

impl<T: Item> Stream for Reflector<T> {
    type Item = Result<StoreEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let event = std::task::ready!(Pin::new(&mut this.watch).poll_next(cx));
        Poll::Ready(event.map(|event| event.map(|event| this.take(event))))
    }
}

impl<T> fmt::Debug for Reflector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reflector").finish_non_exhaustive()
    }
}
