//! What a watch asks for and what it makes of the answers, without any connection.

use bytes::Bytes;
use talos_proto::cosi::resource::{self as proto, EventType, WatchOptions};

use super::{Start, WatchEvent};
use crate::resource::{
    Item, Place,
    object::{self, Broken},
    query::Query,
};

/// The newest form of the API. Older ones hide events.
const API_VERSION: i32 = 1;

/// The state of a watch.
#[derive(Debug)]
pub(crate) struct Core {
    place: Place,
    id: Option<String>,
    query: Query,
    start: Start,
    aggregated: bool,
    /// The last event of which the node has given a bookmark.
    bookmark: Option<Bytes>,
    /// Whether anything was told, or asked to be resumed, that a new beginning makes void.
    told: bool,
    /// Whether what comes next is a new beginning that has to be announced.
    restarting: bool,
    /// Whether the node has acknowledged this attempt.
    subscribed: bool,
}

/// What to tell about a piece of an answer.
pub(crate) enum Told<T> {
    Event(WatchEvent<T>),
    /// A resource that cannot be used. The watch goes on.
    Broken(Broken),
    /// Nothing more comes on this stream.
    Overrun(String),
    /// The server does not keep to the protocol.
    Nonsense(&'static str),
}

impl Core {
    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn new(
        place: Place,
        id: Option<String>,
        query: Query,
        start: Start,
        aggregated: bool,
    ) -> Self {
        let bookmark = match &start {
            Start::Bookmark(bookmark) => Some(bookmark.clone()),
            _ => None,
        };
        Self {
            place,
            id,
            query,
            told: bookmark.is_some(),
            start,
            aggregated,
            bookmark,
            restarting: false,
            subscribed: false,
        }
    }

    pub(super) fn bookmark(&self) -> Option<&Bytes> {
        self.bookmark.as_ref()
    }

    pub(super) const fn is_single(&self) -> bool {
        self.id.is_some()
    }

    /// The request of the next attempt.
    pub(super) fn request(&mut self) -> proto::WatchRequest {
        self.subscribed = false;
        let single = self.is_single();
        let mut options = WatchOptions {
            aggregated: self.aggregated,
            ..WatchOptions::default()
        };
        if !single {
            options.label_query.clone_from(&self.query.labels);
            options.id_query.clone_from(&self.query.ids);
        }
        if let Some(bookmark) = &self.bookmark {
            options.start_from_bookmark = Some(bookmark.clone());
        } else {
            self.restarting |= self.told;
            match &self.start {
                // What is missing of the tail cannot be told from what was told.
                Start::Tail(count) if !self.told => options.tail_events = *count,
                Start::Contents | Start::Bookmark(_) if !single => options.bootstrap_contents = true,
                Start::Changes | Start::Tail(_) if !single => options.bootstrap_bookmark = true,
                _ => {}
            }
        }
        proto::WatchRequest {
            namespace: self.place.namespace.clone(),
            r#type: self.place.kind.clone(),
            id: self.id.clone(),
            options: Some(options),
            api_version: API_VERSION,
        }
    }

    /// The node does not know the bookmark.
    pub(super) fn refused(&mut self) {
        self.bookmark = None;
    }

    pub(super) const fn has_bookmark(&self) -> bool {
        self.bookmark.is_some()
    }

    /// Whether the node has acknowledged this attempt.
    pub(super) const fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// Takes a message of the node.
    pub(super) fn message<T: Item>(&mut self, message: proto::WatchResponse, mut tell: impl FnMut(Told<T>)) {
        if !self.subscribed {
            self.subscribed = true;
            if self.restarting {
                self.restarting = false;
                tell(Told::Event(WatchEvent::Restarted));
            }
            // From here on changes may be missed, even if none is told.
            self.told |= self.start != Start::Contents;
            if !message.event.is_empty() {
                tell(Told::Nonsense(
                    "the node sent events before it acknowledged the watch",
                ));
            }
            return;
        }
        for event in message.event {
            if let Some(told) = self.event(event) {
                let ends = matches!(told, Told::Overrun(_));
                tell(told);
                if ends {
                    return;
                }
            }
        }
    }

    fn event<T: Item>(&mut self, event: proto::Event) -> Option<Told<T>> {
        if let Some(bookmark) = event.bookmark.filter(|bookmark| !bookmark.is_empty()) {
            self.bookmark = Some(bookmark);
        }
        // A kind that is not known is skipped, as is one that says nothing.
        let kind = EventType::try_from(event.event_type).ok()?;
        let told = match kind {
            EventType::Noop => return None,
            EventType::Errored => {
                self.bookmark = None;
                self.told = true;
                return Some(Told::Overrun(event.error.unwrap_or_default()));
            }
            EventType::Bootstrapped => WatchEvent::Bootstrapped,
            EventType::Destroyed if self.is_single() && is_tombstone(event.resource.as_ref()) => {
                WatchEvent::Absent
            }
            EventType::Created | EventType::Updated | EventType::Destroyed => {
                self.told = true;
                let resource = match object::read(event.resource) {
                    Ok(resource) => resource,
                    Err(broken) => return Some(Told::Broken(broken)),
                };
                match kind {
                    EventType::Created => WatchEvent::Created(resource),
                    EventType::Destroyed => WatchEvent::Destroyed(resource),
                    _ => WatchEvent::Updated {
                        old: event
                            .old
                            .and_then(|old| object::read(Some(old)).ok())
                            .map(Box::new),
                        new: resource,
                    },
                }
            }
        };
        self.told = true;
        Some(Told::Event(told))
    }
}

/// Whether a resource only stands for one that does not exist.
fn is_tombstone(resource: Option<&proto::Resource>) -> bool {
    let metadata = resource.and_then(|resource| resource.metadata.as_ref());
    metadata.is_none_or(|metadata| metadata.version == "undefined")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::DynamicObject;

    fn core(id: Option<&str>, start: Start) -> Core {
        let place = Place {
            namespace: "n".to_owned(),
            kind: "T".to_owned(),
            spelled: true,
        };
        Core::new(place, id.map(str::to_owned), Query::default(), start, false)
    }

    fn event(kind: EventType, id: &str, bookmark: Option<u8>) -> proto::WatchResponse {
        let version = if id.is_empty() { "undefined" } else { "1" };
        let resource = proto::Resource {
            metadata: Some(proto::Metadata {
                id: id.to_owned(),
                version: version.to_owned(),
                ..proto::Metadata::default()
            }),
            spec: Some(proto::Spec::default()),
        };
        let event = proto::Event {
            resource: Some(resource),
            event_type: kind.into(),
            bookmark: bookmark.map(|byte| vec![byte; 16].into()),
            error: (kind == EventType::Errored).then(|| "buffer overrun".to_owned()),
            ..proto::Event::default()
        };
        proto::WatchResponse { event: vec![event] }
    }

    fn take(core: &mut Core, message: proto::WatchResponse) -> Vec<String> {
        let mut told = Vec::new();
        core.message::<DynamicObject>(message, |item| {
            told.push(match item {
                Told::Event(WatchEvent::Created(item)) => format!("+{}", item.metadata.id),
                Told::Event(WatchEvent::Updated { new, .. }) => format!("~{}", new.metadata.id),
                Told::Event(WatchEvent::Destroyed(item)) => format!("-{}", item.metadata.id),
                Told::Event(other) => format!("{other:?}"),
                Told::Broken(broken) => broken.what,
                Told::Overrun(text) => text,
                Told::Nonsense(text) => text.to_owned(),
            });
        });
        told
    }

    fn subscribed(core: &mut Core) -> Vec<String> {
        take(core, proto::WatchResponse::default())
    }

    fn options(core: &mut Core) -> WatchOptions {
        let request = core.request();
        assert_eq!(request.api_version, 1);
        request.options.expect("options")
    }

    #[test]
    fn a_whole_watch_resumes_from_its_last_bookmark_without_a_word() {
        let mut core = core(None, Start::Contents);
        assert!(options(&mut core).bootstrap_contents);
        assert!(subscribed(&mut core).is_empty());
        assert_eq!(take(&mut core, event(EventType::Created, "a", None)), ["+a"]);
        assert_eq!(
            take(&mut core, event(EventType::Bootstrapped, "", Some(1))),
            ["Bootstrapped"]
        );
        assert_eq!(take(&mut core, event(EventType::Updated, "a", Some(2))), ["~a"]);
        let resumed = options(&mut core);
        assert_eq!(resumed.start_from_bookmark, Some(vec![2; 16].into()));
        assert!(!resumed.bootstrap_contents && resumed.tail_events == 0);
        assert!(subscribed(&mut core).is_empty(), "nothing was missed");
        assert_eq!(take(&mut core, event(EventType::Destroyed, "a", Some(3))), ["-a"]);
    }

    #[test]
    fn a_bookmark_that_died_means_a_new_beginning_that_is_announced() {
        let mut core = core(None, Start::Contents);
        core.request();
        subscribed(&mut core);
        take(&mut core, event(EventType::Bootstrapped, "", Some(1)));
        core.request();
        core.refused();
        assert!(options(&mut core).bootstrap_contents);
        assert_eq!(subscribed(&mut core), ["Restarted"]);
        assert_eq!(take(&mut core, event(EventType::Created, "b", None)), ["+b"]);
    }

    #[test]
    fn half_a_beginning_is_begun_again() {
        let mut core = core(None, Start::Contents);
        core.request();
        subscribed(&mut core);
        take(&mut core, event(EventType::Created, "a", None));
        assert!(options(&mut core).bootstrap_contents);
        assert_eq!(subscribed(&mut core), ["Restarted"]);
    }

    #[test]
    fn a_beginning_that_never_came_is_not_announced() {
        let mut core = core(None, Start::Contents);
        core.request();
        assert!(options(&mut core).bootstrap_contents);
        assert!(subscribed(&mut core).is_empty());
    }

    #[test]
    fn an_overrun_is_the_end_of_the_stream_and_of_its_bookmarks() {
        let mut core = core(None, Start::Contents);
        core.request();
        subscribed(&mut core);
        take(&mut core, event(EventType::Bootstrapped, "", Some(1)));
        assert_eq!(
            take(&mut core, event(EventType::Errored, "", None)),
            ["buffer overrun"]
        );
        assert!(options(&mut core).bootstrap_contents);
        assert_eq!(subscribed(&mut core), ["Restarted"]);
    }

    #[test]
    fn a_single_watch_knows_what_does_not_exist_and_begins_again_without_a_bookmark() {
        let mut core = core(Some("a"), Start::Contents);
        let request = core.request();
        assert_eq!(request.id.as_deref(), Some("a"));
        assert!(!request.options.expect("options").bootstrap_contents);
        subscribed(&mut core);
        assert_eq!(take(&mut core, event(EventType::Destroyed, "", None)), ["Absent"]);
        core.request();
        assert_eq!(subscribed(&mut core), ["Restarted"]);
        assert_eq!(take(&mut core, event(EventType::Created, "a", None)), ["+a"]);
        assert_eq!(take(&mut core, event(EventType::Destroyed, "a", Some(4))), ["-a"]);
        assert_eq!(options(&mut core).start_from_bookmark, Some(vec![4; 16].into()));
    }

    #[test]
    fn noops_bring_bookmarks_and_unknown_kinds_nothing() {
        let mut core = core(None, Start::Changes);
        assert!(options(&mut core).bootstrap_bookmark);
        subscribed(&mut core);
        assert!(take(&mut core, event(EventType::Noop, "", Some(9))).is_empty());
        let mut unknown = event(EventType::Noop, "a", None);
        unknown.event[0].event_type = 77;
        assert!(take(&mut core, unknown).is_empty());
        assert_eq!(options(&mut core).start_from_bookmark, Some(vec![9; 16].into()));
    }

    #[test]
    fn events_before_the_handshake_are_nonsense() {
        let mut core = core(None, Start::Contents);
        core.request();
        let told = take(&mut core, event(EventType::Created, "a", None));
        assert_eq!(told, ["the node sent events before it acknowledged the watch"]);
    }

    #[test]
    fn a_given_bookmark_that_died_is_announced_too() {
        let mut core = core(None, Start::Bookmark(Bytes::from_static(&[7; 16])));
        assert!(options(&mut core).start_from_bookmark.is_some());
        core.refused();
        assert!(options(&mut core).bootstrap_contents);
        assert_eq!(subscribed(&mut core), ["Restarted"]);
    }

    #[test]
    fn a_resource_without_metadata_is_told_and_the_watch_goes_on() {
        let mut core = core(None, Start::Contents);
        core.request();
        subscribed(&mut core);
        let mut broken = event(EventType::Created, "a", Some(1));
        broken.event[0].resource = Some(proto::Resource::default());
        assert_eq!(take(&mut core, broken), ["the resource has no metadata"]);
        assert_eq!(take(&mut core, event(EventType::Created, "b", Some(2))), ["+b"]);
    }
}
