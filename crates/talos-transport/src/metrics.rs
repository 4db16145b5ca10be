//! Numbers about calls, through the [`metrics`](https://docs.rs/metrics) facade: whatever recorder the program has
//! installed receives them. Feature `metrics`.
//!
//! | Name | Kind | Labels | |
//! |---|---|---|---|
//! | [`CALLS`] | counter | service, method, code | calls that ended |
//! | [`CALL_DURATION`] | histogram, seconds | service, method | from the request to the end of the response's body |
//! | [`CALLS_IN_FLIGHT`] | gauge | service, method | calls that have begun and not ended |
//! | [`ATTEMPTS`] | counter | service, method, code | attempts that ended; code `cancelled` for those given up, by a timeout too |
//! | [`RETRIES`] | counter | cause | attempts after the first one, by why they were made |
//! | [`SENT_BYTES`] | counter | service, method | bytes of requests, as gRPC frames, of all attempts |
//! | [`RECEIVED_BYTES`] | counter | service, method | bytes of responses, as gRPC frames, of all attempts |
//! | [`ENDPOINT_STATE`] | gauge | endpoint, state | 1 for the state an endpoint is in, 0 for the others, and for all of an endpoint that was removed |
//!
//! Channels of one program that have an endpoint in common overwrite each other's [`ENDPOINT_STATE`] of it.
//!
//! Labels are called `rpc_service`, `rpc_method`, `rpc_grpc_status_code` (names as in `not_found`), `cause`, `endpoint` and
//! `state`. Each has few values: RPCs that the program calls, the codes of gRPC, the endpoints it was configured with. Nodes
//! are no label, since a large cluster would make thousands of series of them; spans have them.

use std::time::Instant;

use metrics::{Counter, SharedString, Unit, counter, gauge, histogram};
use tonic::Code;

use crate::{Channel, Endpoint, EndpointSnapshot, EndpointState};

/// Calls that ended.
pub const CALLS: &str = "talos_rpc_calls_total";
/// How long calls take.
pub const CALL_DURATION: &str = "talos_rpc_call_duration_seconds";
/// Calls under way.
pub const CALLS_IN_FLIGHT: &str = "talos_rpc_calls_in_flight";
/// Attempts that ended.
pub const ATTEMPTS: &str = "talos_rpc_attempts_total";
/// Attempts after the first one of a call.
pub const RETRIES: &str = "talos_rpc_retries_total";
/// Bytes of requests.
pub const SENT_BYTES: &str = "talos_rpc_sent_bytes_total";
/// Bytes of responses.
pub const RECEIVED_BYTES: &str = "talos_rpc_received_bytes_total";
/// The state of each endpoint.
pub const ENDPOINT_STATE: &str = "talos_endpoint_state";

/// Tells the recorder what the metrics mean. Optional; call it once, after the recorder is installed.
pub fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};

    describe_counter!(CALLS, Unit::Count, "Talos API calls that ended");
    describe_histogram!(
        CALL_DURATION,
        Unit::Seconds,
        "Time of Talos API calls to their end"
    );
    describe_gauge!(CALLS_IN_FLIGHT, Unit::Count, "Talos API calls under way");
    describe_counter!(ATTEMPTS, Unit::Count, "Attempts of Talos API calls that ended");
    describe_counter!(
        RETRIES,
        Unit::Count,
        "Attempts after the first one of a Talos API call"
    );
    describe_counter!(SENT_BYTES, Unit::Bytes, "Bytes of Talos API requests");
    describe_counter!(RECEIVED_BYTES, Unit::Bytes, "Bytes of Talos API responses");
    describe_gauge!(
        ENDPOINT_STATE,
        Unit::Count,
        "1 for the state a Talos endpoint is in"
    );
}

/// Records in which state the endpoints of a channel are, all of them.
///
/// A channel records every change by itself. This is for a recorder that is installed after the channel was built.
pub fn record_endpoints(channel: &Channel) {
    for EndpointSnapshot { endpoint, state, .. } in channel.endpoints_state() {
        record_state(&endpoint, Some(state));
    }
}

/// Records the state of an endpoint; `None` once it is none any more.
pub(crate) fn record_state(endpoint: &Endpoint, state: Option<EndpointState>) {
    let endpoint = SharedString::from(endpoint.to_string());
    for (candidate, name) in STATES {
        let value = if state == Some(candidate) { 1.0 } else { 0.0 };
        gauge!(ENDPOINT_STATE, "endpoint" => endpoint.clone(), "state" => name).set(value);
    }
}

/// What is counted about a call or an attempt while it is under way.
#[derive(Debug)]
pub(crate) struct Meter {
    service: SharedString,
    method: SharedString,
    of: Of,
}

enum Of {
    Call { begun: Instant },
    Attempt { sent: Counter, received: Counter },
}

impl Meter {
    pub(crate) fn call(service: &str, method: &str) -> Self {
        let meter = Self::new(
            service,
            method,
            Of::Call {
                begun: Instant::now(),
            },
        );
        meter.in_flight().increment(1.0);
        meter
    }

    pub(crate) fn attempt(service: &str, method: &str) -> Self {
        let (service, method) = shared(service, method);
        let of = Of::Attempt {
            sent: counter!(SENT_BYTES, SERVICE => service.clone(), METHOD => method.clone()),
            received: counter!(RECEIVED_BYTES, SERVICE => service.clone(), METHOD => method.clone()),
        };
        Self { service, method, of }
    }

    fn new(service: &str, method: &str, of: Of) -> Self {
        let (service, method) = shared(service, method);
        Self { service, method, of }
    }

    /// Counts the bytes of the request, if this is about an attempt.
    pub(crate) fn sent(&self) -> Option<Counter> {
        match &self.of {
            Of::Attempt { sent, .. } => Some(sent.clone()),
            Of::Call { .. } => None,
        }
    }

    pub(crate) fn received(&self, bytes: usize) {
        if let Of::Attempt { received, .. } = &self.of {
            received.increment(bytes as u64);
        }
    }

    pub(crate) fn end(&self, code: Code) {
        let (service, method) = (self.service.clone(), self.method.clone());
        let code = code_name(code);
        match &self.of {
            Of::Attempt { .. } => {
                counter!(ATTEMPTS, SERVICE => service, METHOD => method, CODE => code).increment(1);
            }
            Of::Call { begun } => {
                self.in_flight().decrement(1.0);
                histogram!(CALL_DURATION, SERVICE => service.clone(), METHOD => method.clone())
                    .record(begun.elapsed());
                counter!(CALLS, SERVICE => service, METHOD => method, CODE => code).increment(1);
            }
        }
    }

    fn in_flight(&self) -> metrics::Gauge {
        gauge!(CALLS_IN_FLIGHT, SERVICE => self.service.clone(), METHOD => self.method.clone())
    }
}

impl std::fmt::Debug for Of {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Call { .. } => "Call",
            Self::Attempt { .. } => "Attempt",
        })
    }
}

/// Counts an attempt that follows one which failed for this cause.
pub(crate) fn retried(cause: &'static str) {
    counter!(RETRIES, "cause" => cause).increment(1);
}

fn shared(service: &str, method: &str) -> (SharedString, SharedString) {
    (service.to_owned().into(), method.to_owned().into())
}

fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

const SERVICE: &str = "rpc_service";
const METHOD: &str = "rpc_method";
const CODE: &str = "rpc_grpc_status_code";
const STATES: [(EndpointState, &str); 5] = [
    (EndpointState::Idle, "idle"),
    (EndpointState::Connecting, "connecting"),
    (EndpointState::Ready, "ready"),
    (EndpointState::Ejected, "ejected"),
    (EndpointState::Probing, "probing"),
];
