//! Keepalive pings, which grpc-go's default policy does not like.

use std::time::Duration;

use h2::Reason;
use h2::client::{Connection, SendRequest};
use talos_testkit::SimCluster;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::single;
use crate::wire::{client_config, handshake};

async fn connect(
    cluster: &SimCluster,
) -> (
    SendRequest<bytes::Bytes>,
    Connection<TlsStream<TcpStream>, bytes::Bytes>,
) {
    let cert = cluster.client_cert(["os:reader"]).unwrap();
    let config = client_config(cluster.authority().certificate_der(), Some(&cert));
    let stream = handshake(cluster.node(0).socket_addr(), config).await.unwrap();
    h2::client::handshake(stream).await.unwrap()
}

/// Sends pings `every` so often until the connection ends; the number answered, and the end.
async fn ping_until_the_end(
    mut connection: Connection<TlsStream<TcpStream>, bytes::Bytes>,
    every: Duration,
    most: usize,
) -> (usize, Option<h2::Error>) {
    let mut pings = connection.ping_pong().unwrap();
    let mut connection = tokio::spawn(connection);
    for answered in 0..most {
        tokio::select! {
            biased;
            pong = pings.ping(h2::Ping::opaque()) => if pong.is_err() {
                return (answered, connection.await.unwrap().err());
            },
            end = &mut connection => return (answered, end.unwrap().err()),
        }
        tokio::time::sleep(every).await;
    }
    (most, None)
}

#[tokio::test(start_paused = true)]
async fn the_fourth_quick_ping_without_a_call_is_too_many() {
    let cluster = single().await;
    for every in [Duration::from_millis(1), Duration::from_secs(600)] {
        let (_sender, connection) = connect(&cluster).await;
        let (answered, end) = ping_until_the_end(connection, every, 20).await;
        // The first sets the clock, two are forgiven.
        assert!((3..=4).contains(&answered), "{answered}");
        let end = end.expect("a GOAWAY");
        assert!(end.is_go_away() && end.is_remote(), "{end:?}");
        assert_eq!(end.reason(), Some(Reason::ENHANCE_YOUR_CALM));
        assert!(end.to_string().contains("too_many_pings"), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn rare_pings_are_answered() {
    let cluster = single().await;
    let (_sender, connection) = connect(&cluster).await;
    let two_hours = Duration::from_secs(7_201);
    let (answered, end) = ping_until_the_end(connection, two_hours, 8).await;
    assert_eq!((answered, end.is_none()), (8, true));
}

#[tokio::test(start_paused = true)]
async fn a_running_call_allows_a_ping_every_five_minutes() {
    let cluster = single().await;
    for (every, expected) in [(301, 8), (290, 3)] {
        let (mut sender, connection) = connect(&cluster).await;
        let request = http::Request::post("https://talos/machine.MachineService/Version")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())
            .unwrap();
        // A call whose request never ends.
        let (_reply, _body) = sender.send_request(request, false).unwrap();
        let (answered, _) = ping_until_the_end(connection, Duration::from_secs(every), 8).await;
        assert!(
            (expected..=expected + 1).contains(&answered),
            "{every}: {answered}"
        );
    }
}
