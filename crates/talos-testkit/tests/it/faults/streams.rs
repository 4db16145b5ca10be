//! Replies that are cut, slowed down or added to.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use prost::Message as _;
use talos_proto::common::Data;
use talos_proto::machine::LogsRequest;
use talos_testkit::fault::CallFault;
use talos_testkit::{Code, SimCluster};
use tonic::body::Body;

use super::{drain, reason, version};
use crate::single;
use crate::wire::{Wire, frame, with};

const LOGS: &str = "/machine.MachineService/Logs";

fn whole_log() -> LogsRequest {
    LogsRequest {
        namespace: "system".to_owned(),
        id: "long".to_owned(),
        tail_lines: -1,
        ..LogsRequest::default()
    }
}

fn request() -> Body {
    Body::new(Full::new(frame(&whole_log().encode_to_vec())))
}

async fn with_long_log() -> (SimCluster, Wire) {
    let cluster = single().await;
    let node = cluster.node(0);
    node.append_log("long", &"x".repeat(64 * 1024));
    let wire = Wire::admin(&cluster, &node).await;
    (cluster, wire)
}

/// The sizes of the messages in a piece of a body, and what is left over.
fn messages(mut bytes: &[u8]) -> (Vec<usize>, usize) {
    let mut sizes = Vec::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<5>() {
        let size = u32::from_be_bytes([header[1], header[2], header[3], header[4]]) as usize;
        let Some(rest) = rest.get(size..) else { break };
        sizes.push(size);
        bytes = rest;
    }
    (sizes, bytes.len())
}

#[tokio::test]
async fn a_reply_is_cut_after_messages() {
    let (cluster, wire) = with_long_log().await;
    for count in [1, 3, 20] {
        let cut = CallFault::on_endpoints().reset_stream(2).after_messages(count);
        let cut = cluster.inject(cut).unwrap();
        let (bytes, end) = drain(wire.raw(LOGS, &[], request()).await).await;
        assert_eq!(messages(&bytes), (messages(&bytes).0, 0), "whole messages");
        assert_eq!(messages(&bytes).0.len() as u64, count);
        assert_eq!(reason(&end.unwrap_err()), Some(h2::Reason::INTERNAL_ERROR));
        cut.remove();
    }
    let cut = CallFault::on_nodes()
        .status(Code::DataLoss, "gone")
        .after_messages(2);
    cluster.inject(cut).unwrap();
    let (bytes, end) = drain(wire.raw(LOGS, &[], request()).await).await;
    assert_eq!(messages(&bytes).0.len(), 2);
    assert_eq!(end.unwrap().unwrap().code(), Code::DataLoss);
}

#[tokio::test]
async fn a_reply_is_cut_after_bytes_in_the_middle_of_a_message() {
    let (cluster, wire) = with_long_log().await;
    let cut = CallFault::on_endpoints()
        .method("Logs")
        .disconnect()
        .after_bytes(10_000);
    cluster.inject(cut).unwrap();
    let (bytes, end) = drain(wire.raw(LOGS, &[], request()).await).await;
    assert_eq!(bytes.len(), 10_000);
    assert_ne!(messages(&bytes).1, 0);
    end.unwrap_err();
    wire.machine().version(()).await.unwrap_err();
    let closed = cluster
        .requests()
        .wait_for_connection(|connection| connection.closed)
        .await;
    assert_eq!((closed.number, closed.established), (1, true));
    assert_eq!(closed.roles, ["os:admin"]);
}

#[tokio::test]
async fn a_reply_can_end_early_and_well() {
    let (cluster, wire) = with_long_log().await;
    let cut = CallFault::on_nodes()
        .method("Logs")
        .status(Code::Ok, "")
        .after_messages(4);
    cluster.inject(cut).unwrap();
    let mut stream = wire.machine().logs(whole_log()).await.unwrap().into_inner();
    let mut count = 0;
    while stream.message().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 4);
}

#[tokio::test]
async fn a_shorter_reply_stays_as_it_is() {
    let (cluster, wire) = with_long_log().await;
    let cut = CallFault::on_nodes()
        .status(Code::DataLoss, "gone")
        .after_messages(9_999);
    let cut = cluster.inject(cut).unwrap();
    let bytes = wire.logs(whole_log()).await.unwrap();
    assert_eq!(bytes.len(), 64 * 1024 + 1);
    assert_eq!(version(&wire, &[]).await.0, Code::Ok);
    assert_eq!(cut.hits(), 2);
    let refused = Wire::with_roles(&cluster, &cluster.node(0), &[]).await;
    assert_eq!(version(&refused, &[]).await.0, Code::PermissionDenied);
}

#[tokio::test]
async fn messages_can_be_added_before_the_end() {
    let (cluster, wire) = with_long_log().await;
    let extra = Data {
        metadata: None,
        bytes: Bytes::from_static(b"extra"),
    };
    let added = CallFault::on_nodes()
        .method("Logs")
        .message(extra.encode_to_vec());
    let added = cluster.inject(added).unwrap();
    let bytes = wire.logs(whole_log()).await.unwrap();
    assert!(bytes.ends_with(b"x\nextra"), "at the end of a whole reply");
    added.remove();
    let only = CallFault::on_nodes()
        .method("Logs")
        .message(extra.encode_to_vec());
    cluster
        .inject(only.status(Code::Aborted, "enough").after_messages(0))
        .unwrap();
    let mut stream = wire.machine().logs(whole_log()).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().bytes, "extra");
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Aborted);
}

#[tokio::test(start_paused = true)]
async fn messages_can_be_slowed_down() {
    let (cluster, wire) = with_long_log().await;
    let slow = CallFault::on_nodes().method("Logs").pace(Duration::from_secs(10));
    cluster.inject(slow).unwrap();
    let began = tokio::time::Instant::now();
    let bytes = wire.logs(whole_log()).await.unwrap();
    assert_eq!(bytes.len(), 64 * 1024 + 1);
    assert!(
        began.elapsed() >= Duration::from_secs(640),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn faults_of_one_node_are_elements_of_a_joined_reply() {
    let cluster = crate::four_nodes().start().await.unwrap();
    let fault = CallFault::on_node("10.5.0.3").status(Code::Internal, "broken");
    cluster.inject(fault).unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let both = [("nodes", "10.5.0.2"), ("nodes", "10.5.0.3")];
    let reply = wire
        .machine()
        .version(with((), &both))
        .await
        .unwrap()
        .into_inner();
    #[expect(deprecated, reason = "apid fills it until v2.0")]
    let mut errors: Vec<_> = reply
        .messages
        .into_iter()
        .map(|message| message.metadata.unwrap())
        .map(|metadata| (metadata.hostname, metadata.error))
        .collect();
    errors.sort();
    let broken = "rpc error: code = Internal desc = broken".to_owned();
    assert_eq!(
        errors,
        [
            ("10.5.0.2".to_owned(), String::new()),
            ("10.5.0.3".to_owned(), broken)
        ]
    );
}
