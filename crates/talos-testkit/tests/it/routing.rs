//! Which single node answers, and what the reply looks like then.

use talos_proto::machine::{LogsRequest, Version};
use tonic::{Code, Status};

use crate::four_nodes;
use crate::wire::{Wire, with};

/// Hostnames that answer a `Hostname` call with `metadata`.
async fn hostnames(wire: &Wire, metadata: &[(&'static str, &str)]) -> Result<Vec<String>, Status> {
    let reply = wire.machine().hostname(with((), metadata)).await?.into_inner();
    Ok(reply
        .messages
        .into_iter()
        .map(|message| message.hostname)
        .collect())
}

async fn refusal(wire: &Wire, metadata: &[(&'static str, &str)]) -> (Code, String) {
    let status = hostnames(wire, metadata).await.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn without_a_node_the_endpoint_answers_without_metadata() {
    let cluster = four_nodes().start().await.unwrap();
    for index in [0, 2, 3] {
        let node = cluster.node(index);
        let wire = Wire::admin(&cluster, &node).await;
        let reply = wire.machine().hostname(()).await.unwrap().into_inner();
        assert_eq!(reply.messages.len(), 1);
        assert_eq!(reply.messages[0].hostname, node.hostname());
        assert_eq!(reply.messages[0].metadata, None);
    }
}

#[tokio::test]
async fn a_node_is_found_by_address_hostname_and_fqdn() {
    let cluster = four_nodes().domain("example.org").start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    for index in 0..4 {
        let node = cluster.node(index);
        for name in [node.name(), node.hostname(), node.fqdn()] {
            let answered = hostnames(&wire, &[("node", &name)]).await.unwrap();
            assert_eq!(answered, [node.hostname()], "{name}");
        }
    }
    assert_eq!(cluster.node(0).fqdn(), "sim-controlplane-1.example.org");
    let reply = wire
        .machine()
        .version(with((), &[("node", "10.5.0.3")]))
        .await
        .unwrap()
        .into_inner();
    let [
        Version {
            metadata: None,
            version: Some(version),
            ..
        },
    ] = reply.messages.as_slice()
    else {
        panic!("{reply:?}");
    };
    assert_eq!(version.tag, "v1.14.0");
}

#[tokio::test]
async fn loopback_is_the_endpoint_itself() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(2)).await;
    assert_eq!(
        hostnames(&wire, &[("node", "127.0.0.1")]).await.unwrap(),
        ["sim-controlplane-3"]
    );
}

#[tokio::test]
async fn a_dead_node_is_refused_by_its_endpoint_and_the_others_answer() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    cluster.node(1).kill();
    for name in ["10.5.0.3", "sim-controlplane-2"] {
        let (code, message) = refusal(&wire, &[("node", name)]).await;
        assert_eq!(code, Code::Unavailable);
        assert_eq!(
            message,
            "connection error: desc = \"transport: Error while dialing: dial tcp 10.5.0.3:50000: connect: \
             connection refused\""
        );
    }
    assert_eq!(
        hostnames(&wire, &[("node", "10.5.0.4")]).await.unwrap(),
        ["sim-controlplane-3"]
    );
    cluster.node(1).revive().unwrap();
    assert_eq!(
        hostnames(&wire, &[("node", "10.5.0.3")]).await.unwrap(),
        ["sim-controlplane-2"]
    );
}

#[tokio::test]
async fn names_that_nobody_has_fail_like_a_dial() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let cases = [
        ("10.5.0.99", "dial tcp 10.5.0.99:50000: connect: no route to host"),
        ("fd00::9", "dial tcp [fd00::9]:50000: connect: no route to host"),
        ("[fd00::9]", "dial tcp [fd00::9]:50000: connect: no route to host"),
        (
            "nowhere",
            "dial tcp: lookup nowhere on 127.0.0.53:53: no such host",
        ),
    ];
    for (name, dial) in cases {
        let expected = format!("connection error: desc = \"transport: Error while dialing: {dial}\"");
        assert_eq!(
            refusal(&wire, &[("node", name)]).await,
            (Code::Unavailable, expected),
            "{name}"
        );
    }
}

#[tokio::test]
async fn targets_with_ports_are_invalid() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let expected = (Code::Internal, "invalid target \"10.5.0.3:50000\"".to_owned());
    assert_eq!(refusal(&wire, &[("node", "10.5.0.3:50000")]).await, expected);
    let twice = refusal(&wire, &[("node", "10.5.0.3"), ("node", "10.5.0.4")]).await;
    assert_eq!(
        twice,
        (
            Code::InvalidArgument,
            "node metadata must be single-valued".to_owned()
        )
    );
}

#[tokio::test]
async fn a_worker_answers_for_itself_alone() {
    let cluster = four_nodes().start().await.unwrap();
    let worker = cluster.node(3);
    let wire = Wire::admin(&cluster, &worker).await;
    for name in [
        worker.name(),
        worker.hostname(),
        worker.socket_addr().ip().to_string(),
    ] {
        assert_eq!(
            hostnames(&wire, &[("node", &name)]).await.unwrap(),
            [worker.hostname()],
            "{name}"
        );
    }
    let expected = (Code::PermissionDenied, "no request forwarding".to_owned());
    assert_eq!(refusal(&wire, &[("node", "10.5.0.2")]).await, expected);
    // As its only node it is not even asked for metadata.
    let reply = wire
        .machine()
        .hostname(with((), &[("nodes", &worker.name())]))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.messages[0].metadata, None);
}

#[tokio::test]
async fn proxyfrom_keeps_a_call_where_it_is() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let metadata = [("proxyfrom", "anything"), ("node", "10.5.0.3")];
    assert_eq!(hostnames(&wire, &metadata).await.unwrap(), ["sim-controlplane-1"]);
}

#[tokio::test]
async fn the_second_hop_sees_roles_and_origin_but_no_targets() {
    let cluster = four_nodes().start().await.unwrap();
    let endpoint = cluster.node(0);
    let wire = Wire::with_roles(&cluster, &endpoint, &["os:reader", "os:operator"]).await;
    let metadata = [
        ("node", "10.5.0.3"),
        ("runtime", "Talos"),
        ("talos-role", "os:admin"),
    ];
    hostnames(&wire, &metadata).await.unwrap();
    let request = LogsRequest {
        namespace: "system".to_owned(),
        id: "apid".to_owned(),
        tail_lines: 1,
        ..LogsRequest::default()
    };
    let reader = Wire::admin(&cluster, &cluster.node(1)).await;
    let line = reader.logs(request).await.unwrap();
    let line = String::from_utf8(line).unwrap();
    let expected = format!(
        "(:authority=10.5.0.3:50000;content-type=application/grpc;proxyfrom={};runtime=Talos;\
         talos-role=os:operator,os:reader)",
        endpoint.endpoint()
    );
    assert!(line.contains(" OK [/machine.MachineService/Hostname] "), "{line}");
    assert!(line.contains(" stream Success "), "{line}");
    assert!(line.contains(&expected), "{line}\n{expected}");
    assert!(!line.contains("node="), "{line}");
}

#[tokio::test]
async fn a_node_that_dies_under_a_call_ends_it_at_the_endpoint() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let request = LogsRequest {
        namespace: "system".to_owned(),
        id: "machined".to_owned(),
        follow: true,
        tail_lines: 1,
        ..LogsRequest::default()
    };
    let mut stream = wire
        .machine()
        .logs(with(request, &[("node", "10.5.0.3")]))
        .await
        .unwrap()
        .into_inner();
    assert!(stream.message().await.unwrap().is_some());
    cluster.node(1).kill();
    let status = loop {
        match stream.message().await {
            Ok(item) => assert!(item.is_some(), "the stream must not end well"),
            Err(status) => break status,
        }
    };
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "error reading from server: EOF")
    );
}
