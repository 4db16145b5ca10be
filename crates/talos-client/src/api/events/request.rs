//! Asking for events.

use std::time::Duration;

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use super::{EventFeed, EventId, EventStream};
use crate::{
    Node,
    call::{Kind, Target, request},
    error::Result,
};

/// Where a stream of events begins. Talos takes one of these, and fails after the first message for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    Now,
    All,
    Last(u32),
    After(EventId),
    Within(Duration),
}

/// What is asked of the node.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(super) position: Position,
    pub(super) actor: Option<String>,
}

request! {
    /// Which events to send; made by [`Node::events`].
    ///
    /// Of the methods that say where to begin, the last one counts. Nodes keep about a thousand events, and none
    /// across a reboot.
    pub struct EventsRequest(Subscription) {
        /// Begins with everything that is kept. Default: with the next event.
        fn all(subscription) {
            subscription.position = Position::All;
        }

        /// Begins with the last `count` events. They are counted before [`EventsRequest::actor`] sorts out.
        fn last(subscription, count: u32) {
            subscription.position = Position::Last(count);
        }

        /// Begins after the event of this id; if it is not kept any more, with the oldest that is.
        fn after(subscription, id: EventId) {
            subscription.position = Position::After(id);
        }

        /// Begins with the events of the last time, to the second; parts of a second count as a whole one.
        fn within(subscription, time: Duration) {
            subscription.position = Position::Within(time);
        }

        /// Only events that this actor caused: the id that reboot, shutdown, reset and upgrade return. Events of
        /// services and of the machine's stage have no actor, so they do not come.
        fn actor(subscription, id: impl Into<String>) {
            subscription.actor = Some(id.into());
        }
    }

    /// Opens the stream, and waits for the node to say that it has begun: what happens from now on is in it.
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty actor, and every [`ErrorKind`](crate::ErrorKind) of a call; later ones arrive
    /// in the stream.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future or the stream cancels the call.
    send(target, subscription) -> EventStream {
        open(&target, subscription).await
    }
}

pub(super) async fn open(target: &Target, subscription: Subscription) -> Result<EventStream> {
    let method = &methods::EVENTS;
    if subscription.actor.as_deref() == Some("") {
        return Err(target.invalid_input(method, "the actor is empty"));
    }
    let messages = target.open(Kind::Follow, method, subscription.message()).await?;
    EventStream::begin(messages).await
}

impl Subscription {
    fn message(self) -> proto::EventsRequest {
        let mut message = proto::EventsRequest {
            with_actor_id: self.actor.unwrap_or_default(),
            ..Default::default()
        };
        match self.position {
            Position::Now => {}
            Position::All => message.tail_events = -1,
            // More than can be said is everything.
            Position::Last(count) => message.tail_events = count.try_into().unwrap_or(-1),
            Position::After(id) => message.tail_id = id.to_string(),
            Position::Within(time) => {
                let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
                message.tail_seconds = seconds.try_into().unwrap_or(i32::MAX);
            }
        }
        message
    }
}

impl EventsRequest {
    /// The same events for as long as they are wanted: when the connection is lost or the node reboots, the call
    /// is made again, after the last event that came. See [`EventFeed`].
    pub fn reattach(self) -> EventFeed {
        EventFeed::new(self.target, self.message)
    }
}

impl Node {
    /// What happens on this node.
    ///
    /// Upstream: `machine.MachineService/Events` · talosctl events · since Talos 1.7 or older · role os:reader ·
    /// read-only
    pub fn events(&self) -> EventsRequest {
        let subscription = Subscription {
            position: Position::Now,
            actor: None,
        };
        EventsRequest::new(self.target(), subscription)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_position_goes_onto_the_wire() {
        let id: EventId = "9m4e2mr0ui3e8a215n4g".parse().expect("an id");
        let millisecond = Duration::from_millis(1);
        for (position, expected) in [
            (Position::Now, (0, "", 0)),
            (Position::All, (-1, "", 0)),
            (Position::Last(0), (0, "", 0)),
            (Position::Last(7), (7, "", 0)),
            (Position::Last(u32::MAX), (-1, "", 0)),
            (Position::After(id), (0, "9m4e2mr0ui3e8a215n4g", 0)),
            (Position::Within(millisecond), (0, "", 1)),
            (Position::Within(2000 * millisecond), (0, "", 2)),
            (Position::Within(Duration::MAX), (0, "", i32::MAX)),
        ] {
            let message = Subscription {
                position,
                actor: None,
            }
            .message();
            let sent = (
                message.tail_events,
                message.tail_id.as_str(),
                message.tail_seconds,
            );
            assert_eq!(sent, expected, "{position:?}");
        }
    }
}
