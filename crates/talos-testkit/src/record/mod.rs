//! Every connection and every call that the simulated cluster received, for assertions.

mod connection;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Code;

use crate::roles::Roles;
use crate::sync::Guarded;
pub(crate) use connection::ConnectionEntry;
use connection::Connections;
pub use connection::RecordedConnection;

/// One call as the endpoint that was dialled received it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecordedCall {
    /// Number of the call among all that the cluster has received; the first has number 1.
    pub number: u64,
    /// Number of the connection it came on; see [`Recorder::connections`]. 0 for calls by a Unix socket
    /// and those that came through [`SimOmni`](crate::omni::SimOmni).
    pub connection: u64,
    /// The client's socket.
    pub peer: SocketAddr,
    /// When it arrived.
    pub received: Instant,
    /// What the client called the endpoint (`:authority`), usually `host:port`.
    pub authority: Option<String>,
    /// Node name of the endpoint that was dialled.
    pub endpoint: String,
    /// gRPC path, for example `/machine.MachineService/Version`.
    pub method: String,
    /// Metadata in the order received, names in lower case, a repeated name once per value. HTTP/2 pseudo
    /// headers are left out; `content-type`, `te`, `user-agent` and `grpc-*` are included.
    pub metadata: Vec<(String, String)>,
    /// Request messages received so far, protobuf-encoded, decompressed.
    pub messages: Vec<Bytes>,
    /// Roles the call had at the endpoint, sorted.
    pub roles: Vec<String>,
    /// Nodes that the endpoint forwarded the call to, as they were named, whether they answered or not.
    pub forwarded_to: Vec<String>,
    /// Names of the nodes whose `machined` the call reached, in that order.
    pub handled_by: Vec<String>,
    /// Final status as the endpoint sent it; `None` while the call runs.
    pub code: Option<Code>,
    /// Message of the final status.
    pub status_message: String,
}

impl RecordedCall {
    /// Name of the RPC within its service, such as `Version`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.method.rsplit('/').next().unwrap_or_default()
    }

    /// The node that the client asked for in `node` metadata.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        self.metadata
            .iter()
            .find(|(key, _)| key == "node")
            .map(|(_, value)| value.as_str())
    }

    /// All values of the metadata key `name`, which must be in lower case.
    pub fn metadata_values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.metadata
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

#[derive(Debug, Default)]
struct Log {
    calls: Guarded<Calls>,
    connections: Connections,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Calls {
    /// Number of calls forgotten, so that numbers of calls stay unique.
    forgotten: usize,
    kept: Vec<RecordedCall>,
}

/// The calls a cluster has received since it started, or since [`Recorder::clear`].
///
/// ```
/// # async fn example(cluster: talos_testkit::SimCluster) {
/// let call = cluster.requests().wait_for(|call| call.method.ends_with("/Version")).await;
/// assert_eq!(call.metadata_values("node").collect::<Vec<_>>(), ["10.5.0.3"]);
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Recorder {
    log: Arc<Log>,
    enabled: bool,
}

impl Recorder {
    /// Whether anything is recorded.
    #[cfg(feature = "kubernetes")]
    pub(crate) const fn is_enabled(&self) -> bool {
        self.enabled
    }

    pub(crate) fn new(enabled: bool) -> Self {
        Self {
            log: Arc::default(),
            enabled,
        }
    }

    /// All calls, oldest first.
    #[must_use]
    pub fn all(&self) -> Vec<RecordedCall> {
        self.log.calls.lock().kept.clone()
    }

    /// The calls that satisfy `wanted`, oldest first.
    #[must_use]
    pub fn matching(&self, wanted: impl FnMut(&RecordedCall) -> bool) -> Vec<RecordedCall> {
        let mut wanted = wanted;
        self.log
            .calls
            .lock()
            .kept
            .iter()
            .filter(|call| wanted(call))
            .cloned()
            .collect()
    }

    /// The calls of one RPC, by full path or by its last part (`Version`), oldest first.
    #[must_use]
    pub fn of(&self, method: &str) -> Vec<RecordedCall> {
        self.matching(|call| call.method == method || call.name() == method)
    }

    /// How many calls satisfy `wanted`.
    #[must_use]
    pub fn count(&self, wanted: impl FnMut(&RecordedCall) -> bool) -> usize {
        let mut wanted = wanted;
        self.log
            .calls
            .lock()
            .kept
            .iter()
            .filter(|call| wanted(call))
            .count()
    }

    /// How many calls of one RPC there were, by full path or by its last part, retries included.
    #[must_use]
    pub fn attempts(&self, method: &str) -> usize {
        self.count(|call| call.method == method || call.name() == method)
    }

    /// Forgets all calls and connections. Calls that are still running are not recorded further.
    pub fn clear(&self) {
        let mut calls = self.log.calls.lock();
        calls.forgotten += calls.kept.len();
        calls.kept.clear();
        drop(calls);
        self.log.connections.clear();
    }

    /// Waits until a call satisfies `wanted` and returns the first that does; calls of the past count. The
    /// predicate is asked again whenever a call begins, sends a message, reaches a node or ends, so that
    /// `|call| call.code.is_some()` waits for an end.
    ///
    /// Waits forever if no such call comes: put a timeout around it where that can happen.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn wait_for(&self, wanted: impl FnMut(&RecordedCall) -> bool) -> RecordedCall {
        let mut wanted = wanted;
        let mut changes = self.log.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(call) = self.log.calls.lock().kept.iter().find(|call| wanted(call)) {
                return call.clone();
            }
            if changes.changed().await.is_err() {
                // The sender lives in `self`, so this is not reached.
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn begin(&self, arrival: Arrival<'_>, metadata: &HeaderMap, roles: &Roles) -> CallEntry {
        if !self.enabled {
            return CallEntry {
                recorder: self.clone(),
                number: None,
            };
        }
        let metadata = metadata.iter().map(|(key, value)| {
            (
                key.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        });
        let mut call = RecordedCall {
            number: 0,
            connection: arrival.connection,
            peer: arrival.peer,
            received: Instant::now(),
            authority: arrival.authority.map(str::to_owned),
            endpoint: arrival.endpoint.to_owned(),
            method: arrival.method.to_owned(),
            metadata: metadata.collect(),
            messages: Vec::new(),
            roles: roles.iter().map(str::to_owned).collect(),
            forwarded_to: Vec::new(),
            handled_by: Vec::new(),
            code: None,
            status_message: String::new(),
        };
        let mut calls = self.log.calls.lock();
        let number = calls.forgotten + calls.kept.len();
        call.number = number as u64 + 1;
        calls.kept.push(call);
        drop(calls);
        self.log
            .changes
            .send_modify(|state| *state = state.wrapping_add(1));
        CallEntry {
            recorder: self.clone(),
            number: Some(number),
        }
    }
}

/// How a call came in.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival<'a> {
    pub(crate) endpoint: &'a str,
    pub(crate) method: &'a str,
    pub(crate) authority: Option<&'a str>,
    pub(crate) connection: u64,
    pub(crate) peer: SocketAddr,
}

/// Write access to the record of one running call.
#[derive(Debug, Clone)]
pub(crate) struct CallEntry {
    recorder: Recorder,
    number: Option<usize>,
}

impl CallEntry {
    pub(crate) fn message(&self, message: &Bytes) {
        self.update(|call| call.messages.push(message.clone()));
    }

    pub(crate) fn handled_by(&self, node: &str) {
        self.update(|call| call.handled_by.push(node.to_owned()));
    }

    pub(crate) fn forwarded_to(&self, node: &str) {
        self.update(|call| call.forwarded_to.push(node.to_owned()));
    }

    /// Notes how the call ended, unless that is known.
    pub(crate) fn ended(&self, code: Code, message: &str) {
        self.update(|call| {
            if call.code.is_none() {
                call.code = Some(code);
                call.status_message = message.to_owned();
            }
        });
    }

    fn update(&self, change: impl FnOnce(&mut RecordedCall)) {
        let Some(number) = self.number else { return };
        let mut calls = self.recorder.log.calls.lock();
        let index = number.checked_sub(calls.forgotten);
        if let Some(call) = index.and_then(|index| calls.kept.get_mut(index)) {
            change(call);
        }
        drop(calls);
        self.recorder
            .log
            .changes
            .send_modify(|state| *state = state.wrapping_add(1));
    }
}
