//! Limits on time: of a call, of its attempts, of silence.

use std::time::Duration;

use bytes::Bytes;
use talos_transport::{
    AttemptTimeout, Attempts, CallTimeout, Channel, Delivery, Error, FirstResponseTimeout, IdleTimeout,
    MaxAttempts, RetryClass, RetryConfig, TimeLimit,
};
use tokio::time::Instant;
use tonic::{Request, Status};

use crate::client::{message, server_streaming, transport_error, unary};
use crate::server::Server;

const SECOND: Duration = Duration::from_secs(1);

fn in_memory() -> (Server, Channel) {
    let (server, memory) = Server::in_memory();
    let channel = Channel::builder(["unix:///in/memory".parse().unwrap()])
        .connector(memory)
        .retry(RetryConfig::new().jitter(0.0))
        .build()
        .unwrap();
    (server, channel)
}

fn request(extend: impl FnOnce(&mut http::Extensions)) -> Request<Bytes> {
    let mut request = message("ping");
    extend(request.extensions_mut());
    request
}

/// Which limit ended the call, and what is known about delivery.
fn timeout(status: &Status) -> (TimeLimit, Duration, Delivery) {
    match transport_error(status) {
        Error::Timeout {
            limit,
            after,
            delivery,
            ..
        } => (*limit, *after, *delivery),
        other => panic!("no timeout: {other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_finite_stream_may_be_silent_only_so_long() {
    let (server, channel) = in_memory();
    for (behaviour, messages) in [("Hang", 0), ("HangAfterHeaders", 0), ("HangAfterMessage", 1)] {
        server.script([behaviour]);
        let begin = Instant::now();
        let request = request(|extensions| {
            extensions.insert(IdleTimeout(60 * SECOND));
        });
        let status = match server_streaming(&channel, "Unary", request).await {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                for _ in 0..messages {
                    stream.message().await.unwrap().unwrap();
                }
                // A caller who takes his time does not make the server silent.
                tokio::time::sleep(300 * SECOND).await;
                stream.message().await.unwrap_err()
            }
        };
        assert_eq!(
            timeout(&status),
            (TimeLimit::Idle, 60 * SECOND, Delivery::Unknown),
            "{behaviour}"
        );
        let slow_reading = if behaviour == "Hang" { 0 } else { 300 };
        assert_eq!(begin.elapsed(), (60 + slow_reading) * SECOND, "{behaviour}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_without_limits_is_left_alone() {
    let (_server, channel) = in_memory();
    let mut stream = server_streaming(&channel, "HangAfterMessage", message("ping"))
        .await
        .unwrap()
        .into_inner();
    stream.message().await.unwrap().unwrap();
    let waited = tokio::time::timeout(24 * 3600 * SECOND, stream.message()).await;
    assert!(waited.is_err(), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_first_response_has_its_own_limit() {
    let (_server, channel) = in_memory();
    let request = request(|extensions| {
        extensions.insert(IdleTimeout(SECOND));
        extensions.insert(FirstResponseTimeout(5 * SECOND));
    });
    let status = server_streaming(&channel, "Hang", request).await.unwrap_err();
    assert_eq!(
        timeout(&status),
        (TimeLimit::FirstResponse, 5 * SECOND, Delivery::Unknown)
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_answer_is_followed_by_another_and_all_share_the_deadline() {
    let (server, channel) = in_memory();
    server.script(["Hang", "HangAfterHeaders"]);
    let attempts = Attempts::new();
    let call = request(|extensions| {
        extensions.insert(RetryClass::RepeatableUnary);
        extensions.insert(AttemptTimeout(5 * SECOND));
        extensions.insert(CallTimeout(30 * SECOND));
        extensions.insert(attempts.clone());
    });
    let begin = Instant::now();
    unary(&channel, "Unary", call).await.unwrap();
    assert_eq!(attempts.count(), 3);
    let passed = begin.elapsed();
    assert_eq!(passed, 10 * SECOND + Duration::from_millis(75));

    let told: Vec<_> = server
        .requests()
        .iter()
        .map(|head| head.headers["grpc-timeout"].to_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        told,
        ["30000000u", "25000000u", "19925000u"],
        "what is left each time"
    );
}

#[tokio::test(start_paused = true)]
async fn an_attempt_without_answer_is_the_last_one_of_an_unsafe_call() {
    let (server, channel) = in_memory();
    server.script(["Hang"]);
    let call = request(|extensions| {
        extensions.insert(AttemptTimeout(SECOND));
    });
    let status = unary(&channel, "Unary", call).await.unwrap_err();
    assert_eq!(timeout(&status), (TimeLimit::Attempt, SECOND, Delivery::Unknown));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_covers_all_attempts_and_tells_what_went_before() {
    let (server, channel) = in_memory();
    server.script(["Unavailable", "Hang"]);
    let attempts = Attempts::new();
    let call = request(|extensions| {
        extensions.insert(RetryClass::RepeatableUnary);
        extensions.insert(CallTimeout(SECOND));
        extensions.insert(attempts.clone());
    });
    let begin = Instant::now();
    let status = unary(&channel, "Unary", call).await.unwrap_err();
    assert_eq!((begin.elapsed(), attempts.count()), (SECOND, 2));
    match transport_error(&status) {
        Error::Timeout {
            limit: TimeLimit::Call,
            previous: Some(previous),
            ..
        } => assert_eq!(previous.message(), "connection error"),
        other => panic!("{other:?}"),
    }
    assert!(status.message().contains("connection error"), "{status}");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_between_attempts() {
    let (server, channel) = in_memory();
    server.script(["Unavailable"; 5]);
    let call = request(|extensions| {
        extensions.insert(RetryClass::RepeatableUnary);
        extensions.insert(MaxAttempts(10));
        extensions.insert(CallTimeout(Duration::from_millis(100)));
    });
    let begin = Instant::now();
    let status = unary(&channel, "Unary", call).await.unwrap_err();
    assert_eq!(timeout(&status).0, TimeLimit::Call);
    assert_eq!(begin.elapsed(), Duration::from_millis(100));
    assert_eq!(server.requests().len(), 2, "at 0 and at 75 ms");
}

#[tokio::test(start_paused = true)]
async fn no_time_means_that_nothing_is_begun() {
    let (server, channel) = in_memory();
    let limits: [fn(&mut http::Extensions); 3] = [
        |extensions| _ = extensions.insert(CallTimeout(Duration::ZERO)),
        |extensions| _ = extensions.insert(FirstResponseTimeout(Duration::ZERO)),
        |extensions| _ = extensions.insert(IdleTimeout(Duration::ZERO)),
    ];
    for limit in limits {
        let status = unary(&channel, "Unary", request(limit)).await.unwrap_err();
        assert_eq!(timeout(&status).2, Delivery::NotSent);
    }
    assert_eq!((server.requests().len(), server.connections()), (0, 0));
}

#[tokio::test]
async fn a_call_that_is_dropped_between_headers_and_message_reaches_the_server_as_a_reset() {
    let (server, channel) = in_memory();
    let calling = channel.clone();
    let call = request(|extensions| {
        extensions.insert(RetryClass::RepeatableUnary);
    });
    let running = tokio::spawn(async move { unary(&calling, "HangAfterHeaders", call).await });
    server.received(1).await;
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    server.given_up(1).await;
}
