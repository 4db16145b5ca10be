//! Watches: what there is, and what becomes of it.

mod core;
mod pace;
mod stream;

use std::{fmt, marker::PhantomData, time::Duration};

use bytes::Bytes;

use self::{core::Core, pace::Pace};
use super::{Item, Labels, Place, query::Query};
use crate::{CallOptions, call::Target, error::Error};

pub use stream::Watch;

/// What a watch tells.
///
/// A watch of a type begins with a [`Created`](Self::Created) for each resource there is, in the order of ids, and
/// [`Bootstrapped`](Self::Bootstrapped); a watch of one resource with `Created` or [`Absent`](Self::Absent). After
/// [`Restarted`](Self::Restarted) it begins anew.
#[derive(Debug)]
#[non_exhaustive]
pub enum WatchEvent<T> {
    /// A resource is there, or has begun to meet the conditions of the watch.
    Created(T),
    /// A resource has changed.
    Updated {
        /// As it was before; `None` where the node does not say, or where that does not decode.
        old: Option<Box<T>>,
        /// As it is now.
        new: T,
    },
    /// A resource is gone, or no longer meets the conditions of the watch; this is its last state.
    Destroyed(T),
    /// The one resource that is watched does not exist.
    Absent,
    /// All that was there has been told; from here on come changes.
    Bootstrapped,
    /// The connection is lost, or the node has ended the watch; it is being resumed. If nothing else is
    /// told, nothing was missed.
    Interrupted(Error),
    /// What was told before is void, because changes may have been missed: the node has rebooted, or more has
    /// changed than it remembers. Everything that there is follows.
    ///
    /// Keep the old state until [`Bootstrapped`](Self::Bootstrapped), or the one event of a watch of one
    /// resource, and then swap it, as a [`Store`](super::Store) does.
    Restarted,
}

/// What to watch; made by [`Resources::watch`](super::Resources::watch) and its like.
#[derive(Clone)]
#[must_use = "nothing is watched before `start`"]
pub struct WatchRequest<T> {
    target: Target,
    place: Place,
    id: Option<String>,
    query: Query,
    start: Start,
    aggregated: bool,
    pace: Pace,
    items: PhantomData<fn() -> T>,
}

/// Where a watch begins.
#[derive(Clone, Debug, PartialEq)]
enum Start {
    /// With what is there.
    Contents,
    /// With the next change.
    Changes,
    /// With the last changes.
    Tail(i32),
    /// After the event of this bookmark.
    Bookmark(Bytes),
}

impl<T: Item> WatchRequest<T> {
    pub(crate) fn all(target: Target, place: Place) -> Self {
        Self {
            target,
            place,
            id: None,
            query: Query::default(),
            start: Start::Contents,
            aggregated: false,
            pace: Pace::default(),
            items: PhantomData,
        }
    }

    pub(crate) fn one(target: Target, place: Place, id: String) -> Self {
        let request = Self::all(target, place);
        Self {
            id: Some(id),
            ..request
        }
    }

    /// In another namespace than the type's default.
    pub fn in_namespace(mut self, namespace: impl Into<String>) -> Self {
        self.place.namespace = namespace.into();
        self
    }

    /// Only those with such labels. Given several times, a resource needs to meet one of them. A watch of one
    /// resource ignores it.
    pub fn labels(mut self, labels: Labels) -> Self {
        self.query.labels(labels);
        self
    }

    /// Only those whose id has a match for this expression; see
    /// [`ListRequest::ids_matching`](super::ListRequest::ids_matching). A watch of one resource ignores it.
    pub fn ids_matching(mut self, regexp: impl Into<String>) -> Self {
        self.query.ids_matching(regexp.into());
        self
    }

    /// Without what is there already. [`WatchEvent::Restarted`] then only says that changes were missed. No
    /// effect on a watch of one resource.
    pub fn only_changes(mut self) -> Self {
        self.start = Start::Changes;
        self
    }

    /// With the last changes that the node remembers in place of what is there, at most `count` of them. The
    /// node counts those that the conditions leave out as well.
    pub fn tail(mut self, count: u32) -> Self {
        self.start = match i32::try_from(count).unwrap_or(i32::MAX) {
            0 => Start::Changes,
            count => Start::Tail(count),
        };
        self
    }

    /// After the event of a bookmark that an earlier watch has given; see [`Watch::bookmark`]. If the node no
    /// longer knows it, the watch begins with [`WatchEvent::Restarted`].
    pub fn resume(mut self, bookmark: impl Into<Bytes>) -> Self {
        self.start = Start::Bookmark(bookmark.into());
        self
    }

    /// Asks the node to put several events into one message where it can. Saves time with many resources.
    /// Default: off.
    pub fn aggregated(mut self, on: bool) -> Self {
        self.aggregated = on;
        self
    }

    /// How long to wait before a lost watch is taken up again: `first`, then half as much again each time, at
    /// most `longest`, each with a random share of up to a half added or taken. Default: 0.5 s and 60 s.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.pace = self.pace.between(first, longest);
        self
    }

    /// Ends the watch with an error once it has been lost for so long. Default: never.
    pub fn give_up_after(mut self, limit: Duration) -> Self {
        self.pace = self.pace.limited(limit);
        self
    }

    /// With these options for each of its calls. What they leave open is as for the handle.
    pub fn with_options(mut self, options: CallOptions) -> Self {
        self.target = self.target.with_options(options);
        self
    }

    /// Begins. Nothing is sent before the watch is polled.
    pub fn start(self) -> Watch<T> {
        let core = Core::new(self.place, self.id, self.query, self.start, self.aggregated);
        Watch::new(self.target, core, self.pace)
    }
}

impl<T> fmt::Debug for WatchRequest<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchRequest")
            .field("place", &self.place)
            .field("id", &self.id)
            .field("query", &self.query)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}
