//! What is made again, what is not, and what the servers see of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use talos_transport::connect::{Connect, ConnectReason};
use talos_transport::{
    AnsweredBy, Attempts, Channel, CloseReason, Delivery, Endpoint, Error, MaxAttempts, ResetCode,
    RetryClass, RetryConfig,
};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::time::Instant;
use tonic::{Code, Request, Status};

use crate::client::{message, server_streaming, streaming_with, tls, transport_error, unary};
use crate::pki::Ca;
use crate::server::{Memory, PATIENCE, Server, ServerTls};

use RetryClass::{Repeatable, RepeatableUnary, RequestStream, Unprocessed};

/// Two servers of one cluster, and a channel that uses the first one.
struct Pair {
    used: Server,
    spare: Server,
    channel: Channel,
}

async fn pair() -> Pair {
    let ca = Ca::new();
    let start = || Server::start(ServerTls::new(ca.server(&["127.0.0.1"]), &ca.pem));
    let (one, other) = (start().await, start().await);
    let channel = Channel::builder([one.endpoint(), other.endpoint()])
        .tls(tls(&ca, &ca.client()))
        .connect_timeout(PATIENCE)
        .build()
        .unwrap();
    let (used, spare) = if channel.connect().await.unwrap() == one.endpoint() {
        (one, other)
    } else {
        (other, one)
    };
    Pair { used, spare, channel }
}

/// A server in memory, for tests with a clock of their own.
fn in_memory(retry: RetryConfig) -> (Server, Channel) {
    let (server, memory) = Server::in_memory();
    (server, plaintext(memory, retry))
}

fn plaintext(connector: impl Connect, retry: RetryConfig) -> Channel {
    Channel::builder(["unix:///in/memory".parse().unwrap()])
        .connector(connector)
        .retry(retry)
        .build()
        .unwrap()
}

fn request(class: RetryClass, attempts: &Attempts) -> Request<Bytes> {
    let mut request = message("ping");
    request.extensions_mut().insert(class);
    request.extensions_mut().insert(attempts.clone());
    request
}

/// Makes a unary call of this class; returns its result and how many attempts it took.
async fn call(channel: &Channel, class: RetryClass) -> (Result<Endpoint, Status>, u32) {
    let attempts = Attempts::new();
    let result = unary(channel, "Unary", request(class, &attempts)).await;
    let result = result.map(|response| {
        assert_eq!(response.get_ref(), "ping");
        let by = response.extensions().get::<AnsweredBy>();
        by.unwrap().endpoint().clone()
    });
    (result, attempts.count())
}

#[tokio::test]
async fn a_repeatable_call_goes_on_elsewhere_when_its_server_dies_under_it() {
    for class in [RepeatableUnary, Repeatable] {
        // Dead before the response, and dead in the middle of it.
        for behaviour in ["Hang", "HangAfterHeaders"] {
            let Pair { used, spare, channel } = pair().await;
            used.script([behaviour]);
            let calling = channel.clone();
            let running = tokio::spawn(async move { call(&calling, class).await });
            used.received(1).await;
            used.kill().await;
            let (result, attempts) = running.await.unwrap();
            assert_eq!(result.unwrap(), spare.endpoint(), "{behaviour}");
            assert_eq!((attempts, spare.requests().len()), (2, 1));
        }
    }
}

#[tokio::test]
async fn a_unary_reply_that_is_cut_off_is_asked_for_again_and_a_stream_that_began_is_not() {
    let Pair { used, spare, channel } = pair().await;
    used.script(["Abort"]);
    let (result, attempts) = call(&channel, RepeatableUnary).await;
    assert_eq!(result.unwrap(), spare.endpoint());
    assert_eq!(attempts, 2);

    let Pair { used, spare, channel } = pair().await;
    used.script(["HangAfterMessage"]);
    let attempts = Attempts::new();
    let stream = server_streaming(&channel, "Unary", request(Repeatable, &attempts)).await;
    let mut stream = stream.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap(), "ping");
    used.kill().await;
    let status = stream.message().await.unwrap_err();
    assert!(
        matches!(transport_error(&status), Error::Closed { .. }),
        "{status:?}"
    );
    assert_eq!((attempts.count(), spare.requests().len()), (1, 0));
}

#[tokio::test]
async fn an_unsafe_call_that_was_sent_is_never_repeated() {
    for behaviour in ["Hang", "ResetEarly", "Abort", "Unavailable", "Page"] {
        let Pair { used, spare, channel } = pair().await;
        used.script([behaviour]);
        let calling = channel.clone();
        let running = tokio::spawn(async move { call(&calling, Unprocessed).await });
        used.received(1).await;
        if behaviour == "Hang" {
            used.kill().await;
        }
        let (result, attempts) = running.await.unwrap();
        result.unwrap_err();
        assert_eq!((attempts, spare.requests().len()), (1, 0), "{behaviour}");
    }
}

#[tokio::test]
async fn a_refused_call_moves_whatever_it_does() {
    for class in [Unprocessed, RepeatableUnary] {
        let Pair { used, spare, channel } = pair().await;
        used.script(["RefusedStream"]);
        let (result, attempts) = call(&channel, class).await;
        assert_eq!(result.unwrap(), spare.endpoint());
        assert_eq!(
            (attempts, used.requests().len(), spare.requests().len()),
            (2, 1, 1)
        );
    }
}

#[tokio::test]
async fn failures_that_may_pass_are_told_apart_from_those_that_do_not() {
    for (behaviour, expected) in [
        ("ResetEarly", 2),
        ("Unavailable", 2),
        ("UnavailableInTrailers", 2),
        ("Page", 2),
        ("Refuse", 1),
        ("FailLate", 1),
        ("Exhausted", 1),
        ("Late", 1),
    ] {
        let Pair { used, spare, channel } = pair().await;
        used.script([behaviour]);
        let (result, attempts) = call(&channel, RepeatableUnary).await;
        assert_eq!(result.is_ok(), expected == 2, "{behaviour}");
        assert_eq!(attempts, expected, "{behaviour}");
        assert_eq!(
            spare.requests().len() as u32,
            expected - 1,
            "{behaviour}: not where it failed"
        );
    }
}

#[tokio::test]
async fn the_last_failure_is_the_one_reported() {
    let Pair { used, spare, channel } = pair().await;
    used.script(["ResetEarly", "Unavailable"]);
    spare.script(["RefusedStream", "Unavailable"]);
    let (result, attempts) = call(&channel, RepeatableUnary).await;
    let status = result.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "connection error")
    );
    assert_eq!(attempts, 3);
    assert_eq!(used.requests().len() + spare.requests().len(), 3);
}

#[tokio::test]
async fn a_stream_of_requests_is_not_repeated_once_begun() {
    for class in [RequestStream, RepeatableUnary] {
        let Pair { used, spare, channel } = pair().await;
        used.script(["RefusedAfterRequest"]);
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        sender.send(Bytes::from_static(b"first")).await.unwrap();
        let messages = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let attempts = Attempts::new();
        let mut request = Request::new(messages);
        request.extensions_mut().insert(class);
        request.extensions_mut().insert(attempts.clone());
        let status = streaming_with(&channel, "Duplex", request).await.unwrap_err();
        assert_eq!(
            transport_error(&status).delivery(),
            Delivery::Refused,
            "{status:?}"
        );
        assert_eq!((attempts.count(), spare.requests().len()), (1, 0), "{class:?}");
    }
}

#[tokio::test]
async fn calls_left_out_of_a_goaway_move_whatever_they_do() {
    // The first connection leaves every call out; the others work.
    struct Leaving(Memory, std::sync::atomic::AtomicUsize);
    impl Connect for Leaving {
        type Io = DuplexStream;
        async fn connect(&self, endpoint: &Endpoint) -> Result<DuplexStream, ConnectReason> {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst) > 0 {
                return self.0.connect(endpoint).await;
            }
            let (ours, mut theirs) = duplex(64 << 10);
            tokio::spawn(async move {
                // SETTINGS; then, once the request has come, GOAWAY without an error for everything after stream 0.
                theirs.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
                wait_for_headers(&mut theirs).await;
                let go_away = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
                theirs.write_all(go_away).await.unwrap();
                std::future::pending::<()>().await
            });
            Ok(ours)
        }
    }
    let (server, memory) = Server::in_memory();
    let channel = plaintext(Leaving(memory, Default::default()), RetryConfig::new());
    let (result, attempts) = call(&channel, Unprocessed).await;
    result.unwrap();
    assert_eq!((attempts, server.requests().len()), (2, 1));
}

#[tokio::test]
async fn a_call_left_out_of_a_goaway_says_so_if_it_is_not_made_again() {
    struct Leaving;
    impl Connect for Leaving {
        type Io = DuplexStream;
        async fn connect(&self, _endpoint: &Endpoint) -> Result<DuplexStream, ConnectReason> {
            let (ours, mut theirs) = duplex(64 << 10);
            tokio::spawn(async move {
                theirs.write_all(b"\0\0\0\x04\0\0\0\0\0").await.unwrap();
                wait_for_headers(&mut theirs).await;
                let go_away = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
                theirs.write_all(go_away).await.unwrap();
                std::future::pending::<()>().await
            });
            Ok(ours)
        }
    }
    let channel = plaintext(Leaving, RetryConfig::off());
    let (result, attempts) = call(&channel, RepeatableUnary).await;
    let status = result.unwrap_err();
    match transport_error(&status) {
        Error::Closed {
            delivery: Delivery::Refused,
            reason: CloseReason::GoAway { code },
            ..
        } => assert_eq!(*code, ResetCode::NO_ERROR),
        other => panic!("{other:?}"),
    }
    assert_eq!(attempts, 1);
}

/// Reads frames until one that begins a request.
async fn wait_for_headers(io: &mut DuplexStream) {
    use tokio::io::AsyncReadExt as _;

    const PREFACE: usize = 24;
    const HEADERS: u8 = 1;
    let mut preface = [0; PREFACE];
    io.read_exact(&mut preface).await.unwrap();
    loop {
        let mut head = [0; 9];
        io.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        io.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retries_wait_longer_each_time_and_end() {
    let retry = RetryConfig::new().jitter(0.0).max_attempts(5);
    let (server, channel) = in_memory(retry);
    server.script(["Unavailable"; 9]);
    let begin = Instant::now();
    let (result, attempts) = call(&channel, RepeatableUnary).await;
    result.unwrap_err();
    assert_eq!((attempts, server.requests().len()), (5, 5));
    assert_eq!(begin.elapsed(), Duration::from_millis(75 + 150 + 300 + 600));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_reached_is_tried_only_for_a_while() {
    // A server that says so at once, and one that takes its time to find out.
    for (behaviour, expected) in [("Unavailable", 3), ("UnavailableAfter20Seconds", 1)] {
        let (server, channel) = in_memory(RetryConfig::new());
        server.script([behaviour; 3]);
        let (result, attempts) = call(&channel, RepeatableUnary).await;
        assert_eq!(result.unwrap_err().code(), Code::Unavailable);
        assert_eq!(attempts, expected, "{behaviour}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_can_have_its_own_number_of_attempts() {
    let (server, channel) = in_memory(RetryConfig::off());
    for (attempts_of_call, expected) in [(None, 1), (Some(0), 1), (Some(1), 1), (Some(4), 4)] {
        let before = server.requests().len();
        server.script(["Unavailable"; 4]);
        let attempts = Attempts::new();
        let mut request = request(RepeatableUnary, &attempts);
        if let Some(max) = attempts_of_call {
            request.extensions_mut().insert(MaxAttempts(max));
        }
        unary(&channel, "Unary", request).await.unwrap_err();
        assert_eq!(attempts.count(), expected, "{attempts_of_call:?}");
        assert_eq!(server.requests().len() - before, expected as usize);
        server.script([]);
    }

    server.script(["Unavailable"; 4]);
    let attempts = Attempts::new();
    let mut request = request(RepeatableUnary, &attempts);
    let patient = RetryConfig::new()
        .delays(Duration::from_secs(1), Duration::from_secs(1))
        .jitter(0.0)
        .max_attempts(3);
    request.extensions_mut().insert(patient);
    let begin = Instant::now();
    unary(&channel, "Unary", request).await.unwrap_err();
    assert_eq!((attempts.count(), begin.elapsed()), (3, Duration::from_secs(2)));
}

#[tokio::test(start_paused = true)]
async fn the_budget_stops_a_storm_of_retries_and_grows_again() {
    let retry = RetryConfig::new().budget(1, 0.1);
    let (server, channel) = in_memory(retry);
    server.script(["Unavailable"; 1000]);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let channel = channel.clone();
        calls.spawn(async move { call(&channel, RepeatableUnary).await.1 });
    }
    let attempts: u32 = calls.join_all().await.into_iter().sum();
    // 10 in reserve for 10 seconds, and one for each 10 calls.
    let allowed = 200 + 10..=200 + 10 + 20;
    assert!(allowed.contains(&attempts), "{attempts} attempts");
    assert_eq!(server.requests().len() as u32, attempts);

    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(call(&channel, RepeatableUnary).await.1, 3, "the reserve is back");
}

#[tokio::test]
async fn a_lost_connection_moves_all_its_calls_whatever_the_budget() {
    const CALLS: usize = 100;
    let ca = Ca::new();
    let start = || Server::start(ServerTls::new(ca.server(&["127.0.0.1"]), &ca.pem));
    let (one, other) = (start().await, start().await);
    let channel = Channel::builder([one.endpoint(), other.endpoint()])
        .tls(tls(&ca, &ca.client()))
        .connect_timeout(PATIENCE)
        .retry(RetryConfig::new().budget(0, 0.0))
        .build()
        .unwrap();
    let (used, spare) = if channel.connect().await.unwrap() == one.endpoint() {
        (one, other)
    } else {
        (other, one)
    };
    used.script(["Hang"; CALLS]);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..CALLS {
        let channel = channel.clone();
        calls.spawn(async move { call(&channel, RepeatableUnary).await.0 });
    }
    used.received(CALLS).await;
    used.kill().await;
    for result in calls.join_all().await {
        assert_eq!(result.unwrap(), spare.endpoint());
    }
    assert_eq!(spare.requests().len(), CALLS);
}

#[tokio::test(start_paused = true)]
async fn a_large_request_is_not_kept() {
    let (server, channel) = in_memory(RetryConfig::new());
    for (size, expected) in [(1_000_000, 2), (2_000_000, 1)] {
        server.script(["Unavailable"]);
        let attempts = Attempts::new();
        let mut request = Request::new(Bytes::from(vec![7; size]));
        request.extensions_mut().insert(RepeatableUnary);
        request.extensions_mut().insert(attempts.clone());
        let result = unary(&channel, "Unary", request).await;
        assert_eq!(result.is_ok(), expected == 2, "{size} bytes");
        assert_eq!(attempts.count(), expected, "{size} bytes");
        if let Ok(response) = result {
            assert!(response.into_inner() == vec![7; size], "the same request again");
        }
    }
}

#[tokio::test]
async fn nobody_listening_is_tried_again() {
    struct Late(Memory, Arc<std::sync::atomic::AtomicUsize>);
    impl Connect for Late {
        type Io = DuplexStream;
        async fn connect(&self, endpoint: &Endpoint) -> Result<DuplexStream, ConnectReason> {
            if self.1.fetch_add(1, std::sync::atomic::Ordering::SeqCst) < 2 {
                return Err(ConnectReason::Refused);
            }
            self.0.connect(endpoint).await
        }
    }
    tokio::time::pause();
    let (server, memory) = Server::in_memory();
    let dials = Arc::default();
    let channel = plaintext(Late(memory, Arc::clone(&dials)), RetryConfig::new());
    let (result, attempts) = call(&channel, Unprocessed).await;
    result.unwrap();
    assert_eq!((attempts, server.requests().len()), (3, 1));
}
