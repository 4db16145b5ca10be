//! Faults of calls.

use std::ops::RangeBounds;
use std::time::Duration;

use bytes::Bytes;
use tonic::{Code, Status};

use super::ending::Ending;
use super::filter::Filter;

/// Where calls are watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Endpoint,
    Hop,
    Node,
}

/// When the ending comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum After {
    /// Instead of the call: what it asks for does not happen.
    #[default]
    Nothing,
    /// After so many messages of the reply.
    Messages(u64),
    /// After so many bytes of the reply's body.
    Bytes(u64),
}

/// A fault of calls: where they are watched, which of them are meant, and what becomes of them.
///
/// Without any method for *what*, a fault changes nothing but counts: see
/// [`FaultHandle::seen`](super::FaultHandle::seen).
#[derive(Debug, Clone)]
#[must_use = "a fault does nothing until it is injected"]
pub struct CallFault {
    pub(crate) place: Place,
    pub(crate) node: Option<String>,
    pub(crate) from: Option<String>,
    pub(crate) filter: Filter,
    pub(crate) delay: Duration,
    pub(crate) pace: Duration,
    pub(crate) messages: Vec<Bytes>,
    pub(crate) ending: Option<Ending>,
    pub(crate) after: After,
    pub(crate) go_away: bool,
}

impl CallFault {
    fn new(place: Place, node: Option<String>) -> Self {
        Self {
            place,
            node,
            from: None,
            filter: Filter::default(),
            delay: Duration::ZERO,
            pace: Duration::ZERO,
            messages: Vec::new(),
            ending: None,
            after: After::default(),
            go_away: false,
        }
    }

    /// Calls that the node called `name` answers, whichever way they came: name, hostname or address.
    pub fn on_node(name: impl Into<String>) -> Self {
        Self::new(Place::Node, Some(name.into()))
    }

    /// Calls that any node answers.
    pub fn on_nodes() -> Self {
        Self::new(Place::Node, None)
    }

    /// Calls that arrive at the endpoint of the node called `name`, wherever they go from there.
    pub fn on_endpoint(name: impl Into<String>) -> Self {
        Self::new(Place::Endpoint, Some(name.into()))
    }

    /// Calls that arrive at any endpoint.
    pub fn on_endpoints() -> Self {
        Self::new(Place::Endpoint, None)
    }

    /// Calls that an `apid` forwards to the node called `name`.
    pub fn on_hop_to(name: impl Into<String>) -> Self {
        Self::new(Place::Hop, Some(name.into()))
    }

    /// Calls that an `apid` forwards to any node.
    pub fn on_hops() -> Self {
        Self::new(Place::Hop, None)
    }

    /// Only calls that the node called `name` forwards. Means nothing except on hops.
    pub fn from_node(mut self, name: impl Into<String>) -> Self {
        self.from = Some(name.into());
        self
    }

    /// Only calls of this RPC: its name (`Version`), its service (`machine.MachineService`) or its full path.
    /// May be said several times; any of them will do. Default: all.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.filter.methods.push(method.into());
        self
    }

    /// Only those of the matching calls whose number is in `range`; the first has number 1. Default: all.
    pub fn calls(mut self, range: impl RangeBounds<u64>) -> Self {
        self.filter.set_calls(range);
        self
    }

    /// The chance that a matching call is hit, from 0 to 1. Default: 1.
    pub fn probability(mut self, probability: f64) -> Self {
        self.filter.set_probability(probability);
        self
    }

    /// Seed of that chance. Default: derived from the cluster's seed and the number of faults injected before.
    pub fn seed(mut self, seed: u64) -> Self {
        self.filter.set_seed(seed);
        self
    }

    /// Lets the call wait before it begins. Adds to other delays.
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Lets each message of the reply wait before it is passed on: a slow node, or a slow network.
    pub fn pace(mut self, pause: Duration) -> Self {
        self.pace = pause;
        self
    }

    /// Ends the call with `code` and `message`. With [`Code::Ok`] the reply ends early, and well.
    pub fn status(self, code: Code, message: impl Into<String>) -> Self {
        self.ending(Ending::Status(Status::new(code, message)))
    }

    /// Resets the call's HTTP/2 stream with an error code, for example 7 for `REFUSED_STREAM`.
    ///
    /// On hops and nodes, which clients are not connected to, they see what `apid` makes of it: a status such
    /// as `Unavailable` with the text `stream terminated by RST_STREAM with error code: REFUSED_STREAM`.
    pub fn reset_stream(self, code: u32) -> Self {
        self.ending(Ending::Reset(code))
    }

    /// Breaks the connection that the call came on, and with it all its other calls.
    ///
    /// On hops and nodes clients see what `apid` makes of it: `Unavailable`, `error reading from server: EOF`.
    pub fn disconnect(self) -> Self {
        self.ending(Ending::Disconnect)
    }

    /// Lets the call go on forever without another word. Not even a deadline that the client sent along ends
    /// it on an endpoint.
    pub fn hang(self) -> Self {
        self.ending(Ending::Hang)
    }

    /// Announces to the client that its connection takes no more calls (`GOAWAY`, `NO_ERROR`); this one and
    /// others under way go on. Nothing happens on hops and nodes.
    pub fn go_away(mut self) -> Self {
        self.go_away = true;
        self
    }

    /// Lets the ending come after `count` messages of the reply, not before the call. With 0 the call takes
    /// effect, and its answer is lost. A reply that is shorter stays as it is.
    pub fn after_messages(mut self, count: u64) -> Self {
        self.after = After::Messages(count);
        self
    }

    /// Lets the ending come after `count` bytes of the reply's body, which may be in the middle of a message;
    /// each message begins with five bytes that say how long it is. A reply that is shorter stays as it is.
    pub fn after_bytes(mut self, count: u64) -> Self {
        self.after = After::Bytes(count);
        self
    }

    /// Adds a protobuf-encoded message to the reply, right before the ending.
    pub fn message(mut self, message: impl Into<Bytes>) -> Self {
        self.messages.push(message.into());
        self
    }

    fn ending(mut self, ending: Ending) -> Self {
        self.ending = Some(ending);
        self
    }
}
