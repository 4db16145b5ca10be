//! A resource of each type, from the data of talos-proto.

use talos_client::resource::{Resource, Visitor};
use talos_testkit::SimResource;

const SAMPLES: &str = include_str!("../../../../talos-proto/tests/data/resources.jsonl");

/// Which types this client knows.
#[derive(Default)]
pub(crate) struct Known(pub(crate) Vec<&'static str>);

impl Visitor for Known {
    fn visit<R: Resource>(&mut self) {
        self.0.push(R::TYPE);
    }
}

/// All samples, sorted by type.
pub(crate) fn all() -> Vec<SimResource> {
    SAMPLES.lines().skip(1).map(sample).collect()
}

/// The sample of this type.
pub(crate) fn of(kind: &str) -> SimResource {
    let found = all().into_iter().find(|sample| sample.kind() == kind);
    found.unwrap_or_else(|| panic!("no sample of {kind}"))
}

fn sample(line: &str) -> SimResource {
    let row: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
    let text = |key: &str| row[key].as_str().expect("a text").to_owned();
    let hex = text("proto_hex");
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).expect("hex"))
        .collect();
    SimResource::new(text("type"), text("id"))
        .in_namespace(text("namespace"))
        .proto_bytes(bytes)
        .yaml(text("yaml"))
        .label("sample", "yes")
}
