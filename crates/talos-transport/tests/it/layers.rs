//! Layers that users add, and metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::{HeaderMap, HeaderValue, Request};
use talos_transport::layer::{BoxError, RequestSigner, Unsigned};
use talos_transport::{Attempt, Channel, Error, Node, RetryClass};
use tonic::body::Body;
use tower::util::MapRequestLayer;

use crate::client::{message, transport_error, unary};
use crate::server::Server;

fn repeatable() -> tonic::Request<bytes::Bytes> {
    let mut request = message("ping");
    request.extensions_mut().insert(RetryClass::RepeatableUnary);
    request
}

fn builder() -> (Server, talos_transport::ChannelBuilder) {
    let (server, memory) = Server::in_memory();
    let builder = Channel::builder(["unix:///in/memory".parse().unwrap()]).connector(memory);
    (server, builder)
}

#[tokio::test(start_paused = true)]
async fn a_call_layer_sees_a_call_once_and_an_attempt_layer_each_attempt() {
    let (calls, attempts) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let (server, builder) = builder();
    let (call_count, attempt_count) = (Arc::clone(&calls), Arc::clone(&attempts));
    let channel = builder
        .call_layer(MapRequestLayer::new(move |mut request: Request<Body>| {
            call_count.fetch_add(1, Ordering::SeqCst);
            assert!(request.extensions().get::<Attempt>().is_none());
            // What a layer around the call adds is acted upon by the channel.
            request.extensions_mut().insert(Node("10.5.0.9".parse().unwrap()));
            request
                .headers_mut()
                .insert("x-requested-by", HeaderValue::from_static("test"));
            request
        }))
        .attempt_layer(MapRequestLayer::new(move |mut request: Request<Body>| {
            let seen = attempt_count.fetch_add(1, Ordering::SeqCst) + 1;
            let Some(attempt) = request.extensions().get::<Attempt>().copied() else {
                panic!("the attempt has no number");
            };
            assert_eq!(attempt.number(), seen);
            assert!(request.headers().contains_key("node"), "metadata is complete");
            request.headers_mut().insert("x-attempt", attempt.number().into());
            request
        }))
        .build()
        .unwrap();
    server.script(["Unavailable", "Unavailable"]);
    unary(&channel, "Unary", repeatable()).await.unwrap();
    assert_eq!(
        (calls.load(Ordering::SeqCst), attempts.load(Ordering::SeqCst)),
        (1, 3)
    );
    let requests = server.requests();
    for (request, number) in requests.iter().zip(["1", "2", "3"]) {
        assert_eq!(request.headers["x-requested-by"], "test");
        assert_eq!(request.headers["node"], "10.5.0.9");
        assert_eq!(request.headers["x-attempt"], number);
    }
    assert_eq!(requests.len(), 3);
}

#[tokio::test]
async fn the_first_layer_is_the_outermost() {
    let (server, mut builder) = builder();
    for name in ["a", "b", "c"] {
        let append = move |mut request: Request<Body>| {
            request
                .headers_mut()
                .append("x-order", HeaderValue::from_static(name));
            request
        };
        builder = builder
            .call_layer(MapRequestLayer::new(append))
            .attempt_layer(MapRequestLayer::new(append));
    }
    unary(&builder.build().unwrap(), "Unary", message(""))
        .await
        .unwrap();
    let request = server.last_request();
    let order: Vec<_> = request.headers.get_all("x-order").iter().collect();
    assert_eq!(order, ["a", "b", "c", "a", "b", "c"]);
}

/// Numbers the requests it signs, and can do that only so often.
struct Numbering {
    signed: Arc<AtomicU32>,
    limit: u32,
}

impl RequestSigner for Numbering {
    async fn sign(&self, request: Unsigned<'_>) -> Result<HeaderMap, BoxError> {
        assert!(
            request.metadata.contains_key("x-attempt"),
            "layers come before the signature"
        );
        let number = self.signed.fetch_add(1, Ordering::SeqCst) + 1;
        if number > self.limit {
            return Err("no key".into());
        }
        let mut headers = HeaderMap::new();
        headers.insert("x-signature", number.into());
        Ok(headers)
    }
}

/// A call whose first two attempts the server does not answer.
async fn call_signed(limit: u32) -> (Result<(), tonic::Status>, Vec<HeaderValue>, u32) {
    let (server, builder) = builder();
    let signed = Arc::new(AtomicU32::new(0));
    let channel = builder
        .attempt_layer(MapRequestLayer::new(|mut request: Request<Body>| {
            request
                .headers_mut()
                .insert("x-attempt", HeaderValue::from_static("one"));
            request
        }))
        .signer(Numbering {
            signed: Arc::clone(&signed),
            limit,
        })
        .build()
        .unwrap();
    server.script(["Unavailable", "Unavailable"]);
    let result = unary(&channel, "Unary", repeatable()).await;
    let requests = server.requests().into_iter();
    let signatures = requests.map(|request| request.headers["x-signature"].clone());
    (
        result.map(drop),
        signatures.collect(),
        signed.load(Ordering::SeqCst),
    )
}

#[tokio::test(start_paused = true)]
async fn each_attempt_is_signed_anew_and_after_the_layers() {
    let (result, signatures, _) = call_signed(3).await;
    result.unwrap();
    assert_eq!(signatures, ["1", "2", "3"]);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_cannot_be_signed_is_not_retried() {
    for limit in [0, 1] {
        let (result, signatures, asked) = call_signed(limit).await;
        let status = result.unwrap_err();
        assert!(
            matches!(transport_error(&status), Error::Signing(_)),
            "{status:?}"
        );
        assert_eq!(
            (signatures.len(), asked),
            (usize::try_from(limit).unwrap(), limit + 1)
        );
    }
}

#[cfg(feature = "metrics")]
mod metrics {
    use std::collections::BTreeMap;

    use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
    use talos_transport::metrics::*;
    use tonic::Code;

    use super::{builder, repeatable};
    use crate::client::{message, server_streaming, unary};

    /// All values, by name and the values of the labels in alphabetical order of their names.
    fn values(snapshotter: &Snapshotter) -> BTreeMap<String, DebugValue> {
        let entries = snapshotter.snapshot().into_vec().into_iter();
        entries
            .map(|(key, _, _, value)| {
                let key = key.key();
                let mut labels: Vec<_> = key.labels().map(|label| (label.key(), label.value())).collect();
                labels.sort();
                let labels = labels.into_iter().map(|(_, value)| value);
                let mut text = key.name().to_owned();
                labels.for_each(|label| text.push_str(&format!(" {label}")));
                (text, value)
            })
            .collect()
    }

    #[tokio::test]
    async fn the_state_of_endpoints_is_recorded_by_the_channel_itself() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let _guard = ::metrics::set_default_local_recorder(&recorder);
        let (_server, builder) = builder();
        let channel = builder.build().unwrap();
        let state = |endpoint: &str, state: &str| {
            let key = format!("{ENDPOINT_STATE} {endpoint} {state}");
            let value = values(&snapshotter).remove(&key);
            // What was not recorded since the last look is none.
            value.map(|value| value == DebugValue::Gauge(1.0.into()))
        };
        assert_eq!(state("unix:///in/memory", "idle"), Some(true));
        unary(&channel, "Unary", repeatable()).await.unwrap();
        let seen = values(&snapshotter);
        let of = |state: &str| &seen[&format!("{ENDPOINT_STATE} unix:///in/memory {state}")];
        let gauge = |value: f64| DebugValue::Gauge(value.into());
        assert_eq!(
            (of("ready"), of("connecting"), of("idle")),
            (&gauge(1.0), &gauge(0.0), &gauge(0.0))
        );

        channel.set_endpoints(["unix:///other".parse().unwrap()]).unwrap();
        let seen = values(&snapshotter);
        let of = |endpoint: &str, state: &str| &seen[&format!("{ENDPOINT_STATE} {endpoint} {state}")];
        assert_eq!(of("unix:///in/memory", "ready"), &gauge(0.0));
        assert_eq!(of("unix:///other", "idle"), &gauge(1.0));
        drop(channel);
        assert_eq!(state("unix:///other", "idle"), Some(false));
    }

    #[tokio::test(start_paused = true)]
    async fn calls_attempts_bytes_and_endpoints_are_counted() {
        let recorder = DebuggingRecorder::new();
        let snapshotter = recorder.snapshotter();
        let _guard = ::metrics::set_default_local_recorder(&recorder);
        describe();
        let (server, builder) = builder();
        let channel = builder.build().unwrap();

        server.script(["Unavailable"]);
        unary(&channel, "Unary", repeatable()).await.unwrap();
        let status = unary(&channel, "Refuse", message("")).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        let mut stream = server_streaming(&channel, "HangAfterMessage", message("ping"))
            .await
            .unwrap()
            .into_inner();
        stream.message().await.unwrap().unwrap();
        record_endpoints(&channel);

        let counter = DebugValue::Counter;
        let gauge = |value: f64| DebugValue::Gauge(value.into());
        let mut seen = values(&snapshotter);
        let mut expect = |name: &str, labels: &str, value: DebugValue| {
            let key = format!("{name} {labels}");
            assert_eq!(seen.remove(&key), Some(value), "{key}; the others: {seen:#?}");
        };
        expect(CALLS, "ok Unary test.Echo", counter(1));
        expect(CALLS, "permission_denied Refuse test.Echo", counter(1));
        expect(ATTEMPTS, "unavailable Unary test.Echo", counter(1));
        expect(ATTEMPTS, "ok Unary test.Echo", counter(1));
        expect(ATTEMPTS, "permission_denied Refuse test.Echo", counter(1));
        expect(RETRIES, "unavailable", counter(1));
        // Four bytes and a head of five, twice.
        expect(SENT_BYTES, "Unary test.Echo", counter(18));
        expect(RECEIVED_BYTES, "Unary test.Echo", counter(9));
        expect(SENT_BYTES, "HangAfterMessage test.Echo", counter(9));
        expect(RECEIVED_BYTES, "HangAfterMessage test.Echo", counter(9));
        expect(CALLS_IN_FLIGHT, "Unary test.Echo", gauge(0.0));
        expect(CALLS_IN_FLIGHT, "HangAfterMessage test.Echo", gauge(1.0));
        expect(ENDPOINT_STATE, "unix:///in/memory ready", gauge(1.0));
        expect(ENDPOINT_STATE, "unix:///in/memory ejected", gauge(0.0));
        let Some(DebugValue::Histogram(times)) = seen.remove(&format!("{CALL_DURATION} Unary test.Echo"))
        else {
            panic!("{seen:#?}");
        };
        assert_eq!(times.len(), 1);

        drop(stream);
        let seen = values(&snapshotter);
        let in_flight = &seen[&format!("{CALLS_IN_FLIGHT} HangAfterMessage test.Echo")];
        // The first snapshot took the 1 away.
        assert_eq!(in_flight, &gauge(-1.0));
        let cancelled = &seen[&format!("{CALLS} cancelled HangAfterMessage test.Echo")];
        assert_eq!(cancelled, &counter(1));
    }
}
