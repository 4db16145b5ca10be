//! gRPC as grpc-go speaks it.

use std::io::Write as _;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http_body_util::{BodyExt as _, Full};
use prost::Message as _;
use talos_proto::machine::{HostnameResponse, LogsRequest};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::single;
use crate::wire::{Wire, final_status, frame};

const HOSTNAME: &str = "/machine.MachineService/Hostname";
const LOGS: &str = "/machine.MachineService/Logs";

fn body(bytes: impl Into<Bytes>) -> Body {
    Body::new(Full::new(bytes.into()))
}

fn follow(tail_lines: i32) -> Bytes {
    let request = LogsRequest {
        namespace: "system".to_owned(),
        id: "etcd".to_owned(),
        follow: true,
        tail_lines,
        ..LogsRequest::default()
    };
    frame(&request.encode_to_vec())
}

#[tokio::test]
async fn headers_come_with_the_first_message() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let mut opening = Box::pin(wire.raw(LOGS, &[], body(follow(0))));
    assert!((&mut opening).now_or_never().is_none());
    let reached = |call: &talos_testkit::RecordedCall| call.method == LOGS && !call.handled_by.is_empty();
    tokio::select! {
        _ = &mut opening => panic!("headers without a message"),
        _ = cluster.requests().wait_for(reached) => {}
    }
    // Frames of one connection stay in order: whatever was sent for the first call has arrived by now.
    tokio::select! {
        _ = &mut opening => panic!("headers without a message"),
        reply = wire.raw(HOSTNAME, &[], body(frame(b""))) => { reply.into_body().collect().await.unwrap(); }
    }
    assert!((&mut opening).now_or_never().is_none());
    node.append_log("etcd", "at last");
    let response = opening.await;
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(!response.headers().contains_key("grpc-status"));
}

#[tokio::test]
async fn errors_before_the_first_message_are_trailers_only() {
    let cluster = single().await;
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:etcd:backup"]).await;
    let response = wire.raw(LOGS, &[], body(follow(0))).await;
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(response.headers()["content-type"], "application/grpc");
    assert!(
        response
            .into_body()
            .collect()
            .await
            .unwrap()
            .to_bytes()
            .is_empty()
    );
}

#[tokio::test]
async fn gzip_is_answered_with_gzip() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(b"").unwrap();
    let mut request = frame(&encoder.finish().unwrap()).to_vec();
    request[0] = 1;
    let response = wire
        .raw(HOSTNAME, &[("grpc-encoding", "gzip")], body(request))
        .await;
    assert_eq!(response.headers()["grpc-encoding"], "gzip");
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    let bytes = collected.to_bytes();
    assert_eq!(bytes[0], 1);
    let mut message = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(&bytes[5..]), &mut message).unwrap();
    let reply = HostnameResponse::decode(message.as_slice()).unwrap();
    assert_eq!(reply.messages[0].hostname, "sim-controlplane-1");
    let recorded = cluster.requests().of("Hostname");
    assert_eq!(
        recorded[0].messages,
        [Bytes::new()],
        "recorded as it was before compression"
    );

    let response = wire
        .raw(HOSTNAME, &[("grpc-encoding", "zstd")], body(frame(b"")))
        .await;
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::Unimplemented);
    assert_eq!(
        status.message(),
        "grpc: Decompressor is not installed for grpc-encoding \"zstd\""
    );
}

#[tokio::test]
async fn messages_beyond_32_mib_fail_at_the_endpoint() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let length = 32 * 1024 * 1024 + 1_u32;
    let header = [&[0], length.to_be_bytes().as_slice()].concat();
    let response = wire.raw(HOSTNAME, &[], body(header)).await;
    let status = Status::from_header_map(response.headers()).unwrap();
    assert_eq!(status.code(), Code::Internal);
    assert_eq!(
        status.message(),
        "failed proxying s2c: rpc error: code = ResourceExhausted desc = grpc: received message larger than \
         max (33554433 vs. 33554432)"
    );
}

#[tokio::test]
async fn deadlines_end_calls() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let expected = (Code::DeadlineExceeded, "context deadline exceeded");
    for (timeout, metadata, tail_lines) in [("1m", ("x", "y"), 0), ("100m", ("node", "10.5.0.2"), -1)] {
        let response = wire
            .raw(
                LOGS,
                &[("grpc-timeout", timeout), metadata],
                body(follow(tail_lines)),
            )
            .await;
        let status = final_status(response).await;
        assert_eq!((status.code(), status.message()), expected);
    }
}

#[tokio::test]
async fn what_is_no_grpc_call_gets_an_http_status() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let get = wire
        .request(
            "GET",
            HOSTNAME,
            &[("content-type", "application/grpc")],
            Body::empty(),
        )
        .await;
    assert_eq!(get.status(), 405);
    let json = wire
        .request(
            "POST",
            HOSTNAME,
            &[("content-type", "application/json")],
            Body::empty(),
        )
        .await;
    assert_eq!(json.status(), 415);
    assert_eq!(cluster.requests().all().len(), 0);
}
