//! Watches: what happens to objects, as it happens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;

use super::core::{Kubernetes, Signal};
use super::failure::Failure;
use super::kind::Kind;
use super::query::Query;
use super::route::ObjectPath;
use super::selector::Selection;
use super::state::State;
use super::store::{Change, Event};

/// How often a bookmark comes by itself.
const BOOKMARKS: Duration = Duration::from_secs(60);

/// One watch.
#[derive(Debug)]
pub(super) struct Watch {
    kind: Kind,
    namespace: Option<String>,
    selection: Selection,
    /// The latest change that has been looked at.
    version: u64,
    queue: VecDeque<Bytes>,
    signals: watch::Receiver<Signal>,
    begun: Signal,
    bookmarks: bool,
    next_bookmark: Instant,
    deadline: Option<Instant>,
    over: bool,
}

impl Watch {
    pub(super) fn begin(kubernetes: &Kubernetes, path: &ObjectPath, query: &Query) -> Result<Self, Failure> {
        let fields = match &path.name {
            Some(name) => format!("metadata.name={name}"),
            None => query.get("fieldSelector").to_owned(),
        };
        let selection = Selection::parse(path.kind, query.get("labelSelector"), &fields)?;
        let limit = query.seconds("timeoutSeconds")?;
        let wanted = query.number("resourceVersion")?.filter(|version| *version > 0);
        let initial = query.is_set("sendInitialEvents");
        if initial && query.get("resourceVersionMatch") != "NotOlderThan" {
            return Err(Failure::bad_request(
                "resourceVersionMatch must be NotOlderThan where sendInitialEvents is set",
            ));
        }
        let signals = kubernetes.signals();
        let state = kubernetes.look();
        let now = Instant::now();
        let begun = *signals.borrow();
        let mut watch = Self {
            kind: path.kind,
            namespace: path.namespace.clone(),
            selection,
            version: wanted.unwrap_or_else(|| state.store.version()),
            queue: VecDeque::new(),
            signals,
            begun,
            bookmarks: query.is_set("allowWatchBookmarks"),
            next_bookmark: now + BOOKMARKS,
            deadline: limit.map(|limit| now + limit),
            over: false,
        };
        // Without a version everything that is there comes first.
        if wanted.is_none() || initial {
            watch.version = state.store.version();
            let here = state
                .store
                .of(path.kind)
                .filter(|(key, _)| watch.is_here(&key.namespace));
            let matching = here.filter(|(_, object)| watch.selection.matches(object));
            let events = matching.map(|(_, object)| line("ADDED", object)).collect();
            watch.queue = events;
            if initial && watch.bookmarks {
                watch.queue.push_back(watch.bookmark(true));
            }
        }
        Ok(watch)
    }

    fn is_here(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
    }

    /// The next piece of the stream; `None` when it is over.
    pub(super) async fn next(&mut self, kubernetes: &Arc<Kubernetes>) -> Option<Bytes> {
        loop {
            if let Some(line) = self.queue.pop_front() {
                return Some(line);
            }
            if self.over {
                return None;
            }
            let signal = *self.signals.borrow_and_update();
            self.collect(&kubernetes.state());
            if !self.queue.is_empty() {
                continue;
            }
            if signal.ends != self.begun.ends {
                self.over = true;
                continue;
            }
            if signal.bookmarks != self.begun.bookmarks {
                self.begun.bookmarks = signal.bookmarks;
                if self.bookmarks {
                    self.queue.push_back(self.bookmark(false));
                    continue;
                }
            }
            let deadline = self.deadline;
            let limit = async move {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                changed = self.signals.changed() => self.over = changed.is_err(),
                () = limit => {
                    self.over = true;
                    if self.bookmarks {
                        self.queue.push_back(self.bookmark(false));
                    }
                }
                () = tokio::time::sleep_until(self.next_bookmark), if self.bookmarks => {
                    self.next_bookmark = Instant::now() + BOOKMARKS;
                    self.queue.push_back(self.bookmark(false));
                }
            }
        }
    }

    /// Takes over what has happened since the last time.
    fn collect(&mut self, state: &State) {
        if !state.store.remembers(self.version) {
            let gone = format!(
                "too old resource version: {} ({})",
                self.version,
                state.store.version()
            );
            self.queue
                .push_back(line("ERROR", &Failure::expired(gone).body()));
            self.over = true;
            return;
        }
        let events = state
            .store
            .since(self.version)
            .filter(|event| event.key.kind == self.kind);
        let here = events.filter(|event| self.is_here(&event.key.namespace));
        let lines: Vec<Bytes> = here.filter_map(|event| self.seen(event)).collect();
        self.queue.extend(lines);
        self.version = self.version.max(state.store.version());
    }

    /// What a change looks like to somebody who sees only what the selection matches.
    fn seen(&self, event: &Event) -> Option<Bytes> {
        let matches = |object: &Arc<Value>| self.selection.matches(object);
        let before = event.before.as_ref().is_some_and(matches);
        let after = event.change != Change::Deleted && matches(&event.object);
        match (before, after) {
            (false, true) => Some(line("ADDED", &event.object)),
            (true, true) => Some(line("MODIFIED", &event.object)),
            (true, false) => Some(line("DELETED", &event.object)),
            (false, false) => None,
        }
    }

    fn bookmark(&self, initial: bool) -> Bytes {
        let mut metadata = json!({"resourceVersion": self.version.to_string(), "creationTimestamp": null});
        if initial {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = json!({
            "kind": self.kind.names().kind,
            "apiVersion": self.kind.api_version(),
            "metadata": metadata,
        });
        line("BOOKMARK", &object)
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    let mut line = json!({"type": kind, "object": object}).to_string();
    line.push('\n');
    line.into()
}
