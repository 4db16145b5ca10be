//! The page that says what is simulated is complete, and not too good to be true.

use std::collections::BTreeMap;

use http_body_util::Full;
use talos_proto::methods::{METHODS, ServedBy};
use tonic::body::Body;

use crate::single;
use crate::wire::{Wire, final_status, frame};

/// What the page says about each RPC: `yes`, `partly` or `no`.
fn page() -> BTreeMap<&'static str, &'static str> {
    let text = include_str!("../../../../docs/testkit-fidelity.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| {
        let (name, rest) = row.split_once("` | ")?;
        let (simulated, _) = rest.split_once(" | ")?;
        name.contains("Service/")
            .then_some((name, simulated))
            .or_else(|| {
                name.starts_with("cosi.resource.State/")
                    .then_some((name, simulated))
            })
    })
    .collect()
}

#[test]
fn the_page_names_every_rpc_once() {
    let mut named: Vec<_> = page().into_keys().map(|name| format!("/{name}")).collect();
    named.sort_unstable();
    let mut all: Vec<_> = METHODS.iter().map(|method| method.path.to_owned()).collect();
    all.sort_unstable();
    assert_eq!(named, all);
    let text = include_str!("../../../../docs/testkit-fidelity.md");
    for method in METHODS {
        let name = format!("| `{}` |", method.path.trim_start_matches('/'));
        assert_eq!(text.matches(&name).count(), 1, "{name}");
    }
    assert!(page().values().all(|word| ["yes", "partly", "no"].contains(word)));
}

#[tokio::test]
async fn what_the_page_calls_simulated_is() {
    let page = page();
    for method in METHODS.iter().filter(|method| method.served_by == ServedBy::Apid) {
        if page[method.path.trim_start_matches('/')] == "no" {
            continue;
        }
        let cluster = single().await;
        let wire = Wire::admin(&cluster, &cluster.node(0)).await;
        let body = Body::new(Full::new(frame(b"")));
        let response = wire.raw(method.path, &[("grpc-timeout", "50m")], body).await;
        let status = final_status(response).await;
        assert!(
            !status.message().starts_with("talos-testkit does not simulate"),
            "docs/testkit-fidelity.md says that {method} is simulated"
        );
    }
}
