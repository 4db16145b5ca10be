//! Several endpoints over real sockets: killed, revived, added and removed, under load.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use talos_transport::{
    AnsweredBy, Channel, ChannelBuilder, ConnectError, Endpoint, EndpointSnapshot, EndpointState, Error,
    PickPolicy, RetryConfig,
};
use tokio::task::JoinSet;

use crate::client::{echo, message, server_streaming, tls, transport_error};
use crate::pki::{Ca, Pair};
use crate::server::{PATIENCE, Server, ServerTls, ports};

pub(crate) struct Cluster {
    ca: Ca,
    pair: Pair,
    client: Pair,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        let ca = Ca::new();
        let (pair, client) = (ca.server(&["127.0.0.1"]), ca.client());
        Self { ca, pair, client }
    }

    fn tls(&self) -> ServerTls {
        ServerTls::new(self.pair.clone(), &self.ca.pem)
    }

    pub(crate) async fn servers<const N: usize>(&self) -> [Server; N] {
        let mut servers = Vec::new();
        for _ in 0..N {
            servers.push(Server::start(self.tls()).await);
        }
        servers.try_into().unwrap_or_else(|_| unreachable!())
    }

    pub(crate) async fn revive(&self, address: SocketAddr) -> Server {
        Server::start_at(address, self.tls()).await
    }

    pub(crate) fn builder(&self, endpoints: impl IntoIterator<Item = Endpoint>) -> ChannelBuilder {
        Channel::builder(endpoints)
            .tls(tls(&self.ca, &self.client))
            .connect_timeout(PATIENCE)
            .retry(RetryConfig::off())
            .eject_for(Duration::from_millis(10), Duration::from_millis(20))
    }
}

pub(crate) fn endpoints(servers: &[Server]) -> Vec<Endpoint> {
    servers.iter().map(Server::endpoint).collect()
}

fn state(channel: &Channel, endpoint: &Endpoint) -> EndpointSnapshot {
    let mut all = channel.endpoints_state().into_iter();
    all.find(|snapshot| snapshot.endpoint == *endpoint).unwrap()
}

/// Waits until the endpoint is in this state, without making a call.
async fn until(channel: &Channel, endpoint: &Endpoint, wanted: EndpointState) -> EndpointSnapshot {
    let mut watch = channel.watch_endpoints();
    let reached = async {
        loop {
            let snapshot = state(channel, endpoint);
            if snapshot.state == wanted {
                return snapshot;
            }
            assert!(watch.changed().await);
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .unwrap_or_else(|_| panic!("never {wanted:?}: {:?}", channel.endpoints_state()))
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

/// Calls from many tasks until told to stop; counts calls and failures.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicUsize>,
    tasks: JoinSet<usize>,
}

impl Load {
    pub(crate) fn start(channel: &Channel, tasks: usize) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let mut load = Self {
            stop: Arc::clone(&stop),
            done: Arc::clone(&done),
            tasks: JoinSet::new(),
        };
        for _ in 0..tasks {
            let (channel, stop, done) = (channel.clone(), Arc::clone(&stop), Arc::clone(&done));
            load.tasks.spawn(async move {
                let mut failures = 0;
                while !stop.load(Ordering::SeqCst) {
                    if let Err(status) = echo(&channel).await {
                        // Sent on a connection that then broke: nobody knows what became of it.
                        assert!(
                            matches!(transport_error(&status), Error::Closed { .. }),
                            "{status:?}"
                        );
                        failures += 1;
                    }
                    done.fetch_add(1, Ordering::SeqCst);
                    tokio::task::yield_now().await;
                }
                failures
            });
        }
        load
    }

    pub(crate) async fn calls(&self, count: usize) {
        let target = self.done.load(Ordering::SeqCst) + count;
        while self.done.load(Ordering::SeqCst) < target {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn stop(self) -> usize {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await.into_iter().sum()
    }
}

#[tokio::test]
async fn a_killed_endpoint_costs_each_caller_one_call_at_most() {
    let cluster = Cluster::new();
    let servers: [Server; 3] = cluster.servers().await;
    let channel = cluster.builder(endpoints(&servers)).build().unwrap();
    let used = called(&channel).await;
    let load = Load::start(&channel, 16);
    load.calls(200).await;
    let mut rest = Vec::new();
    for server in servers {
        if server.endpoint() == used {
            server.kill().await;
        } else {
            rest.push(server);
        }
    }
    load.calls(400).await;
    let failures = load.stop().await;
    assert!(failures <= 16, "{failures} calls failed");
    let next = called(&channel).await;
    assert_ne!(next, used);
    // A second one may have been dialled beside the first if that took its time.
    let dialled: usize = rest.iter().map(Server::connections).sum();
    assert!((1..=2).contains(&dialled), "{dialled} connections");
}

#[tokio::test]
async fn a_revived_endpoint_comes_back_without_a_call() {
    let cluster = Cluster::new();
    let servers: [Server; 2] = cluster.servers().await;
    let channel = cluster.builder(endpoints(&servers)).build().unwrap();
    called(&channel).await;
    let [first, second] = servers.each_ref().map(Server::endpoint);
    let addresses = servers.each_ref().map(Server::address);
    for server in servers {
        server.kill().await;
    }
    down(&channel).await;
    for endpoint in [&first, &second] {
        let snapshot = until(&channel, endpoint, EndpointState::Ejected).await;
        assert!(snapshot.consecutive_failures > 0);
        assert!(snapshot.next_probe.is_some());
        let error = snapshot.last_error.unwrap();
        assert!(error.contains("refused"), "{error}");
    }

    let _second = cluster.revive(addresses[1]).await;
    until(&channel, &second, EndpointState::Ready).await;
    assert_eq!(called(&channel).await, second);
    let _first = cluster.revive(addresses[0]).await;
    until(&channel, &first, EndpointState::Ready).await;
    // Sticky calls stay where they are.
    assert_eq!(called(&channel).await, second);
}

/// Calls until no endpoint can be connected to. The first few may still be sent on a connection that is about to break.
async fn down(channel: &Channel) -> ConnectError {
    loop {
        let status = echo(channel).await.unwrap_err();
        if let Error::Connect(error) = transport_error(&status) {
            return error.clone();
        }
    }
}

#[tokio::test]
async fn when_everything_is_down_calls_fail_and_the_first_to_come_back_is_used() {
    let cluster = Cluster::new();
    for policy in [PickPolicy::StickyWithFailover, PickPolicy::RoundRobin] {
        let servers: [Server; 3] = cluster.servers().await;
        let channel = cluster
            .builder(endpoints(&servers))
            .pick_policy(policy)
            .build()
            .unwrap();
        called(&channel).await;
        let addresses = servers.each_ref().map(Server::address);
        for server in servers {
            server.kill().await;
        }
        let error = down(&channel).await;
        assert_eq!(error.failures().len(), 3, "{error:?}");
        for snapshot in channel.endpoints_state() {
            assert_ne!(snapshot.state, EndpointState::Ready, "{snapshot:?}");
        }
        let revived = cluster.revive(addresses[1]).await;
        // No waiting, whatever the endpoints went through.
        assert_eq!(called(&channel).await, revived.endpoint());
    }
}

#[tokio::test]
async fn round_robin_spreads_calls_evenly_and_fills_up_again() {
    let cluster = Cluster::new();
    let servers: [Server; 3] = cluster.servers().await;
    let channel = cluster
        .builder(endpoints(&servers))
        .pick_policy(PickPolicy::RoundRobin)
        .build()
        .unwrap();
    for (endpoint, result) in channel.warm_up().await {
        result.unwrap_or_else(|error| panic!("{endpoint}: {error:?}"));
    }
    let spread = async |calls: usize| {
        let mut counts: BTreeMap<Endpoint, usize> = BTreeMap::new();
        for _ in 0..calls {
            *counts.entry(called(&channel).await).or_default() += 1;
        }
        counts
    };
    let counts = spread(30).await;
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [10, 10, 10]);

    let [one, two, _three] = servers;
    let (address, endpoint) = (one.address(), one.endpoint());
    one.kill().await;
    until(&channel, &endpoint, EndpointState::Ejected).await;
    let counts = spread(20).await;
    assert_eq!(counts.len(), 2);
    assert_eq!(counts[&two.endpoint()], 10);

    let _one = cluster.revive(address).await;
    until(&channel, &endpoint, EndpointState::Ready).await;
    let counts = spread(30).await;
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [10, 10, 10]);
}

#[tokio::test]
async fn warming_up_tells_what_became_of_each_endpoint() {
    let cluster = Cluster::new();
    let [server]: [Server; 1] = cluster.servers().await;
    let dead = ports::refusing();
    let both = [dead.clone(), server.endpoint()];
    let channel = cluster
        .builder(both.clone())
        .pick_policy(PickPolicy::RoundRobin)
        .build()
        .unwrap();
    let [(first, refused), (second, connected)] = channel.warm_up().await.try_into().unwrap();
    assert_eq!([first, second], both);
    connected.unwrap();
    let refused = refused.unwrap_err();
    assert_eq!(refused.endpoint(), Some(&dead));
    assert!(refused.never_sent());
    // Again: the one is still connected, the other is tried again.
    assert!(
        channel
            .warm_up()
            .await
            .iter()
            .any(|(endpoint, result)| *endpoint == dead && result.is_err())
    );
    assert_eq!(server.connections(), 1);

    let sticky = cluster.builder(both).build().unwrap();
    let [(only, connected)] = sticky.warm_up().await.try_into().unwrap();
    connected.unwrap();
    assert_eq!(only, server.endpoint());
    let sticky = cluster.builder([dead.clone()]).build().unwrap();
    let [(only, refused)] = sticky.warm_up().await.try_into().unwrap();
    refused.unwrap_err();
    assert_eq!(only, dead);
}

#[tokio::test]
async fn a_load_balancer_without_backend_is_left_for_another_endpoint() {
    let cluster = Cluster::new();
    let servers: [Server; 2] = cluster.servers().await;
    let channel = cluster
        .builder(endpoints(&servers))
        .eject_for(PATIENCE, PATIENCE)
        .build()
        .unwrap();
    let used = called(&channel).await;
    let status = crate::client::unary(&channel, "Page", message(""))
        .await
        .unwrap_err();
    assert!(matches!(
        transport_error(&status),
        Error::NotGrpc { status: 503, .. }
    ));
    assert_ne!(called(&channel).await, used);
    // A gRPC status, even one that says so, is an answer.
    let used = called(&channel).await;
    crate::client::unary(&channel, "Refuse", message(""))
        .await
        .unwrap_err();
    crate::client::unary(&channel, "RefusedStream", message(""))
        .await
        .unwrap_err();
    assert_eq!(called(&channel).await, used);
}

#[tokio::test]
async fn a_snapshot_counts_calls_under_way() {
    let cluster = Cluster::new();
    let [server]: [Server; 1] = cluster.servers().await;
    let channel = cluster.builder([server.endpoint()]).build().unwrap();
    let snapshot = state(&channel, &server.endpoint());
    assert_eq!((snapshot.state, snapshot.in_flight), (EndpointState::Idle, 0));
    let mut streams = Vec::new();
    for _ in 0..3 {
        let mut stream = server_streaming(&channel, "Flood", message(""))
            .await
            .unwrap()
            .into_inner();
        stream.message().await.unwrap().unwrap();
        streams.push(stream);
    }
    echo(&channel).await.unwrap();
    let snapshot = state(&channel, &server.endpoint());
    assert_eq!((snapshot.state, snapshot.in_flight), (EndpointState::Ready, 3));
    assert_eq!((snapshot.consecutive_failures, snapshot.last_error), (0, None));
    drop(streams);
    assert_eq!(state(&channel, &server.endpoint()).in_flight, 0);
    let mut watch = channel.watch_endpoints();
    drop(channel);
    assert!(!watch.changed().await, "the channel is gone");
}
