//! `Watch`: what is there, then what changes.

use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::stream;
use talos_proto::cosi::resource::{
    Event, EventType, Metadata, Resource, Spec, WatchOptions, WatchRequest, WatchResponse,
};
use tokio::sync::watch;
use tonic::Status;

use super::filter::Filter;
use crate::machined::Items;
use crate::node::resources::bookmark::Bookmark;
use crate::node::resources::collection::{Change, Collection, Position, Read, id_of};

/// The oldest request format that knows bootstrapped and errored events.
const FIRST_API_VERSION: i32 = 1;

/// Events of the collection; `cookie` goes into its bookmarks.
pub(crate) fn watch(
    collection: Arc<Collection>,
    cookie: u64,
    request: WatchRequest,
) -> Result<Items<WatchResponse>, Status> {
    let watcher = Watcher::new(collection, cookie, request)?;
    // The first message is empty: it tells the client that it is subscribed.
    let subscribed = stream::iter([Ok(WatchResponse::default())]);
    let events = stream::unfold(watcher, |mut watcher| async move {
        let event = watcher.next().await;
        Some((Ok(WatchResponse { event }), watcher))
    });
    Ok(Box::pin(stream::StreamExt::chain(subscribed, events)))
}

struct Watcher {
    collection: Arc<Collection>,
    changes: watch::Receiver<Position>,
    namespace: String,
    kind: String,
    /// The one resource that is watched, or all.
    id: Option<String>,
    filter: Filter,
    cookie: u64,
    knows_new_events: bool,
    aggregated: bool,
    position: Position,
    pending: VecDeque<Event>,
    /// An errored watch stays open and says nothing more.
    errored: bool,
}

impl Watcher {
    fn new(collection: Arc<Collection>, cookie: u64, request: WatchRequest) -> Result<Self, Status> {
        let options = request.options.unwrap_or_default();
        check(request.id.is_some(), &options)?;
        let mut watcher = Self {
            changes: collection.changes(),
            collection,
            namespace: request.namespace,
            kind: request.r#type,
            id: request.id,
            filter: Filter::new(options.label_query, options.id_query.as_ref())?,
            cookie,
            knows_new_events: request.api_version >= FIRST_API_VERSION,
            aggregated: options.aggregated,
            position: 0,
            pending: VecDeque::new(),
            errored: false,
        };
        let snapshot = watcher.collection.snapshot();
        watcher.position = snapshot.position;
        if let Some(bookmark) = options.start_from_bookmark {
            let next = Bookmark::decode(&bookmark, cookie);
            let next = next.and_then(|bookmark| watcher.collection.after(bookmark));
            watcher.position = next.ok_or_else(|| Status::failed_precondition("invalid watch bookmark"))?;
        } else if let Ok(count @ 1..) = u64::try_from(options.tail_events) {
            watcher.position = watcher.collection.tail(count, watcher.id.as_deref());
        } else if let Some(id) = watcher.id.clone() {
            let current = snapshot
                .resources
                .into_iter()
                .find(|resource| id_of(resource) == id);
            watcher.pending.push_back(match current {
                Some(resource) => event(EventType::Created, Some((*resource).clone())),
                None => event(EventType::Destroyed, Some(watcher.tombstone(id))),
            });
        } else if options.bootstrap_contents {
            let matching = snapshot
                .resources
                .into_iter()
                .filter(|resource| watcher.filter.matches(resource));
            watcher
                .pending
                .extend(matching.map(|resource| event(EventType::Created, Some((*resource).clone()))));
            if watcher.knows_new_events {
                watcher.pending.push_back(watcher.marker(EventType::Bootstrapped));
            }
        } else if options.bootstrap_bookmark {
            watcher.pending.push_back(watcher.marker(EventType::Noop));
        }
        Ok(watcher)
    }

    /// The events of the next message; waits until there is one.
    async fn next(&mut self) -> Vec<Event> {
        loop {
            self.changes.mark_unchanged();
            while self.pending.is_empty() || self.aggregated {
                if self.errored || !self.advance() {
                    break;
                }
            }
            if self.aggregated && !self.pending.is_empty() {
                return self.pending.drain(..).collect();
            }
            if let Some(event) = self.pending.pop_front() {
                return vec![event];
            }
            if self.errored || self.changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Reads one change from the collection; `false` if there is none.
    fn advance(&mut self) -> bool {
        match self.collection.read(self.position) {
            Read::Nothing => return false,
            Read::Next { change, position } => {
                self.position = position + 1;
                let bookmark = Bookmark::at(position).encode(self.cookie);
                let event = self.visible(change).map(|event| Event {
                    bookmark: Some(bookmark),
                    ..event
                });
                self.pending.extend(event);
            }
            Read::Overrun { written, capacity } => {
                self.errored = true;
                if self.knows_new_events {
                    let error = format!(
                        "buffer overrun: namespace \"{}\" type \"{}\", write pos {written}, pos {}, capacity \
                         {capacity}",
                        self.namespace, self.kind, self.position
                    );
                    self.pending.push_back(Event {
                        error: Some(error),
                        ..event(EventType::Errored, None)
                    });
                }
            }
        }
        true
    }

    /// The change as this watcher sees it: an update across the edge of its filter is a creation or a
    /// destruction to it.
    fn visible(&self, change: Change) -> Option<Event> {
        if self
            .id
            .as_deref()
            .is_some_and(|id| id != id_of(change.resource()))
        {
            return None;
        }
        let seen = |resource: &Resource| self.filter.matches(resource);
        let event = |kind, resource: Arc<Resource>| event(kind, Some(Arc::unwrap_or_clone(resource)));
        match change {
            Change::Created(new) => seen(&new).then(|| event(EventType::Created, new)),
            Change::Destroyed(last) => seen(&last).then(|| event(EventType::Destroyed, last)),
            Change::Updated { old, new } => match (seen(&old), seen(&new)) {
                (true, true) => Some(Event {
                    old: Some((*old).clone()),
                    ..event(EventType::Updated, new)
                }),
                (false, true) => Some(event(EventType::Created, new)),
                (true, false) => Some(event(EventType::Destroyed, new)),
                (false, false) => None,
            },
        }
    }

    /// An event without a resource of its own that carries the current bookmark.
    fn marker(&self, kind: EventType) -> Event {
        let bookmark = Bookmark::before(self.position).encode(self.cookie);
        Event {
            bookmark: Some(bookmark),
            ..event(kind, Some(self.tombstone(String::new())))
        }
    }

    /// What stands for a resource that does not exist.
    fn tombstone(&self, id: String) -> Resource {
        let metadata = Metadata {
            namespace: self.namespace.clone(),
            r#type: self.kind.clone(),
            id,
            version: "undefined".to_owned(),
            phase: "running".to_owned(),
            ..Metadata::default()
        };
        Resource {
            metadata: Some(metadata),
            spec: Some(Spec::default()),
        }
    }
}

fn event(kind: EventType, resource: Option<Resource>) -> Event {
    Event {
        resource,
        event_type: kind.into(),
        ..Event::default()
    }
}

/// Options that do not go together.
fn check(single: bool, options: &WatchOptions) -> Result<(), Status> {
    if single && options.bootstrap_contents {
        return Err(Status::unimplemented(
            "bootstrap contents is not implemented for resource watch",
        ));
    }
    if single && !options.label_query.is_empty() {
        return Err(Status::unimplemented(
            "label query is not implemented for resource watch",
        ));
    }
    let clash = |one: &str, other: &str| Err(Status::unknown(format!("cannot use {one} with {other}")));
    let tail = options.tail_events > 0;
    match (
        tail,
        options.start_from_bookmark.is_some(),
        options.bootstrap_contents,
    ) {
        (true, true, _) => clash("tail events", "start from bookmark"),
        (true, _, true) => clash("tail events", "bootstrap contents"),
        (_, true, true) => clash("start from bookmark", "bootstrap contents"),
        _ => Ok(()),
    }
}
