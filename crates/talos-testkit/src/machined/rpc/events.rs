//! `Events`: what happened and what happens on the machine.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use prost_types::Any;
use talos_proto::machine::{Event, EventsRequest};
use tonic::Status;

use super::{Call, Items};
use crate::node::events::{BusEvent, Start};

/// Replies start with a message without contents, after which even bad options are reported.
pub(in crate::machined) async fn events(call: Call, request: EventsRequest) -> Result<Items<Event>, Status> {
    let bus = Arc::clone(&call.node.events);
    let hello = Event {
        metadata: None,
        data: Some(Any::default()),
        id: bus.fresh_id().to_string(),
        actor_id: request.with_actor_id.clone(),
    };
    let reader = start_of(&request).map(|start| bus.read(start));
    let actor = request.with_actor_id;
    let rest = match reader {
        Err(status) => stream::iter([Err(status)]).left_stream(),
        Ok(reader) => stream::unfold((reader, actor), |(mut reader, actor)| async move {
            loop {
                let event = reader.next().await?;
                if actor.is_empty() || event.actor == actor {
                    return Some((Ok(on_the_wire(&event)), (reader, actor)));
                }
            }
        })
        .right_stream(),
    };
    Ok(Box::pin(stream::iter([Ok(hello)]).chain(rest)))
}

fn on_the_wire(event: &BusEvent) -> Event {
    let data = Any {
        type_url: format!("talos/runtime/{}", event.payload.name),
        value: event.payload.value.to_vec(),
    };
    Event {
        metadata: None,
        data: Some(data),
        id: event.id.to_string(),
        actor_id: event.actor.clone(),
    }
}

/// At most one option says where to begin. They are looked at in the order events, id, seconds.
fn start_of(request: &EventsRequest) -> Result<Start, Status> {
    let after = match request.tail_id.as_str() {
        "" => None,
        id => {
            let id = id.parse();
            let id = id.map_err(|error| Status::unknown(format!("error parsing tail_id: {error}")))?;
            Some(Start::After(id))
        }
    };
    let last = match request.tail_events {
        0 => None,
        count => Some(u64::try_from(count).map_or(Start::Oldest, Start::Last)),
    };
    let younger = match request.tail_seconds {
        0 => None,
        seconds => Some(Start::Younger(Duration::from_secs(
            u64::try_from(seconds).unwrap_or_default(),
        ))),
    };
    let clash = |option: &str, others: &str| {
        let text = format!("{option} can't be specified at the same time with {others}");
        Err(Status::unknown(text))
    };
    match (last, after, younger) {
        (Some(_), Some(_), _) => clash("WithTailID", "WithTailEvents or WithTailDuration"),
        (Some(_), _, Some(_)) | (_, Some(_), Some(_)) => {
            clash("WithTailDuration", "WithTailEvents or WithTailID")
        }
        (last, after, younger) => Ok(last.or(after).or(younger).unwrap_or(Start::Now)),
    }
}
