//! What comes back from a call.

use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use talos_transport::{
    AnsweredBy, CallTimeout, Channel, Delivery, Error, FirstResponseTimeout, MAX_MESSAGE_SIZE, ResetCode,
};
use tonic::{Code, Request};

use crate::client::{builder, echo, message, server_streaming, streaming, tls, transport_error, unary};
use crate::pki::Ca;
use crate::server::{PATIENCE, Server, ServerTls};

pub(crate) async fn start() -> (Server, talos_transport::ChannelBuilder) {
    let ca = Ca::new();
    let server = Server::start(ServerTls::new(ca.server(&["127.0.0.1"]), &ca.pem)).await;
    let builder = builder(server.endpoint(), tls(&ca, &ca.client()));
    (server, builder)
}

pub(crate) async fn connected() -> (Server, Channel) {
    let (server, builder) = start().await;
    (server, builder.build().unwrap())
}

pub(crate) fn all<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers
        .get_all(name)
        .iter()
        .map(|value| value.to_str().unwrap())
        .collect()
}

#[tokio::test]
async fn responses_tell_who_answered() {
    let (server, channel) = connected().await;
    let response = echo(&channel).await.unwrap();
    assert_eq!(
        response.extensions().get::<AnsweredBy>().unwrap().endpoint(),
        &server.endpoint()
    );
}

#[tokio::test]
async fn a_status_of_the_server_arrives_unchanged_and_tells_who_sent_it() {
    let (server, channel) = connected().await;
    let sender = |status: &tonic::Status| {
        status
            .source()
            .unwrap()
            .downcast_ref::<AnsweredBy>()
            .unwrap()
            .endpoint()
            .clone()
    };

    let status = unary(&channel, "Refuse", message("")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::PermissionDenied, "not authorized")
    );
    assert_eq!(status.metadata().get("x-from").unwrap(), "machined");
    assert_eq!(sender(&status), server.endpoint());

    let status = unary(&channel, "FailLate", message("ping")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "too early")
    );
    assert_eq!(status.details(), [8, 9]);
    assert_eq!(sender(&status), server.endpoint());

    let mut stream = server_streaming(&channel, "FailLate", message("ping"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap(), "ping");
    let status = stream.message().await.unwrap_err();
    assert_eq!(
        (status.code(), sender(&status)),
        (Code::FailedPrecondition, server.endpoint())
    );
}

#[tokio::test]
async fn unreadable_status_details_are_dropped_without_a_panic() {
    let (_server, channel) = connected().await;
    let status = unary(&channel, "BadDetails", message("ping")).await.unwrap_err();
    assert_eq!(
        (status.code(), status.details()),
        (Code::FailedPrecondition, &[][..])
    );
}

#[tokio::test]
async fn an_answer_that_is_not_grpc_is_recognized() {
    let (server, channel) = connected().await;
    let status = unary(&channel, "Page", message("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    match transport_error(&status) {
        Error::NotGrpc {
            endpoint,
            status: 503,
            content_type,
        } => {
            assert_eq!(
                (endpoint, content_type.as_deref()),
                (&server.endpoint(), Some("text/html"))
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_reset_call_fails_alone() {
    let (server, channel) = connected().await;
    let status = unary(&channel, "RefusedStream", message("")).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    match transport_error(&status) {
        error @ Error::Reset { code, .. } => {
            assert_eq!(
                (*code, error.delivery()),
                (ResetCode::REFUSED_STREAM, Delivery::Refused)
            );
        }
        other => panic!("{other:?}"),
    }

    let status = unary(&channel, "Abort", message("ping")).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(
        matches!(transport_error(&status), Error::Reset { .. }),
        "{status:?}"
    );

    echo(&channel).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn the_largest_message_passes_and_a_larger_one_does_not() {
    let (_server, channel) = connected().await;
    let largest = Bytes::from(vec![1; MAX_MESSAGE_SIZE]);
    let response = unary(&channel, "Unary", Request::new(largest.clone()))
        .await
        .unwrap();
    assert!(response.into_inner() == largest);
    let larger = Bytes::from(vec![1; MAX_MESSAGE_SIZE + 1]);
    let status = unary(&channel, "Unary", Request::new(larger)).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status}");
}

#[tokio::test]
async fn streams_run_in_both_directions_at_once() {
    let (_server, channel) = connected().await;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    sender.send(Bytes::from_static(b"one")).await.unwrap();
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let mut incoming = streaming(&channel, "Duplex", outgoing)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(incoming.message().await.unwrap().unwrap(), "one");
    sender.send(Bytes::from_static(b"two")).await.unwrap();
    assert_eq!(incoming.message().await.unwrap().unwrap(), "two");
    drop(sender);
    assert_eq!(incoming.message().await.unwrap(), None);
}

#[tokio::test]
async fn streams_nobody_reads_do_not_block_other_calls() {
    let (_server, channel) = connected().await;
    let calls = async {
        let mut unread = Vec::new();
        for _ in 0..8 {
            let mut stream = server_streaming(&channel, "Flood", message(""))
                .await
                .unwrap()
                .into_inner();
            stream.message().await.unwrap().unwrap();
            unread.push(stream);
        }
        unary(&channel, "Unary", Request::new(Bytes::from(vec![1; 4 << 20])))
            .await
            .unwrap();
    };
    tokio::time::timeout(PATIENCE, calls)
        .await
        .expect("a call is stuck");
}

#[tokio::test]
async fn concurrent_first_calls_share_one_connection() {
    let (server, channel) = connected().await;
    let calls: Vec<_> = (0..32)
        .map(|_| {
            let channel = channel.clone();
            tokio::spawn(async move { echo(&channel).await.map(drop) })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(server.connections(), 1);
    assert_eq!(server.requests().len(), 32);
}

#[tokio::test]
async fn a_call_timeout_is_told_to_the_server() {
    let (server, channel) = connected().await;
    let mut request = message("ping");
    request
        .extensions_mut()
        .insert(CallTimeout(Duration::from_secs(3600)));
    unary(&channel, "Unary", request).await.unwrap();
    let header = server.last_request().headers["grpc-timeout"]
        .to_str()
        .unwrap()
        .to_owned();
    let micros: u64 = header.strip_suffix('u').map_or_else(
        || header.strip_suffix('m').unwrap().parse::<u64>().unwrap() * 1000,
        |digits| digits.parse().unwrap(),
    );
    assert!((3_000_000_000..=3_600_000_000).contains(&micros), "{header}");

    let mut request = message("ping");
    request
        .extensions_mut()
        .insert(FirstResponseTimeout(Duration::from_secs(3600)));
    unary(&channel, "Unary", request).await.unwrap();
    assert!(!server.last_request().headers.contains_key("grpc-timeout"));
}

#[tokio::test]
async fn dropping_a_call_frees_it_and_keeps_the_connection() {
    let (server, channel) = connected().await;
    echo(&channel).await.unwrap();
    let hanging = tokio::time::timeout(Duration::from_millis(50), unary(&channel, "Hang", message(""))).await;
    assert!(hanging.is_err());
    let mut stream = server_streaming(&channel, "Flood", message(""))
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    drop(stream);
    echo(&channel).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_stream_outlives_the_channel_and_then_the_connection_ends() {
    let (server, channel) = connected().await;
    let mut stream = server_streaming(&channel, "Flood", message(""))
        .await
        .unwrap()
        .into_inner();
    drop(channel);
    for _ in 0..100 {
        stream.message().await.unwrap().unwrap();
    }
    drop(stream);
    tokio::time::timeout(PATIENCE, server.connections_ended())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gone_runtime_is_no_obstacle() {
    let (server, channel) = connected().await;
    let other = channel.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(echo(&other)).unwrap();
    })
    .join()
    .unwrap();
    echo(&channel).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn long_error_texts_are_accepted() {
    let (_server, channel) = connected().await;
    let status = unary(&channel, "LongError", message("")).await.unwrap_err();
    assert_eq!(status.message().len(), 100_000);
}
