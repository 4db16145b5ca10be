//! Faults in a scenario.

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::ScenarioError;
use super::value::{Calls, ResetCode, Span, StatusCode};
use crate::SimCluster;
use crate::error::SimError;
use crate::fault::{CallFault, Certificate, ConnectionFault, Fault};

/// What a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
enum On {
    Node,
    Endpoint,
    Hop,
    Connection,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum Methods {
    One(String),
    Several(Vec<String>),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct StatusEntry {
    code: StatusCode,
    #[serde(default)]
    message: String,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum CertificateEntry {
    Expired,
    NotYetValid,
    WrongName,
    ForeignAuthority,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
enum OriginEntry {
    Clients,
    Nodes,
}

/// One fault. Which keys make sense follows from `on`; [`Self::check`] sees to it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct FaultEntry {
    on: Spanned<On>,
    node: Option<Spanned<String>>,
    from_node: Option<Spanned<String>>,
    #[serde(rename = "from")]
    origin: Option<OriginEntry>,
    method: Option<Methods>,
    #[serde(alias = "attempts")]
    calls: Option<Calls>,
    probability: Option<Spanned<f64>>,
    seed: Option<u64>,
    delay: Option<Span>,
    pace: Option<Span>,
    status: Option<StatusEntry>,
    reset_stream: Option<ResetCode>,
    #[serde(default)]
    disconnect: bool,
    #[serde(default)]
    hang: bool,
    #[serde(default)]
    go_away: bool,
    after_messages: Option<u64>,
    after_bytes: Option<u64>,
    #[serde(default)]
    refuse: bool,
    #[serde(default)]
    reset: bool,
    #[serde(default)]
    black_hole: bool,
    certificate: Option<CertificateEntry>,
    cut_after_bytes: Option<u64>,
}

impl FaultEntry {
    pub(super) fn check(&self) -> Result<(), ScenarioError> {
        let wrong = |text: &str| Err(ScenarioError::at(&self.on, text));
        let call_keys = [
            ("method", self.method.is_some()),
            ("pace", self.pace.is_some()),
            ("status", self.status.is_some()),
            ("resetStream", self.reset_stream.is_some()),
            ("disconnect", self.disconnect),
            ("hang", self.hang),
            ("goAway", self.go_away),
            ("afterMessages", self.after_messages.is_some()),
            ("afterBytes", self.after_bytes.is_some()),
        ];
        let connection_keys = [
            ("from", self.origin.is_some()),
            ("refuse", self.refuse),
            ("reset", self.reset),
            ("blackHole", self.black_hole),
            ("certificate", self.certificate.is_some()),
            ("cutAfterBytes", self.cut_after_bytes.is_some()),
        ];
        let (misplaced, what) = match self.on.value {
            On::Connection => (call_keys.as_slice(), "connections"),
            _ => (connection_keys.as_slice(), "calls"),
        };
        if let Some((key, _)) = misplaced.iter().find(|(_, set)| *set) {
            return wrong(&format!("`{key}` means nothing for faults of {what}"));
        }
        if self.from_node.is_some() && !matches!(self.on.value, On::Hop | On::Connection) {
            return wrong("`fromNode` means nothing but for `on: hop` and `on: connection`");
        }
        let one_of = |keys: &[(&str, bool)]| {
            let set: Vec<_> = keys
                .iter()
                .filter(|(_, set)| *set)
                .map(|(key, _)| format!("`{key}`"))
                .collect();
            if set.len() > 1 {
                wrong(&format!("{} exclude each other", set.join(" and ")))
            } else {
                Ok(())
            }
        };
        one_of(&call_keys[2..6])?;
        one_of(&call_keys[7..])?;
        one_of(&connection_keys[1..5])?;
        match &self.probability {
            Some(probability) if !(0.0..=1.0).contains(&probability.value) => Err(ScenarioError::at(
                probability,
                "a probability lies between 0 and 1",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn inject(&self, cluster: &SimCluster) -> Result<(), ScenarioError> {
        let injected = cluster.inject(self.fault());
        injected
            .map(drop)
            .map_err(|error| match (&error, &self.from_node, &self.node) {
                (SimError::UnknownNode { name }, Some(from), _) if *name == from.value => {
                    ScenarioError::cluster(from, error)
                }
                (_, _, Some(node)) => ScenarioError::cluster(node, error),
                _ => ScenarioError::cluster(&self.on, error),
            })
    }

    fn fault(&self) -> Fault {
        if self.on.value == On::Connection {
            self.connection().into()
        } else {
            self.call().into()
        }
    }

    fn call(&self) -> CallFault {
        let node = self.node.as_ref().map(|node| node.value.as_str());
        let mut fault = match (self.on.value, node) {
            (On::Endpoint, Some(node)) => CallFault::on_endpoint(node),
            (On::Endpoint, None) => CallFault::on_endpoints(),
            (On::Hop, Some(node)) => CallFault::on_hop_to(node),
            (On::Hop, None) => CallFault::on_hops(),
            (_, Some(node)) => CallFault::on_node(node),
            (_, None) => CallFault::on_nodes(),
        };
        if let Some(from) = &self.from_node {
            fault = fault.from_node(&from.value);
        }
        for method in match &self.method {
            None => &[],
            Some(Methods::One(method)) => std::slice::from_ref(method),
            Some(Methods::Several(methods)) => methods.as_slice(),
        } {
            fault = fault.method(method);
        }
        if let Some(Calls(range)) = self.calls {
            fault = fault.calls(range);
        }
        if let Some(probability) = &self.probability {
            fault = fault.probability(probability.value);
        }
        if let Some(seed) = self.seed {
            fault = fault.seed(seed);
        }
        if let Some(Span(delay)) = self.delay {
            fault = fault.delay(delay);
        }
        if let Some(Span(pace)) = self.pace {
            fault = fault.pace(pace);
        }
        if let Some(StatusEntry { code, message }) = &self.status {
            fault = fault.status(code.0, message);
        }
        if let Some(ResetCode(code)) = self.reset_stream {
            fault = fault.reset_stream(code);
        }
        if self.disconnect {
            fault = fault.disconnect();
        }
        if self.hang {
            fault = fault.hang();
        }
        if self.go_away {
            fault = fault.go_away();
        }
        if let Some(count) = self.after_messages {
            fault = fault.after_messages(count);
        }
        if let Some(count) = self.after_bytes {
            fault = fault.after_bytes(count);
        }
        fault
    }

    fn connection(&self) -> ConnectionFault {
        let mut fault = match &self.node {
            Some(node) => ConnectionFault::to(&node.value),
            None => ConnectionFault::to_all(),
        };
        fault = match self.origin {
            None => fault,
            Some(OriginEntry::Clients) => fault.from_clients(),
            Some(OriginEntry::Nodes) => fault.from_nodes(),
        };
        if let Some(from) = &self.from_node {
            fault = fault.from_node(&from.value);
        }
        if let Some(Calls(range)) = self.calls {
            fault = fault.attempts(range);
        }
        if let Some(probability) = &self.probability {
            fault = fault.probability(probability.value);
        }
        if let Some(seed) = self.seed {
            fault = fault.seed(seed);
        }
        if let Some(Span(delay)) = self.delay {
            fault = fault.delay(delay);
        }
        if let Some(count) = self.cut_after_bytes {
            fault = fault.cut_after_bytes(count);
        }
        if self.refuse {
            fault = fault.refuse();
        }
        if self.reset {
            fault = fault.reset();
        }
        if self.black_hole {
            fault = fault.black_hole();
        }
        match self.certificate {
            None => fault,
            Some(CertificateEntry::Expired) => fault.certificate(Certificate::Expired),
            Some(CertificateEntry::NotYetValid) => fault.certificate(Certificate::NotYetValid),
            Some(CertificateEntry::WrongName) => fault.certificate(Certificate::WrongName),
            Some(CertificateEntry::ForeignAuthority) => fault.certificate(Certificate::ForeignAuthority),
        }
    }
}
