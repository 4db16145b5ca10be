//! Connections that are refused, silent, cut, or badly certified.

use std::io;

use futures_util::FutureExt as _;
use rustls::CertificateError;
use talos_testkit::fault::{CallFault, Certificate, ConnectionFault};
use talos_testkit::{Code, SimCluster, SimNode};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use x509_parser::prelude::*;

use super::{VERSION, empty, version};
use crate::wire::{Wire, client_config, handshake};
use crate::{four_nodes, single};

async fn connect(node: &SimNode) -> io::Result<TcpStream> {
    TcpStream::connect(node.socket_addr()).await
}

async fn tls(cluster: &SimCluster, node: &SimNode) -> io::Result<()> {
    let cert = cluster.client_cert(["os:reader"]).unwrap();
    let config = client_config(cluster.authority().certificate_der(), Some(&cert));
    handshake(node.socket_addr(), config).await.map(drop)
}

#[tokio::test]
async fn refused_connections_leave_others_alone() {
    let cluster = four_nodes().start().await.unwrap();
    let node = cluster.node(1);
    let wire = Wire::admin(&cluster, &node).await;
    let refusing = cluster.inject(ConnectionFault::to("10.5.0.3").refuse()).unwrap();
    let refused = connect(&node).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    assert_eq!(version(&wire, &[]).await.0, Code::Ok, "an old connection");
    let other = Wire::admin(&cluster, &cluster.node(0)).await;
    let (code, message) = version(&other, &[("node", "10.5.0.3")]).await;
    assert_eq!(code, Code::Unavailable);
    assert!(
        message.ends_with("dial tcp 10.5.0.3:50000: connect: connection refused\""),
        "{message}"
    );
    refusing.remove();
    tls(&cluster, &node).await.unwrap();
    node.kill();
    let refusing = cluster
        .inject(ConnectionFault::to_all().from_clients().refuse())
        .unwrap();
    node.revive().unwrap();
    connect(&node).await.unwrap_err();
    refusing.remove();
    tls(&cluster, &node).await.unwrap();
}

#[tokio::test]
async fn some_connections_are_reset() {
    let cluster = single().await;
    let node = cluster.node(0);
    let fault = ConnectionFault::to_all().attempts(..=2).refuse();
    let fault = cluster.inject(fault).unwrap();
    for _ in 0..2 {
        let mut socket = connect(&node).await.unwrap();
        assert_eq!(
            socket.read_u8().await.unwrap_err().kind(),
            io::ErrorKind::ConnectionReset
        );
    }
    tls(&cluster, &node).await.unwrap();
    assert_eq!((fault.seen(), fault.hits()), (3, 2));
    assert_eq!(cluster.requests().connections().len(), 3);
}

#[tokio::test]
async fn a_black_hole_swallows_old_and_new_connections_until_it_is_gone() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    assert_eq!(version(&wire, &[]).await.0, Code::Ok);
    let hole = cluster
        .inject(ConnectionFault::to("10.5.0.2").black_hole())
        .unwrap();
    let mut call = Box::pin(wire.raw(VERSION, &[], empty()));
    let mut joining = Box::pin(tls(&cluster, &node));
    // The connection is accepted, and that is all.
    tokio::select! {
        _ = &mut call => panic!("an answer"),
        _ = &mut joining => panic!("a handshake"),
        () = hole.wait_for_hits(1) => {}
    }
    tokio::task::yield_now().await;
    assert!((&mut call).now_or_never().is_none());
    hole.remove();
    call.await;
    joining.await.unwrap();
}

#[tokio::test]
async fn one_connection_can_fall_into_a_hole() {
    let cluster = single().await;
    let node = cluster.node(0);
    let hole = ConnectionFault::to_all()
        .from_clients()
        .attempts(1..=1)
        .black_hole();
    let hole = cluster.inject(hole).unwrap();
    let mut joining = Box::pin(tls(&cluster, &node));
    tokio::select! {
        _ = &mut joining => panic!("a handshake"),
        () = hole.wait_for_hits(1) => {}
    }
    tls(&cluster, &node).await.unwrap();
    assert!((&mut joining).now_or_never().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_node_in_a_hole_times_out_for_the_others() {
    let cluster = four_nodes().start().await.unwrap();
    let hole = ConnectionFault::to("10.5.0.5").from_nodes().black_hole();
    cluster.inject(hole).unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let (code, message) = version(&wire, &[("node", "10.5.0.5")]).await;
    assert_eq!(code, Code::Unavailable);
    assert!(
        message.ends_with("dial tcp 10.5.0.5:50000: i/o timeout\""),
        "{message}"
    );
    let cut = ConnectionFault::to("10.5.0.3").from_node("10.5.0.4").refuse();
    cluster.inject(cut).unwrap();
    let node = [("node", "10.5.0.3")];
    assert_eq!(version(&wire, &node).await.0, Code::Ok);
    let beyond = Wire::admin(&cluster, &cluster.node(2)).await;
    assert_eq!(version(&beyond, &node).await.0, Code::Unavailable);
}

#[tokio::test]
async fn bad_server_certificates_are_what_they_say() {
    let cluster = single().await;
    let node = cluster.node(0);
    type Check = fn(&CertificateError) -> bool;
    let cases: [(Certificate, Check); 4] = [
        (Certificate::Expired, |error| {
            matches!(error, CertificateError::ExpiredContext { .. })
        }),
        (Certificate::NotYetValid, |error| {
            matches!(error, CertificateError::NotValidYetContext { .. })
        }),
        (Certificate::WrongName, |error| {
            matches!(error, CertificateError::NotValidForNameContext { .. })
        }),
        (Certificate::ForeignAuthority, |error| {
            matches!(
                error,
                CertificateError::UnknownIssuer | CertificateError::BadSignature
            )
        }),
    ];
    for (certificate, check) in cases {
        let fault = ConnectionFault::to("10.5.0.2").from_clients();
        let fault = cluster.inject(fault.certificate(certificate)).unwrap();
        let error = tls(&cluster, &node).await.unwrap_err();
        match error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap() {
            rustls::Error::InvalidCertificate(error) => assert!(check(error), "{certificate:?} {error:?}"),
            other => panic!("{certificate:?} {other}"),
        }
        fault.remove();
    }
    tls(&cluster, &node).await.unwrap();
}

#[tokio::test]
async fn a_node_with_a_bad_certificate_is_refused_by_the_others() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let cases = [
        (
            Certificate::WrongName,
            "x509: certificate is valid for elsewhere.invalid, not 10.5.0.3\"",
        ),
        (
            Certificate::ForeignAuthority,
            "x509: certificate signed by unknown authority\"",
        ),
        (Certificate::Expired, "Z\""),
    ];
    for (certificate, end) in cases {
        let fault = ConnectionFault::to("10.5.0.3").certificate(certificate);
        let fault = cluster.inject(fault).unwrap();
        let (code, message) = version(&wire, &[("node", "10.5.0.3")]).await;
        assert_eq!(code, Code::Unavailable);
        let start = "connection error: desc = \"transport: authentication handshake failed: tls: failed to \
                     verify certificate: x509: ";
        assert!(message.starts_with(start) && message.ends_with(end), "{message}");
        fault.remove();
    }
    assert_eq!(version(&wire, &[("node", "10.5.0.3")]).await.0, Code::Ok);
}

#[tokio::test]
async fn connections_break_after_so_many_bytes() {
    let cluster = single().await;
    let node = cluster.node(0);
    cluster
        .inject(ConnectionFault::to_all().attempts(1..=1).cut_after_bytes(2_000))
        .unwrap();
    node.append_log("long", &"x".repeat(64 * 1024));
    let request = || talos_proto::machine::LogsRequest {
        namespace: "system".to_owned(),
        id: "long".to_owned(),
        tail_lines: -1,
        ..Default::default()
    };
    let wire = Wire::admin(&cluster, &node).await;
    wire.logs(request()).await.unwrap_err();
    wire.machine().version(()).await.unwrap_err();
    let wire = Wire::admin(&cluster, &node).await;
    assert_eq!(wire.logs(request()).await.unwrap().len(), 64 * 1024 + 1);
}

#[tokio::test]
async fn a_client_that_is_told_to_go_finishes_its_calls() {
    let cluster = single().await;
    let node = cluster.node(0);
    let request = talos_proto::machine::LogsRequest {
        namespace: "system".to_owned(),
        id: "etcd".to_owned(),
        follow: true,
        tail_lines: 1,
        ..Default::default()
    };
    for injected in [false, true] {
        let wire = Wire::admin(&cluster, &node).await;
        let mut stream = wire.machine().logs(request.clone()).await.unwrap().into_inner();
        stream.message().await.unwrap().unwrap();
        if injected {
            let fault = CallFault::on_endpoints().method("Version").go_away();
            cluster.inject(fault).unwrap();
            assert_eq!(
                version(&wire, &[]).await.0,
                Code::Ok,
                "the call that brings it on"
            );
        } else {
            node.go_away();
        }
        // Frames of one connection stay in order, so the end of the stream comes after the GOAWAY.
        node.append_log("etcd", "one more");
        while !stream
            .message()
            .await
            .unwrap()
            .unwrap()
            .bytes
            .ends_with(b"one more\n")
        {}
        while wire.machine().hostname(()).await.is_ok() {}
        node.append_log("etcd", "and another");
        while !stream
            .message()
            .await
            .unwrap()
            .unwrap()
            .bytes
            .ends_with(b"and another\n")
        {}
        cluster.clear_faults();
    }
    node.disconnect_clients();
    Wire::admin(&cluster, &node)
        .await
        .machine()
        .version(())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_for_new_connections() {
    let cluster = single().await;
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let before = node.server_certificate().unwrap();
    node.renew_certificate();
    let after = node.server_certificate().unwrap();
    assert_ne!(before, after);
    let key = |der: &[u8]| {
        let (_, certificate) = X509Certificate::from_der(der).unwrap();
        certificate.public_key().raw.to_vec()
    };
    assert_ne!(key(&before), key(&after));
    assert_eq!(version(&wire, &[]).await.0, Code::Ok, "the old connection lives");
    let cert = cluster.client_cert(["os:reader"]).unwrap();
    let config = client_config(cluster.authority().certificate_der(), Some(&cert));
    let stream = handshake(node.socket_addr(), config).await.unwrap();
    assert_eq!(stream.get_ref().1.peer_certificates().unwrap()[0].as_ref(), after);
}
