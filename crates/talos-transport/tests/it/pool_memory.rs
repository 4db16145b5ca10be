//! Several endpoints in a simulated network with a paused clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use talos_transport::connect::{Connect, ConnectReason};
use talos_transport::{
    AnsweredBy, Channel, Endpoint, EndpointState, FirstResponseTimeout, PickPolicy, RetryConfig,
};
use tokio::io::DuplexStream;
use tokio::time::{Instant, sleep};

use crate::client::{echo, message, unary};
use crate::server::{Memory, Server};

/// What is at an endpoint.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Place {
    Serves,
    Refuses,
    /// Attempts to connect hang.
    BlackHole,
    /// Accepts connections, and lets nothing pass after the server's hello.
    Deaf,
}

/// A network of servers in memory.
#[derive(Clone)]
pub(crate) struct Net(Arc<Mutex<Places>>);

struct Places {
    places: BTreeMap<Endpoint, (Place, Memory)>,
    dialled: Vec<Endpoint>,
}

impl Connect for Net {
    type Io = DuplexStream;

    async fn connect(&self, endpoint: &Endpoint) -> Result<DuplexStream, ConnectReason> {
        let (place, io) = {
            let mut net = self.0.lock().unwrap();
            net.dialled.push(endpoint.clone());
            let (place, memory) = &net.places[endpoint];
            (
                *place,
                matches!(place, Place::Serves | Place::Deaf).then(|| memory.open()),
            )
        };
        match (place, io) {
            (Place::Serves, Some(io)) => Ok(io),
            (Place::Deaf, Some(io)) => Ok(deafen(io)),
            (Place::BlackHole, _) => std::future::pending().await,
            _ => Err(ConnectReason::Refused),
        }
    }
}

/// Lets the handshake pass, and from half a second on nothing more.
fn deafen(mut server: DuplexStream) -> DuplexStream {
    let (ours, mut theirs) = tokio::io::duplex(64 << 10);
    tokio::spawn(async move {
        let copied = tokio::io::copy_bidirectional(&mut server, &mut theirs);
        let _ = tokio::time::timeout(Duration::from_millis(500), copied).await;
        // Both ends stay open.
        std::future::pending::<()>().await;
    });
    ours
}

impl Net {
    pub(crate) fn new(names: &[&str]) -> (Vec<Server>, Self) {
        let (servers, places) = names
            .iter()
            .map(|name| {
                let (server, memory) = Server::in_memory();
                (server, (endpoint(name), (Place::Serves, memory)))
            })
            .unzip();
        let places = Places {
            places,
            dialled: Vec::new(),
        };
        (servers, Self(Arc::new(Mutex::new(places))))
    }

    pub(crate) fn set(&self, endpoint: &Endpoint, place: Place) {
        self.0.lock().unwrap().places.get_mut(endpoint).unwrap().0 = place;
    }

    pub(crate) fn dialled(&self) -> Vec<Endpoint> {
        std::mem::take(&mut self.0.lock().unwrap().dialled)
    }

    fn channel(&self, policy: PickPolicy) -> Channel {
        self.channel_with(policy, RetryConfig::off())
    }

    pub(crate) fn channel_with(&self, policy: PickPolicy, retry: RetryConfig) -> Channel {
        let endpoints: Vec<Endpoint> = self.0.lock().unwrap().places.keys().cloned().collect();
        Channel::builder(endpoints)
            .connector(self.clone())
            .pick_policy(policy)
            .retry(retry)
            .shuffle_seed(1)
            .build()
            .unwrap()
    }
}

pub(crate) fn endpoint(name: &str) -> Endpoint {
    format!("unix:///{name}").parse().unwrap()
}

pub(crate) async fn called(channel: &Channel) -> Endpoint {
    let response = echo(channel).await.unwrap();
    response
        .extensions()
        .get::<AnsweredBy>()
        .unwrap()
        .endpoint()
        .clone()
}

pub(crate) fn in_state(channel: &Channel, state: EndpointState) -> Vec<Endpoint> {
    let all = channel.endpoints_state().into_iter();
    all.filter(|snapshot| snapshot.state == state)
        .map(|snapshot| snapshot.endpoint)
        .collect()
}

const DELAY: Duration = Duration::from_millis(250);
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test(start_paused = true)]
async fn a_black_hole_among_three_delays_one_call_once() {
    for hole in ["a", "b", "c"] {
        let (servers, net) = Net::new(&["a", "b", "c"]);
        net.set(&endpoint(hole), Place::BlackHole);
        let channel = net.channel(PickPolicy::StickyWithFailover);
        let begin = Instant::now();
        let mut delayed = 0;
        for round in 0..20 {
            let call = Instant::now();
            let used = called(&channel).await;
            assert!(call.elapsed() <= DELAY, "{hole}: {:?}", call.elapsed());
            delayed += usize::from(call.elapsed() > Duration::ZERO);
            if round % 4 == 3 {
                // The connection ends; the next call needs another one.
                for server in &servers {
                    server.go_away();
                }
                net.set(&used, Place::Serves);
            }
            sleep(Duration::from_millis(100)).await;
        }
        assert!(delayed <= 1, "{hole} delayed {delayed} calls");
        assert!(begin.elapsed() < CONNECT_TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_endpoint_turning_into_a_black_hole_delays_one_call_once() {
    let (servers, net) = Net::new(&["a", "b", "c"]);
    let channel = net.channel(PickPolicy::StickyWithFailover);
    let first = called(&channel).await;
    net.set(&first, Place::BlackHole);
    servers.iter().for_each(Server::go_away);
    sleep(Duration::from_millis(1)).await;
    let call = Instant::now();
    let second = called(&channel).await;
    assert_ne!(first, second);
    assert_eq!(call.elapsed(), DELAY);
    // And if that one goes as well, the hole is not waited for again.
    net.set(&second, Place::Refuses);
    servers.iter().for_each(Server::go_away);
    sleep(Duration::from_millis(1)).await;
    let call = Instant::now();
    let third = called(&channel).await;
    assert!(third != first && third != second);
    assert_eq!(call.elapsed(), Duration::ZERO);
    sleep(CONNECT_TIMEOUT).await;
    assert!(
        in_state(&channel, EndpointState::Ejected).contains(&first),
        "{:?}",
        channel.endpoints_state()
    );
}

#[tokio::test(start_paused = true)]
async fn ejected_endpoints_are_probed_while_the_channel_is_in_use_and_then_no_more() {
    let (_servers, net) = Net::new(&["a", "b", "c"]);
    for name in ["a", "b", "c"] {
        net.set(&endpoint(name), Place::Refuses);
    }
    let channel = net.channel(PickPolicy::StickyWithFailover);
    echo(&channel).await.unwrap_err();
    assert_eq!(in_state(&channel, EndpointState::Ejected).len(), 3);
    assert_eq!(net.dialled().len(), 3);
    sleep(Duration::from_secs(60)).await;
    // After about 1, 3, 7, 15, 31 and 61 seconds.
    let probes = net.dialled().len();
    assert!((12..=18).contains(&probes), "{probes} probes in a minute");
    // Five minutes after the only call.
    sleep(Duration::from_secs(600)).await;
    net.dialled();
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(net.dialled(), [], "an unused channel dials");
    assert!(
        channel
            .endpoints_state()
            .iter()
            .all(|snapshot| snapshot.next_probe.is_none())
    );
    // The next call does not wait for anything.
    net.set(&endpoint("b"), Place::Serves);
    let begin = Instant::now();
    assert_eq!(called(&channel).await, endpoint("b"));
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_revived_endpoint_comes_back_in_time_and_its_connection_ends_when_it_is_not_needed() {
    let (servers, net) = Net::new(&["a", "b"]);
    let channel = net.channel(PickPolicy::StickyWithFailover);
    let first = called(&channel).await;
    net.set(&first, Place::Refuses);
    servers.iter().for_each(Server::go_away);
    sleep(Duration::from_millis(1)).await;
    let second = called(&channel).await;
    assert_eq!(
        in_state(&channel, EndpointState::Ejected),
        std::slice::from_ref(&first)
    );
    net.set(&first, Place::Serves);
    sleep(Duration::from_millis(1300)).await;
    assert_eq!(in_state(&channel, EndpointState::Ready).len(), 2);
    assert_eq!(called(&channel).await, second);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(in_state(&channel, EndpointState::Ready), [second]);
    assert_eq!(in_state(&channel, EndpointState::Idle), [first]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_went_silent_is_left_after_one_call() {
    let (_servers, net) = Net::new(&["a", "b"]);
    for name in ["a", "b"] {
        net.set(&endpoint(name), Place::Deaf);
    }
    let channel = net.channel(PickPolicy::StickyWithFailover);
    let first = called(&channel).await;
    for name in ["a", "b"] {
        net.set(&endpoint(name), Place::Serves);
    }
    sleep(Duration::from_secs(1)).await;
    let mut request = message("ping");
    request
        .extensions_mut()
        .insert(FirstResponseTimeout(Duration::from_secs(5)));
    unary(&channel, "Unary", request).await.unwrap_err();
    let begin = Instant::now();
    assert_eq!(called(&channel).await, first);
    assert_eq!(begin.elapsed(), Duration::ZERO);
    // At first, to see whether the endpoint is there, and when the call had been given up.
    assert_eq!(net.dialled(), [first.clone(), first.clone(), first]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_on_a_lively_connection_is_no_reason_to_leave_it() {
    let (servers, net) = Net::new(&["a"]);
    let channel = net.channel(PickPolicy::StickyWithFailover);
    let slow = {
        let channel = channel.clone();
        tokio::spawn(async move {
            let mut request = message("");
            request
                .extensions_mut()
                .insert(FirstResponseTimeout(Duration::from_secs(5)));
            unary(&channel, "Hang", request).await
        })
    };
    sleep(Duration::from_secs(2)).await;
    echo(&channel).await.unwrap();
    slow.await.unwrap().unwrap_err();
    echo(&channel).await.unwrap();
    assert_eq!(servers[0].connections(), 1);
}

#[tokio::test(start_paused = true)]
async fn round_robin_keeps_every_endpoint_connected() {
    let (servers, net) = Net::new(&["a", "b", "c", "d"]);
    net.set(&endpoint("d"), Place::Refuses);
    let channel = net.channel(PickPolicy::RoundRobin);
    called(&channel).await;
    sleep(Duration::from_millis(1)).await;
    assert_eq!(in_state(&channel, EndpointState::Ready).len(), 3);
    // Connections that end are made again without a call.
    servers[0].go_away();
    sleep(Duration::from_millis(1)).await;
    assert_eq!(in_state(&channel, EndpointState::Ready).len(), 3);
    assert_eq!(servers[0].connections(), 2);
    net.set(&endpoint("d"), Place::Serves);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(in_state(&channel, EndpointState::Ready).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_channel_ends_all_it_had() {
    let (servers, net) = Net::new(&["a", "b", "c"]);
    net.set(&endpoint("c"), Place::BlackHole);
    let channel = net.channel(PickPolicy::RoundRobin);
    called(&channel).await;
    sleep(Duration::from_millis(1)).await;
    drop(channel);
    for server in &servers {
        server.connections_ended().await;
    }
    net.dialled();
    sleep(Duration::from_secs(600)).await;
    assert_eq!(net.dialled(), []);
}
