//! The line that `apid` and `machined` log for every finished call.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderMap, Request};
use talos_proto::methods::{MethodInfo, Streaming};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::clock::{Moment, go_duration};
use crate::text::code_name;

/// A line in the making; the call's end completes it.
#[derive(Debug)]
pub(crate) struct CallLine {
    path: String,
    kind: &'static str,
    metadata: String,
    started: Instant,
}

impl CallLine {
    /// A call that `machined` serves; it knows which kind it is.
    pub(crate) fn begin<B>(method: &MethodInfo, request: &Request<B>) -> Self {
        let kind = if method.streaming == Streaming::Unary {
            "unary"
        } else {
            "stream"
        };
        Self::new(kind, request)
    }

    /// A call that `apid` relays; all of them look like streams to it.
    pub(crate) fn begin_relayed<B>(request: &Request<B>) -> Self {
        Self::new("stream", request)
    }

    fn new<B>(kind: &'static str, request: &Request<B>) -> Self {
        let authority = request.uri().authority().map(ToString::to_string);
        Self {
            path: request.uri().path().to_owned(),
            kind,
            metadata: metadata(request.headers(), authority),
            started: Instant::now(),
        }
    }

    /// The line, for a call that ends now with `status`.
    pub(crate) fn finish(&self, status: &Status) -> String {
        self.render(Moment::now(), self.started.elapsed(), status)
    }

    fn render(&self, at: Moment, took: Duration, status: &Status) -> String {
        let Self {
            path, kind, metadata, ..
        } = self;
        let outcome = if status.code() == Code::Ok {
            "Success"
        } else {
            status.message()
        };
        format!(
            "{} {} [{path}] {} {kind} {outcome} ({metadata})",
            at.go_log_prefix(),
            code_name(status.code()),
            go_duration(took)
        )
    }
}

/// `k=v` pairs sorted by key, values of one key joined with commas, the token of trustd hidden.
fn metadata(headers: &HeaderMap, authority: Option<String>) -> String {
    let mut pairs: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    if let Some(authority) = authority {
        pairs.insert(":authority", vec![authority]);
    }
    for (key, value) in headers {
        // grpc-go keeps these to itself.
        if key.as_str() == "te" || key.as_str().starts_with("grpc-") {
            continue;
        }
        let value = match key.as_str() {
            "token" => "<hidden>".to_owned(),
            _ => String::from_utf8_lossy(value.as_bytes()).into_owned(),
        };
        pairs.entry(key.as_str()).or_default().push(value);
    }
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, values)| format!("{key}={}", values.join(",")))
        .collect();
    pairs.join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_code_method_duration_and_metadata() {
        let request = Request::builder()
            .uri("https://127.0.0.2:50000/machine.MachineService/Version")
            .header("talos-role", "os:admin")
            .header("node", "10.5.0.2")
            .header("talos-role", "os:reader")
            .header("token", "secret")
            .header("grpc-timeout", "1S")
            .body(())
            .unwrap();
        let line = CallLine::begin_relayed(&request);
        let at = Moment::from_unix(1_767_323_045, 0);
        let took = Duration::from_micros(1500);
        assert_eq!(
            line.render(at, took, &Status::new(Code::Ok, "")),
            "2026/01/02 03:04:05.000000 OK [/machine.MachineService/Version] 1.5ms stream Success \
             (:authority=127.0.0.2:50000;node=10.5.0.2;talos-role=os:admin,os:reader;token=<hidden>)"
        );
        let failed = line.render(at, took, &Status::permission_denied("not authorized"));
        assert!(
            failed.contains(
                " PermissionDenied [/machine.MachineService/Version] 1.5ms stream not authorized ("
            )
        );
    }
}
