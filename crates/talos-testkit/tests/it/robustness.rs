//! Clients that misbehave, and machines that have no room.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::StreamBody;
use talos_testkit::{Code, Listen, SimCluster, SimError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tonic::body::Body;

use crate::faults::{VERSION, version};
use crate::single;
use crate::wire::{Wire, client_config, frame, handshake};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

async fn tls(cluster: &SimCluster) -> TlsStream<TcpStream> {
    let cert = cluster.client_cert(["os:admin"]).unwrap();
    let config = client_config(cluster.authority().certificate_der(), Some(&cert));
    handshake(cluster.node(0).socket_addr(), config).await.unwrap()
}

/// An HTTP/2 frame whose header says `length`.
fn h2_frame(length: u32, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = length.to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Sends `bytes`, then the end, and takes what comes until the other side is done.
async fn send(cluster: &SimCluster, bytes: &[u8]) {
    let mut stream = tls(cluster).await;
    // The other side may have had enough before it has all.
    if stream.write_all(bytes).await.is_ok() {
        let _ = stream.shutdown().await;
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

async fn still_serves(cluster: &SimCluster) {
    let wire = Wire::admin(cluster, &cluster.node(0)).await;
    assert_eq!(version(&wire, &[]).await.0, Code::Ok);
}

#[tokio::test]
async fn garbage_before_tls_ends_the_connection_and_nothing_else() {
    let cluster = single().await;
    let address = cluster.node(0).socket_addr();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let pieces: [&[u8]; 5] = [
        b"",
        b"GET / HTTP/1.1\r\n\r\n",
        &[0; 4096],
        &[0x16, 3, 1, 0xff, 0xff],
        PREFACE,
    ];
    for piece in pieces {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let _ = socket.write_all(piece).await;
        let _ = socket.shutdown().await;
        let mut rest = Vec::new();
        let _ = socket.read_to_end(&mut rest).await;
        assert_eq!(version(&wire, &[]).await.0, Code::Ok);
    }
    let failed = cluster.requests().connections();
    let failed = failed.iter().filter(|connection| !connection.established).count();
    assert_eq!(failed, pieces.len());
}

#[tokio::test]
async fn garbage_after_tls_ends_the_connection_and_nothing_else() {
    let cluster = single().await;
    let begun = [PREFACE, SETTINGS].concat();
    let after = |more: Vec<u8>| [begun.clone(), more].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("nothing", Vec::new()),
        ("no preface", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
        ("half a preface", PREFACE[..10].to_vec()),
        ("half a frame header", after(vec![0, 0, 8, 6])),
        ("half a ping", after(h2_frame(8, 6, 0, 0, &[1, 2, 3]))),
        (
            "a frame of 16 MiB",
            after(h2_frame(0xff_ffff, 0, 0, 1, &[0; 1024])),
        ),
        (
            "an unknown frame",
            after(h2_frame(4, 0xbe, 0xff, 0x7fff_ffff, &[0; 4])),
        ),
        (
            "headers that are no HPACK",
            after(h2_frame(6, 1, 4, 1, &[0xff; 6])),
        ),
        ("headers without an end", after(h2_frame(1, 1, 0, 1, &[0x82]))),
        (
            "data on a stream that is none",
            after(h2_frame(4, 0, 0, 9, &[0; 4])),
        ),
        ("an even stream", after(h2_frame(1, 1, 5, 2, &[0x82]))),
        ("a window of nothing", after(h2_frame(4, 8, 0, 0, &[0; 4]))),
        ("settings of a wrong size", after(h2_frame(5, 4, 0, 0, &[0; 5]))),
        ("a reset of nothing", after(h2_frame(4, 3, 0, 1, &[0; 4]))),
        ("zeros", after(vec![0; 70_000])),
    ];
    for (name, bytes) in cases {
        send(&cluster, &bytes).await;
        still_serves(&cluster).await;
        assert!(cluster.node(0).is_running(), "{name}");
    }
}

#[tokio::test]
async fn endless_headers_end() {
    let cluster = single().await;
    let mut stream = tls(&cluster).await;
    stream.write_all(&[PREFACE, SETTINGS].concat()).await.unwrap();
    stream.write_all(&h2_frame(1, 1, 0, 1, &[0x82])).await.unwrap();
    // One literal field after the other, in continuations without an end.
    let field = [&[0x00, 0x01, b'x', 0x7f, 0x81, 0x7e][..], &[b'y'; 16_384]].concat();
    let continuation = h2_frame(16_384, 9, 0, 1, &field[..16_384]);
    let mut sent = 0_usize;
    let ended = loop {
        if stream.write_all(&continuation).await.is_err() || stream.flush().await.is_err() {
            break true;
        }
        sent += continuation.len();
        if sent > 256 << 20 {
            break false;
        }
    };
    assert!(ended, "the connection took {sent} bytes of headers");
    still_serves(&cluster).await;
}

#[tokio::test]
async fn broken_messages_are_errors_of_their_calls() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let logs = "/machine.MachineService/Logs";
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("no message", Vec::new()),
        ("half a header", vec![0, 0]),
        ("half a message", vec![0, 0, 0, 0, 9, 1, 2]),
        ("no protobuf", frame(&[0xff; 20]).to_vec()),
        (
            "a wrong wire type",
            frame(&[0x0a, 0xff, 0xff, 0xff, 0x7f]).to_vec(),
        ),
        ("a flag that is none", vec![7, 0, 0, 0, 0]),
        ("compressed, but not really", vec![1, 0, 0, 0, 3, 1, 2, 3]),
        ("gigabytes", vec![0, 0xff, 0xff, 0xff, 0xff]),
    ];
    for (name, bytes) in bodies {
        let body = Body::new(http_body_util::Full::new(Bytes::from(bytes)));
        let status = crate::wire::final_status(wire.raw(logs, &[], body).await).await;
        assert_ne!(status.code(), Code::Ok, "{name}");
        assert_eq!(version(&wire, &[]).await.0, Code::Ok, "{name}");
    }
}

#[tokio::test]
async fn calls_that_are_given_up_leave_nothing_behind() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    for _ in 0..200 {
        let endless = StreamBody::new(futures_util::stream::pending::<
            Result<http_body::Frame<Bytes>, tonic::Status>,
        >());
        let mut call = Box::pin(wire.raw(VERSION, &[], Body::new(endless)));
        let _ = futures_util::poll!(&mut call);
        tokio::task::yield_now().await;
    }
    assert_eq!(version(&wire, &[]).await.0, Code::Ok);
    drop(wire);
    let closed = |connection: &talos_testkit::RecordedConnection| connection.closed;
    cluster.requests().wait_for_connection(closed).await;
    let still_running = cluster.requests().count(|call| call.code.is_none());
    assert_eq!(still_running, 0);
}

#[tokio::test]
async fn one_address_is_enough_for_all_nodes() {
    // What happens on systems that have 127.0.0.1 only.
    let builder = SimCluster::builder().control_planes(2).workers(1);
    let cluster = builder.listen(Listen::SharedLoopback).start().await.unwrap();
    let addresses: Vec<SocketAddr> = (0..3).map(|index| cluster.node(index).socket_addr()).collect();
    assert!(
        addresses
            .iter()
            .all(|address| address.ip().to_string() == "127.0.0.1")
    );
    let ports: std::collections::BTreeSet<_> = addresses.iter().map(SocketAddr::port).collect();
    assert_eq!(ports.len(), 3);
    for index in 0..3 {
        let wire = Wire::admin(&cluster, &cluster.node(index)).await;
        assert_eq!(
            version(&wire, &[("node", &cluster.node(index).name())]).await.0,
            Code::Ok
        );
    }
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    assert_eq!(version(&wire, &[("node", "10.5.0.4")]).await.0, Code::Ok);
    cluster.node(1).kill();
    assert_eq!(version(&wire, &[("node", "10.5.0.3")]).await.0, Code::Unavailable);
}

#[tokio::test]
async fn an_address_that_is_not_ours_is_named() {
    let listen = Listen::Ip([192, 0, 2, 1].into());
    let error = SimCluster::builder().listen(listen).start().await.unwrap_err();
    assert!(matches!(error, SimError::Listen { .. }), "{error}");
    assert_eq!(error.to_string(), "listening on 192.0.2.1:0 failed");
}

#[tokio::test]
async fn fixed_ports_are_one_clusters_own() {
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = free.local_addr().unwrap().port();
    let builder = SimCluster::builder()
        .listen(Listen::SharedLoopback)
        .first_port(port);
    let error = builder.clone().start().await.unwrap_err();
    assert_eq!(error.to_string(), format!("listening on 127.0.0.1:{port} failed"));
    drop(free);
    let first = builder.clone().start().await.unwrap();
    assert_eq!(first.node(0).socket_addr().port(), port);
    builder.clone().start().await.unwrap_err();
    first.shutdown().await;
    let again = builder.start().await.unwrap();
    assert_eq!(again.node(0).socket_addr().port(), port);
    let error = SimCluster::builder()
        .listen(Listen::SharedLoopback)
        .workers(9)
        .first_port(65_530)
        .start()
        .await
        .unwrap_err();
    assert!(
        matches!(error, SimError::NoPort { .. } | SimError::Listen { .. }),
        "{error}"
    );
}
