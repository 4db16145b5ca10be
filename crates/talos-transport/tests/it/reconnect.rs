//! Connections end; calls go on.

use talos_transport::{AnsweredBy, Channel, CloseReason, Delivery, Error};
use tonic::Code;

use crate::client::{channel, echo, message, server_streaming, tls, transport_error};
use crate::pki::Ca;
use crate::server::{PATIENCE, Server, ServerTls, ports};

async fn start() -> (Ca, Server, Channel) {
    let ca = Ca::new();
    let server = Server::start(ServerTls::new(ca.server(&["127.0.0.1"]), &ca.pem)).await;
    let channel = channel(server.endpoint(), tls(&ca, &ca.client()));
    echo(&channel).await.unwrap();
    (ca, server, channel)
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let (ca, server, channel) = start().await;
    let address = server.address();
    server.kill().await;
    let server = Server::start_at(address, ServerTls::new(ca.server(&["127.0.0.1"]), &ca.pem)).await;
    echo_until_reconnected(&channel).await;
    assert_eq!(server.connections(), 1);
}

/// A call may still be sent on a connection that has died a moment ago; whether it was then is not known. The next one
/// must work.
async fn echo_until_reconnected(channel: &Channel) {
    if let Err(status) = echo(channel).await {
        assert!(
            matches!(transport_error(&status), Error::Closed { .. }),
            "{status:?}"
        );
        echo(channel).await.unwrap();
    }
}

#[tokio::test]
async fn calls_under_way_fail_with_the_reason_when_the_server_dies() {
    let (_ca, server, channel) = start().await;
    let mut stream = server_streaming(&channel, "HangAfterHeaders", message(""))
        .await
        .unwrap()
        .into_inner();
    server.kill().await;
    let status = stream.message().await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    match transport_error(&status) {
        Error::Closed { reason, delivery, .. } => {
            assert!(
                matches!(reason, CloseReason::Eof | CloseReason::Io(_)),
                "{reason:?}"
            );
            assert_eq!(*delivery, Delivery::Unknown);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_graceful_end_is_not_noticed_by_callers() {
    let (_ca, server, channel) = start().await;
    for round in 2..6 {
        let mut stream = server_streaming(&channel, "Flood", message(""))
            .await
            .unwrap()
            .into_inner();
        stream.message().await.unwrap().unwrap();
        server.go_away();
        // The stream that was begun goes on while new calls move to a new connection.
        while server.connections() < round {
            echo(&channel).await.unwrap();
            stream.message().await.unwrap().unwrap();
        }
        stream.message().await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_next_endpoint_takes_over() {
    let ca = Ca::new();
    let tls = tls(&ca, &ca.client());
    let start = || Server::start(ServerTls::new(ca.server(&["127.0.0.1"]), &ca.pem));
    let (one, other) = (start().await, start().await);
    let channel = Channel::builder([one.endpoint(), other.endpoint()])
        .tls(tls)
        .connect_timeout(PATIENCE)
        .build()
        .unwrap();
    let first = channel.connect().await.unwrap();
    let (used, spare) = if first == one.endpoint() {
        (one, other)
    } else {
        (other, one)
    };
    used.kill().await;
    echo_until_reconnected(&channel).await;
    let response = echo(&channel).await.unwrap();
    assert_eq!(
        response.extensions().get::<AnsweredBy>().unwrap().endpoint(),
        &spare.endpoint()
    );
}

#[tokio::test]
async fn a_server_that_comes_up_late_is_found_by_the_next_call() {
    let ca = Ca::new();
    let address = ports::reserve();
    let channel = channel(
        talos_transport::Endpoint::try_from(address).unwrap(),
        tls(&ca, &ca.client()),
    );
    assert_eq!(echo(&channel).await.unwrap_err().code(), Code::Unavailable);
    let _server = Server::start_at(address, ServerTls::new(ca.server(&["127.0.0.1"]), &ca.pem)).await;
    echo(&channel).await.unwrap();
}
