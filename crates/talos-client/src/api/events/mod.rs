//! What happens on a node: sequences, services, its stage.
//!
//! [`Node::events`](crate::Node::events) opens a stream of events. [`EventsRequest::send`] ends with the call;
//! [`EventsRequest::reattach`] makes the call again when the connection is lost or the node reboots, and says
//! where events may be missing.
//!
//! ```no_run
//! use talos_client::api::events::EventPayload;
//!
//! # async fn example(node: talos_client::Node) -> talos_client::Result<()> {
//! let mut events = node.events().last(10).send().await?;
//! while let Some(event) = events.next_event().await {
//!     if let EventPayload::MachineStatus(status) = event?.payload() {
//!         println!("{} ready: {}", status.stage, status.ready);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod event;
mod feed;
mod id;
mod payload;
mod request;
mod stream;

pub use self::{
    event::Event,
    feed::{EventFeed, EventGap, EventGapReason, EventItem},
    id::{EventId, EventIdError},
    payload::{
        EventPayload, MachineStage, MachineStatusEvent, PhaseAction, RestartCommand, SequenceAction,
        SequenceEvent, SequenceFailure, SequenceFailureKind, ServiceStateEvent, UnmetCondition,
    },
    request::EventsRequest,
    stream::EventStream,
};
