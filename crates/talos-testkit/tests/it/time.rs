//! The clock of a node, and what its controllers depend on.

use talos_proto::inspect::DependencyEdgeType;
use talos_proto::time::{TimeRequest, TimeResponse};
use tonic::Code;

use crate::single;
use crate::wire::{Wire, failure};

/// How far the server is ahead, in nanoseconds.
fn offset(reply: &TimeResponse) -> i64 {
    let time = &reply.messages[0];
    let nanos = |at: prost_types::Timestamp| at.seconds * 1_000_000_000 + i64::from(at.nanos);
    nanos(time.remotetime.unwrap()) - nanos(time.localtime.unwrap())
}

// covers: time.TimeService/Time
// covers: time.TimeService/TimeCheck
#[tokio::test]
async fn servers_are_as_far_ahead_as_was_set() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &node, &["os:reader"]).await;
    let check = async |server: &str| {
        let server = server.to_owned();
        wire.time().time_check(TimeRequest { server }).await
    };
    let reply = wire.time().time(()).await.unwrap().into_inner();
    assert_eq!(
        (reply.messages[0].server.as_str(), offset(&reply)),
        ("time.cloudflare.com", 0)
    );
    for nanos in [1, 1_999_999_999, -1, -2_500_000_000] {
        node.set_time_offset(nanos);
        let reply = check("pool.ntp.org").await.unwrap().into_inner();
        assert_eq!(
            (reply.messages[0].server.as_str(), offset(&reply)),
            ("pool.ntp.org", nanos)
        );
    }
    node.set_time_server("10.0.0.1");
    let reply = wire.time().time(()).await.unwrap().into_inner();
    assert_eq!(reply.messages[0].server, "10.0.0.1");
    assert_eq!(
        failure(check("").await),
        (Code::InvalidArgument, "ntp server is required".to_owned())
    );
    node.set_time_failure(Some("i/o timeout"));
    let (code, message) = failure(wire.time().time(()).await);
    assert_eq!(code, Code::Unknown);
    assert!(message.ends_with("i/o timeout"), "{message}");
}

// covers: inspect.InspectService/ControllerRuntimeDependencies
#[tokio::test]
async fn controllers_have_edges_to_resources_of_both_directions() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let reply = wire
        .inspect()
        .controller_runtime_dependencies(())
        .await
        .unwrap()
        .into_inner();
    let edges = &reply.messages[0].edges;
    for kind in [DependencyEdgeType::OutputExclusive, DependencyEdgeType::InputWeak] {
        assert!(edges.iter().any(|edge| edge.edge_type() == kind), "{kind:?}");
    }
    assert!(
        edges
            .iter()
            .all(|edge| edge.controller_name.ends_with("Controller"))
    );
    assert!(
        edges
            .iter()
            .any(|edge| edge.resource_type == "Versions.runtime.talos.dev")
    );
}

// covers: cosi.resource.State/Get
#[tokio::test]
async fn a_clock_that_is_not_in_sync_shows() {
    let cluster = single().await;
    let node = cluster.node(0);
    let synced = || {
        let status = node
            .resources()
            .get("runtime", "TimeStatuses.v1alpha1.talos.dev", "node");
        status.unwrap().yaml_spec().to_owned()
    };
    assert!(synced().starts_with("synced: true\n"));
    node.set_time_in_sync(false);
    assert!(synced().starts_with("synced: false\n"));
    let machine = node
        .resources()
        .get("runtime", "MachineStatuses.runtime.talos.dev", "machine");
    assert!(machine.unwrap().yaml_spec().contains("time is not synced"));
}
