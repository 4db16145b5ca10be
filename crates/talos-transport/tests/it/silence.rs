//! Connections that go silent, and endpoints that are gone for a while: with a paused clock.

use std::time::Duration;

use bytes::Bytes;
use talos_transport::{
    Attempts, CallTimeout, Channel, CloseReason, Delivery, Endpoint, EndpointState, Error, PickPolicy,
    RetryClass, RetryConfig,
};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tonic::{Code, Request};

use crate::client::{message, transport_error, unary};
use crate::pool_memory::{CONNECT_TIMEOUT, Net, Place, called, endpoint, in_state};
use crate::server::Server;

/// How long nothing comes before that is suspicious, and how long the look then takes.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_secs(5);

fn request(class: RetryClass, attempts: &Attempts) -> Request<Bytes> {
    let mut request = message("ping");
    request.extensions_mut().insert(class);
    request.extensions_mut().insert(attempts.clone());
    request
}

/// Three endpoints and a channel whose connection to the first one has gone silent.
async fn deaf(retry: RetryConfig) -> (Vec<Server>, Net, Channel, Endpoint) {
    let names = ["a", "b", "c"];
    let (servers, net) = Net::new(&names);
    names
        .iter()
        .for_each(|name| net.set(&endpoint(name), Place::Deaf));
    let channel = net.channel_with(PickPolicy::StickyWithFailover, retry);
    let first = called(&channel).await;
    names
        .iter()
        .for_each(|name| net.set(&endpoint(name), Place::Serves));
    sleep(Duration::from_secs(1)).await;
    net.dialled();
    (servers, net, channel, first)
}

#[tokio::test(start_paused = true)]
async fn a_black_hole_under_load_fails_no_read_and_is_looked_at_once() {
    const CALLS: usize = 100;
    let (servers, net, channel, first) = deaf(RetryConfig::new()).await;
    net.set(&first, Place::BlackHole);
    let received = || {
        servers
            .iter()
            .map(|server| server.requests().len())
            .sum::<usize>()
    };
    let before = received();
    let begin = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let channel = channel.clone();
        calls.spawn(async move {
            let attempts = Attempts::new();
            let result = unary(&channel, "Unary", request(RetryClass::RepeatableUnary, &attempts)).await;
            (result, attempts.count())
        });
    }
    for (result, attempts) in calls.join_all().await {
        result.unwrap();
        assert_eq!(attempts, 2);
    }
    assert_eq!(begin.elapsed(), PATIENCE + LOOK);
    assert!(begin.elapsed() < CONNECT_TIMEOUT);
    assert_eq!(received() - before, CALLS, "each call arrives once");
    let looks = net.dialled().iter().filter(|dialled| **dialled == first).count();
    assert_eq!(looks, 1, "one look for all calls");
    let ejected = in_state(&channel, EndpointState::Ejected);
    assert_eq!(ejected, std::slice::from_ref(&first));
    assert_ne!(called(&channel).await, first);
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_is_given_up_after_the_first_look() {
    let (_servers, net, channel, first) = deaf(RetryConfig::new()).await;
    net.set(&first, Place::Refuses);
    let begin = Instant::now();
    let attempts = Attempts::new();
    let result = unary(&channel, "Unary", request(RetryClass::Repeatable, &attempts)).await;
    result.unwrap();
    assert_eq!((begin.elapsed(), attempts.count()), (PATIENCE, 2));
}

#[tokio::test(start_paused = true)]
async fn an_unsafe_call_on_a_silent_connection_is_not_repeated_and_says_why() {
    let (servers, net, channel, first) = deaf(RetryConfig::new()).await;
    net.set(&first, Place::BlackHole);
    let received = || {
        servers
            .iter()
            .map(|server| server.requests().len())
            .sum::<usize>()
    };
    let before = received();
    let attempts = Attempts::new();
    let result = unary(&channel, "Unary", request(RetryClass::Unprocessed, &attempts)).await;
    let status = result.unwrap_err();
    match transport_error(&status) {
        Error::Closed {
            endpoint,
            delivery: Delivery::Unknown,
            reason: CloseReason::Silent(reason),
        } => {
            assert_eq!(*endpoint, first);
            assert!(reason.is_timeout(), "{reason:?}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!((attempts.count(), received()), (1, before));
}

#[tokio::test(start_paused = true)]
async fn a_server_with_nothing_to_say_yet_is_looked_at_once_and_waited_for() {
    let (servers, net) = Net::new(&["a", "b"]);
    let channel = net.channel_with(PickPolicy::StickyWithFailover, RetryConfig::new());
    let first = called(&channel).await;
    net.dialled();
    let begin = Instant::now();
    let attempts = Attempts::new();
    let method = "UnavailableAfter20Seconds";
    let result = unary(&channel, method, request(RetryClass::Unprocessed, &attempts)).await;
    assert_eq!(result.unwrap_err().message(), "connection error");
    assert_eq!((begin.elapsed(), attempts.count()), (Duration::from_secs(20), 1));
    assert_eq!(net.dialled(), std::slice::from_ref(&first));
    assert_eq!(called(&channel).await, first);
    assert_eq!(
        servers
            .iter()
            .map(|server| server.requests().len())
            .sum::<usize>(),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn an_only_endpoint_is_not_looked_at() {
    let (_servers, net) = Net::new(&["a"]);
    let channel = net.channel_with(PickPolicy::StickyWithFailover, RetryConfig::new());
    let only = called(&channel).await;
    net.set(&only, Place::BlackHole);
    net.dialled();
    let begin = Instant::now();
    let mut hanging = message("");
    let timeout = Duration::from_secs(60);
    hanging.extensions_mut().insert(CallTimeout(timeout));
    unary(&channel, "Hang", hanging).await.unwrap_err();
    assert_eq!((begin.elapsed(), net.dialled()), (timeout, vec![]));
}

#[tokio::test(start_paused = true)]
async fn five_seconds_of_refusal_as_on_a_reboot_are_outlasted_by_a_patient_call() {
    let (servers, net) = Net::new(&["a"]);
    let patient = RetryConfig::new().max_attempts(20);
    let channel = net.channel_with(PickPolicy::StickyWithFailover, patient);
    let only = called(&channel).await;
    net.set(&only, Place::Refuses);
    servers[0].go_away();
    sleep(Duration::from_millis(1)).await;
    let reboot = {
        let net = net.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(5)).await;
            net.set(&only, Place::Serves);
        })
    };
    let begin = Instant::now();
    // Nothing was sent while it was refused, so this holds for any call.
    let attempts = Attempts::new();
    let result = unary(&channel, "Unary", request(RetryClass::Unprocessed, &attempts)).await;
    result.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(5) && begin.elapsed() < Duration::from_secs(8));
    assert!(
        (5..=9).contains(&attempts.count()),
        "{} attempts",
        attempts.count()
    );
    assert_eq!(servers[0].requests().len(), 2);
    reboot.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn with_the_default_a_reboot_fails_calls_quickly_and_the_first_one_after_it_works() {
    let (servers, net) = Net::new(&["a"]);
    let channel = net.channel_with(PickPolicy::StickyWithFailover, RetryConfig::new());
    let only = called(&channel).await;
    net.set(&only, Place::Refuses);
    servers[0].go_away();
    sleep(Duration::from_millis(1)).await;
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(5) {
        let call = Instant::now();
        let attempts = Attempts::new();
        let result = unary(&channel, "Unary", request(RetryClass::RepeatableUnary, &attempts)).await;
        let status = result.unwrap_err();
        assert!(transport_error(&status).never_sent(), "{status:?}");
        assert!(
            call.elapsed() < Duration::from_millis(500),
            "{:?}",
            call.elapsed()
        );
        assert_eq!(attempts.count(), 3);
        sleep(Duration::from_millis(500)).await;
    }
    net.set(&only, Place::Serves);
    let call = Instant::now();
    assert_eq!(called(&channel).await, only);
    assert_eq!(
        call.elapsed(),
        Duration::ZERO,
        "calls do not wait for the end of an ejection"
    );
    assert_eq!(servers[0].requests().len(), 2);
}
