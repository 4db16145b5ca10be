//! An event.

use talos_proto::machine as proto;

use super::{EventId, EventPayload};

/// Something that happened on a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    id: Option<EventId>,
    payload: EventPayload,
    raw: Box<proto::Event>,
}

impl Event {
    pub(crate) fn new(raw: proto::Event) -> Self {
        Self {
            id: raw.id.parse().ok(),
            payload: EventPayload::of(raw.data.as_ref()),
            raw: Box::new(raw),
        }
    }

    /// Its id, by which a stream can go on after it. `None` where the node sent something else, which no node
    /// should.
    pub fn id(&self) -> Option<EventId> {
        self.id
    }

    /// Who caused it: the id that reboot, shutdown, reset and upgrade return. `None` for what nobody asked for.
    pub fn actor_id(&self) -> Option<&str> {
        Some(self.raw.actor_id.as_str()).filter(|actor| !actor.is_empty())
    }

    /// What happened.
    pub fn payload(&self) -> &EventPayload {
        &self.payload
    }

    /// What happened, by value.
    pub fn into_payload(self) -> EventPayload {
        self.payload
    }

    /// The message as it came.
    pub fn into_inner(self) -> proto::Event {
        *self.raw
    }
}
