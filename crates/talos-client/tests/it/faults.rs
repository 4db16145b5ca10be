//! Clusters that lose endpoints in the ways that hurt: without a word, all at once, for as long as a reboot takes.

use std::{net::SocketAddr, time::Duration};

use talos_client::{
    CallOptions, Client, ErrorKind, config::Talosconfig, transport::EndpointState, transport::RetryConfig,
};
use talos_testkit::SimCluster;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use crate::support::builder_for;

const VERSION: &str = "/machine.MachineService/Version";

/// Passes bytes on to an endpoint, until it swallows them: then everything stays open and nothing gets through.
struct Relay {
    address: SocketAddr,
    swallow: watch::Sender<bool>,
    _accepting: JoinSet<()>,
}

impl Relay {
    async fn to(endpoint: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (swallow, swallowing) = watch::channel(false);
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(stream, endpoint, swallowing.clone()));
            }
        });
        Self {
            address,
            swallow,
            _accepting: accepting,
        }
    }
}

async fn pass(mut near: TcpStream, endpoint: SocketAddr, mut swallowing: watch::Receiver<bool>) {
    let mut far = TcpStream::connect(endpoint).await.expect("connected");
    let swallowed = async { swallowing.wait_for(|swallow| *swallow).await.is_ok() };
    tokio::select! {
        biased;
        true = swallowed => std::future::pending().await,
        // How a connection ends is what the client and the cluster make of it.
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
    }
}

// covers: machine.MachineService/Version
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_go_on_when_the_endpoint_in_use_becomes_a_black_hole() {
    const CALLERS: usize = 50;
    let cluster = SimCluster::builder()
        .control_planes(3)
        .workers(1)
        .start()
        .await
        .expect("started");
    let mut relays = Vec::new();
    for index in 0..3 {
        relays.push(Relay::to(cluster.node(index).socket_addr()).await);
    }
    let endpoints = relays.iter().map(|relay| relay.address.to_string());
    let talosconfig = cluster.talosconfig_builder().endpoints(endpoints).render();
    let talosconfig = Talosconfig::parse(talosconfig.expect("rendered")).expect("a talosconfig");
    let client = Client::builder()
        .talosconfig(talosconfig)
        .build()
        .expect("a client");
    let node = client.node(cluster.node(3).name()).expect("a name");
    node.version().await.expect("answered");
    // On a slow machine two were raced, and both are connected.
    let asked = cluster.requests().of(VERSION);
    let through = &asked.last().expect("it arrived").endpoint;
    let index = (0..3).position(|index| cluster.node(index).name() == *through);
    let relay = &relays[index.expect("a control plane node")];
    relay.swallow.send_replace(true);

    cluster.requests().clear();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let node = node.clone();
        callers.spawn(async move {
            for _ in 0..3 {
                node.version().await?;
            }
            Ok::<_, talos_client::Error>(())
        });
    }
    for result in callers.join_all().await {
        result.expect("answered through another endpoint");
    }
    let seen = cluster.requests().of(VERSION).len();
    assert_eq!(
        seen,
        3 * CALLERS,
        "what was swallowed was not seen, and nothing was asked twice"
    );
    let mut dialled = client.raw().endpoints_state();
    dialled.retain(|endpoint| endpoint.state == EndpointState::Ready);
    assert!(
        dialled
            .iter()
            .all(|endpoint| endpoint.endpoint.to_string() != relay.address.to_string()),
        "{dialled:?}"
    );
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn when_all_endpoints_are_down_and_one_comes_back_the_next_call_works() {
    let cluster = SimCluster::builder()
        .control_planes(3)
        .start()
        .await
        .expect("started");
    let client = builder_for(&cluster).build().expect("a client");
    client.version().await.expect("answered");
    (0..3).for_each(|index| cluster.node(index).kill());
    // The first one may find out the hard way that its connection is gone.
    let error = client.version().await.expect_err("nobody is there");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Connect, 3),
        "{error:#}"
    );
    for index in [2, 0, 1] {
        cluster.node(index).revive().expect("revived");
        cluster.requests().clear();
        client.version().await.expect("answered");
        let call = cluster.requests().of(VERSION).pop().expect("received");
        assert_eq!(call.endpoint, cluster.node(index).name());
        assert_eq!(cluster.requests().of(VERSION).len(), 1);
        cluster.node(index).kill();
        client.version().await.expect_err("down again");
    }
}

// covers: machine.MachineService/Version
#[tokio::test]
async fn a_patient_call_outlasts_a_reboot() {
    let cluster = SimCluster::builder().start().await.expect("started");
    let client = builder_for(&cluster).build().expect("a client");
    client.version().await.expect("answered");
    cluster.node(0).kill();
    cluster.requests().clear();
    let delay = Duration::from_millis(10);
    let patient = RetryConfig::new()
        .max_attempts(1_000)
        .delays(delay, delay)
        .unreachable_window(Duration::from_secs(30));
    let calling = tokio::spawn({
        let client = client.clone().with_options(CallOptions::new().retry(patient));
        async move { client.version().await }
    });
    let mut watch = client.raw().watch_endpoints();
    while client.raw().endpoints_state()[0].consecutive_failures < 4 {
        assert!(watch.changed().await);
    }
    cluster.node(0).revive().expect("revived");
    calling.await.expect("no panic").expect("answered");
    assert_eq!(
        cluster.requests().of(VERSION).len(),
        1,
        "refused attempts reach nobody"
    );
}
