//! One call to several nodes through `nodes` metadata.

use bytes::Bytes;
use http_body_util::BodyExt as _;
use talos_proto::common::{Data, Metadata};
use talos_proto::google::rpc;
use talos_proto::machine::{HostnameResponse, ReadRequest};
use tonic::Code;
use tonic::body::Body;

use crate::four_nodes;
use crate::wire::{Wire, frame, with};

const REFUSED: &str = "connection error: desc = \"transport: Error while dialing: dial tcp 10.5.0.3:50000: \
                       connect: connection refused\"";

#[expect(deprecated, reason = "apid fills them until v2.0")]
fn parts(metadata: Option<Metadata>) -> (String, String, Option<rpc::Status>) {
    let metadata = metadata.unwrap();
    (metadata.hostname, metadata.error, metadata.status)
}

#[tokio::test]
async fn every_node_gives_an_element_that_names_it_as_asked() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let asked = ["10.5.0.4", "sim-worker-1", "10.5.0.4"];
    let metadata: Vec<_> = asked.iter().map(|name| ("nodes", *name)).collect();
    let reply = wire
        .machine()
        .hostname(with((), &metadata))
        .await
        .unwrap()
        .into_inner();
    let mut seen: Vec<_> = reply
        .messages
        .into_iter()
        .map(|message| {
            let (node, error, status) = parts(message.metadata);
            assert_eq!((error.as_str(), status), ("", None));
            (node, message.hostname)
        })
        .collect();
    seen.sort();
    let pair = |node: &str, hostname: &str| (node.to_owned(), hostname.to_owned());
    let expected = [
        pair("10.5.0.4", "sim-controlplane-3"),
        pair("10.5.0.4", "sim-controlplane-3"),
        pair("sim-worker-1", "sim-worker-1"),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn a_thousand_targets_fit_into_one_call() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let metadata = vec![("nodes", "sim-worker-1"); 1000];
    let reply = wire
        .machine()
        .hostname(with((), &metadata))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(reply.messages.len(), 1000);
    assert!(
        reply
            .messages
            .iter()
            .all(|message| message.hostname == "sim-worker-1")
    );
}

#[tokio::test]
async fn metadata_is_spliced_in_behind_the_other_fields() {
    let cluster = four_nodes().cluster_name("c").start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(2)).await;
    let body = Body::new(http_body_util::Full::new(frame(b"")));
    let response = wire
        .raw("/machine.MachineService/Hostname", &[("nodes", "10.5.0.2")], body)
        .await;
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    // messages[0]: hostname (field 2), then metadata (field 1) holding hostname (field 1).
    let mut expected = vec![0, 0, 0, 0, 32, 0x0a, 30, 0x12, 16];
    expected.extend_from_slice(b"c-controlplane-1");
    expected.extend_from_slice(&[0x0a, 0x0a, 0x0a, 0x08]);
    expected.extend_from_slice(b"10.5.0.2");
    assert_eq!(collected.to_bytes(), expected);
}

#[tokio::test]
async fn dead_nodes_are_elements_of_metadata_and_the_call_is_ok() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    cluster.node(1).kill();
    let metadata = [("nodes", "10.5.0.3"), ("nodes", "10.5.0.2")];
    let reply = wire
        .machine()
        .hostname(with((), &metadata))
        .await
        .unwrap()
        .into_inner();
    let (failed, answered): (Vec<_>, Vec<_>) = reply
        .messages
        .into_iter()
        .partition(|message| message.hostname.is_empty());
    assert_eq!(answered[0].hostname, "sim-controlplane-1");
    let (node, error, status) = parts(failed[0].metadata.clone());
    assert_eq!((failed.len(), node.as_str()), (1, "10.5.0.3"));
    assert_eq!(error, format!("rpc error: code = Unavailable desc = {REFUSED}"));
    let status = status.unwrap();
    assert_eq!(
        (status.code, status.message.as_str()),
        (Code::Unavailable as i32, REFUSED)
    );
}

#[tokio::test]
async fn roles_are_checked_at_every_target() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let metadata = [("nodes", "10.5.0.2"), ("nodes", "10.5.0.3")];
    let request = with(talos_proto::machine::RebootRequest::default(), &metadata);
    let reply = wire.machine().reboot(request).await.unwrap().into_inner();
    assert_eq!(reply.messages.len(), 2);
    for message in reply.messages {
        let (_, error, _) = parts(message.metadata);
        assert_eq!(error, "rpc error: code = PermissionDenied desc = not authorized");
    }
}

#[tokio::test]
async fn items_of_streams_are_interleaved_and_failures_are_items() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let contents: Vec<u8> = (0..5000_u32).map(|n| n as u8).collect();
    cluster.node(0).write_file("/var/big", contents.clone());
    cluster.node(2).write_file("/var/big", contents.clone());
    cluster.node(1).kill();
    let metadata = [
        ("nodes", "10.5.0.3"),
        ("nodes", "10.5.0.2"),
        ("nodes", "10.5.0.4"),
        ("nodes", "10.5.0.5"),
    ];
    let request = with(
        ReadRequest {
            path: "/var/big".to_owned(),
        },
        &metadata,
    );
    let mut stream = wire.machine().read(request).await.unwrap().into_inner();
    let mut bytes: std::collections::BTreeMap<String, Vec<u8>> = std::collections::BTreeMap::new();
    let mut errors = Vec::new();
    while let Some(Data {
        metadata,
        bytes: piece,
    }) = stream.message().await.unwrap()
    {
        let (node, error, status) = parts(metadata);
        if error.is_empty() {
            bytes.entry(node).or_default().extend_from_slice(&piece);
        } else {
            assert_eq!(piece, Bytes::new());
            errors.push((node, status.unwrap().code));
        }
    }
    errors.sort();
    let expected = [
        ("10.5.0.3".to_owned(), Code::Unavailable as i32),
        ("10.5.0.5".to_owned(), Code::NotFound as i32),
    ];
    assert_eq!(errors, expected);
    assert_eq!(bytes.keys().collect::<Vec<_>>(), ["10.5.0.2", "10.5.0.4"]);
    assert!(bytes.values().all(|received| *received == contents));
}

#[tokio::test]
async fn only_services_with_room_for_metadata_take_several_nodes() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let request = talos_proto::cosi::resource::GetRequest::default();
    let status = wire
        .state()
        .get(with(request, &[("nodes", "10.5.0.2")]))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        status.message(),
        "one-2-many proxying is not supported for method /cosi.resource.State/Get"
    );
}

#[tokio::test]
async fn an_unknown_method_is_an_element_per_node() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let body = Body::new(http_body_util::Full::new(frame(b"")));
    let response = wire
        .raw(
            "/machine.MachineService/Frobnicate",
            &[("nodes", "10.5.0.3")],
            body,
        )
        .await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let reply: HostnameResponse = prost::Message::decode(bytes.slice(5..)).unwrap();
    let (node, error, _) = parts(reply.messages[0].metadata.clone());
    assert_eq!(node, "10.5.0.3");
    assert_eq!(
        error,
        "rpc error: code = Unimplemented desc = unknown method Frobnicate for service machine.MachineService"
    );
}
