//! Which machine a call reaches, and what the endpoint is told.

use talos_client::{ErrorKind, Origin};
use talos_testkit::SimCluster;

use crate::support::{Sim, builder_for, metadata};

const VERSION: &str = "/machine.MachineService/Version";

// covers: machine.MachineService/Version
#[tokio::test]
async fn a_node_handle_names_its_node_exactly_once() {
    let sim = Sim::start().await;
    let name = sim.cluster.node(1).name();
    let version = sim.node(1).version().await.expect("answered");
    assert!(version.tag().starts_with('v'), "{version:?}");

    let call = sim.received(VERSION);
    assert_eq!(metadata(&call, "node"), [name.as_str()]);
    assert_eq!(metadata(&call, "runtime"), ["Talos"]);
    assert_eq!(call.handled_by, [name]);
    for key in ["nodes", "proxyfrom", "talos-role", "context", "authorization"] {
        assert_eq!(metadata(&call, key), [""; 0], "{key}");
    }
    assert!(
        !metadata(&call, "grpc-timeout").is_empty(),
        "unary calls tell the server their deadline"
    );
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn the_client_itself_is_answered_by_the_endpoint() {
    let sim = Sim::start().await;
    sim.client.version().await.expect("answered");
    let call = sim.received(VERSION);
    assert_eq!(metadata(&call, "node"), [""; 0]);
    assert_eq!(call.handled_by, std::slice::from_ref(&call.endpoint));
}

// covers: machine.MachineService/Hostname
#[tokio::test]
async fn every_node_answers_for_itself() {
    let sim = Sim::start().await;
    for (index, name) in sim.cluster.nodes().iter().enumerate() {
        let hostname = sim
            .client
            .node(name)
            .expect("a name")
            .hostname()
            .await
            .expect("answered");
        assert_eq!(hostname, sim.cluster.node(index).hostname(), "{name}");
    }
}

#[tokio::test]
async fn the_cluster_name_and_password_of_the_context_travel_along() {
    let cluster = SimCluster::builder().start().await.expect("started");
    let mut talosconfig = talos_client::config::Talosconfig::parse(cluster.talosconfig()).expect("valid");
    let context = talosconfig.contexts.values_mut().next().expect("one context");
    context.cluster = Some("from-context".to_owned());
    context.auth = Some(talos_client::config::Auth::Basic {
        username: "user".to_owned(),
        password: talos_client::SecretString::new("hunter2"),
    });

    let builder = || talos_client::Client::builder().talosconfig(talosconfig.clone());
    builder()
        .build()
        .expect("a client")
        .version()
        .await
        .expect("answered");
    builder()
        .cluster("from-builder")
        .build()
        .expect("a client")
        .version()
        .await
        .expect("answered");
    let calls = cluster.requests().of(VERSION);
    assert_eq!(metadata(&calls[0], "context"), ["from-context"]);
    assert_eq!(metadata(&calls[1], "context"), ["from-builder"]);
    assert_eq!(metadata(&calls[0], "authorization"), ["Basic dXNlcjpodW50ZXIy"]);
}

#[tokio::test]
async fn a_node_name_with_a_port_is_refused_before_anything_is_sent() {
    let sim = Sim::start().await;
    for name in [
        "",
        "10.5.0.2:50000",
        "[fd00::1]:50000",
        "a node",
        "https://10.5.0.2",
    ] {
        let error = sim.client.node(name).expect_err(name);
        assert_eq!(
            (error.kind(), error.origin()),
            (ErrorKind::InvalidInput, Origin::Local),
            "{name:?}"
        );
        assert!(
            name.is_empty() || format!("{error:#}").contains(name),
            "{name:?}: {error:#}"
        );
    }
    assert!(sim.cluster.requests().all().is_empty());
}

#[tokio::test]
async fn a_worker_endpoint_does_not_forward_and_is_the_origin_of_the_error() {
    let sim = Sim::start().await;
    let worker = sim.cluster.node(3);
    let client = builder_for(&sim.cluster)
        .endpoints([worker.endpoint()])
        .build()
        .expect("a client");

    let error = client
        .node(sim.cluster.node(0).name())
        .expect("a name")
        .version()
        .await
        .expect_err("no forwarding");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::PermissionDenied, Origin::Endpoint),
        "{error:#}"
    );
    assert_eq!(error.message(), Some("no request forwarding"));

    client
        .node(worker.name())
        .expect("a name")
        .version()
        .await
        .expect("its own address is fine");
}

#[tokio::test]
async fn nodes_of_the_context_are_offered_and_not_applied() {
    let cluster = SimCluster::builder()
        .control_planes(2)
        .start()
        .await
        .expect("started");
    let text = cluster
        .talosconfig_builder()
        .nodes(cluster.nodes())
        .render()
        .expect("rendered");
    let talosconfig = talos_client::config::Talosconfig::parse(text).expect("valid");
    let client = talos_client::Client::builder()
        .talosconfig(talosconfig)
        .build()
        .expect("a client");

    let names: Vec<_> = client
        .context_nodes()
        .iter()
        .map(|node| node.name().to_string())
        .collect();
    assert_eq!(names, cluster.nodes());
    client.version().await.expect("answered");
    assert_eq!(metadata(&cluster.requests().of(VERSION)[0], "node"), [""; 0]);
}
