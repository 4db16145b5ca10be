//! Which node answers, and what the reply looks like then.

use talos_proto::machine::Version;
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
async fn a_dead_node_is_refused_by_its_endpoint_and_the_others_answer() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    cluster.node(1).kill();
    let status = hostnames(&wire, &[("node", "10.5.0.3")]).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(
        status.message(),
        "connection error: desc = \"transport: Error while dialing: dial tcp 10.5.0.3:50000: connect: \
         connection refused\""
    );
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
