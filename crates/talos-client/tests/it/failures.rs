//! What an error says: kind, origin, node, endpoint, method.

use std::error::Error as _;

use talos_client::{Code, ErrorKind, Origin};

use crate::support::{Sim, builder_for, shown};

#[tokio::test]
async fn a_dead_node_is_an_error_of_that_node_alone() {
    let sim = Sim::start().await;
    sim.cluster.node(1).kill();
    let name = sim.cluster.node(1).name();
    let client = builder_for(&sim.cluster)
        .endpoints([sim.cluster.node(0).endpoint()])
        .build()
        .expect("a client");

    let error = client
        .node(&name)
        .expect("a name")
        .version()
        .await
        .expect_err("it is dead");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Unavailable, Origin::Endpoint),
        "{error:#}"
    );
    assert_eq!(error.code(), Some(Code::Unavailable));
    assert_eq!(error.node().map(|node| node.as_str()), Some(name.as_str()));
    assert_eq!(
        error.endpoint().map(ToString::to_string),
        Some(sim.cluster.node(0).endpoint())
    );
    assert_eq!(error.method(), Some("/machine.MachineService/Version"));
    assert!(error.is_retriable());
    let text = error.to_string();
    assert!(
        text.starts_with(&format!(
            "machine.MachineService/Version on node {name} through 127.0.0."
        )),
        "{text}"
    );
    assert!(text.contains("connection refused"), "{text}");

    for index in [0, 2, 3] {
        client
            .node(sim.cluster.node(index).name())
            .expect("a name")
            .version()
            .await
            .expect("alive");
    }
}

#[tokio::test]
async fn a_revived_node_answers_again() {
    let sim = Sim::start().await;
    sim.cluster.node(1).kill();
    assert!(sim.node(1).version().await.is_err());
    sim.cluster.node(1).revive().expect("revived");
    sim.node(1).version().await.expect("alive again");
}

#[tokio::test]
async fn without_any_endpoint_nothing_was_sent_and_each_says_why() {
    let sim = Sim::start().await;
    for index in 0..3 {
        sim.cluster.node(index).kill();
    }
    let error = sim.node(3).version().await.expect_err("nothing to dial");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::Connect, Origin::Local),
        "{error:#}"
    );
    assert_eq!(error.code(), None, "no server said anything");
    assert_eq!(error.endpoint(), None);
    let text = format!("{error:#}");
    for endpoint in sim.cluster.endpoints() {
        assert!(text.contains(&endpoint), "{endpoint} is missing in {text}");
    }
    assert!(error.is_retriable() && !error.is_timeout());
    assert!(error.source().is_some());
}

#[tokio::test]
async fn calls_move_to_another_endpoint_when_theirs_dies() {
    let sim = Sim::start().await;
    sim.client.version().await.expect("answered");
    let used = sim.received("/machine.MachineService/Version").endpoint;
    sim.cluster.node_by_name(&used).expect("one of ours").kill();
    sim.client.version().await.expect("another endpoint answers");
}

#[tokio::test]
async fn a_role_that_does_not_suffice_is_denied_by_the_node() {
    let sim = Sim::start().await;
    let reader = sim.client_with_roles(&["os:reader"]);
    let node = reader.node(sim.cluster.node(1).name()).expect("a name");
    node.version().await.expect("readers may");

    let error = node.read("/etc/os-release").await.expect_err("readers may not");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::PermissionDenied, Origin::Node),
        "{error:#}"
    );
    assert_eq!(error.message(), Some("not authorized"));
    assert!(error.is_denied() && !error.is_retriable());
    let error = node.kubeconfig().await.expect_err("readers may not");
    assert!(error.is_denied(), "{error:#}");
}

#[tokio::test]
async fn errors_show_no_credentials() {
    let sim = Sim::start().await;
    let talosconfig = talos_client::config::Talosconfig::parse(sim.cluster.talosconfig()).expect("valid");
    let key = talosconfig
        .contexts
        .values()
        .next()
        .expect("one")
        .key
        .clone()
        .expect("has a key");
    let secret = key.expose();
    let texts = [
        shown(&sim.node(0).read("/nothing").await.expect_err("missing")),
        format!("{:?} {:#?}", sim.client, sim.client),
        format!("{:?} {:#?}", sim.node(0), sim.node(0)),
        format!("{talosconfig:?} {talosconfig:#?}"),
        format!(
            "{:?}",
            talos_client::Client::builder().talosconfig(talosconfig.clone())
        ),
        format!(
            "{:?}",
            talos_client::Client::builder().client_certificate_pem("crt", secret)
        ),
    ];
    for text in texts {
        assert!(!text.contains(secret) && !text.contains("PRIVATE KEY"), "{text}");
    }
}
