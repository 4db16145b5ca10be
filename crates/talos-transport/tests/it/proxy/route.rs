//! Which way a connection takes, and ways that lead nowhere.

use std::sync::Mutex;
use std::time::Duration;

use talos_transport::connect::{Connect, ConnectStage};
use talos_transport::proxy::{NoProxy, Proxy, ProxyFailure, ProxyPolicy, ProxyStage};
use talos_transport::{Channel, ConnectReason, DEFAULT_CONNECT_TIMEOUT, Endpoint, Error, ServerVerification};
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};

use super::servers::TestProxy;
use super::{NAME, Remote, failure, proxy_failure};
use crate::client::{connect_reason, echo, tls, transport_error};
use crate::pki::Ca;
use crate::server::{PATIENCE, Server, ports};

#[tokio::test]
async fn a_proxy_that_is_not_there_is_not_taken_for_the_endpoint() {
    let remote = Remote::start().await;
    let url = format!("http://user:SECRET@{}", ports::reserve());
    let status = remote.failure(url.parse::<Proxy>().unwrap()).await;
    match proxy_failure(&status) {
        ProxyFailure::Dial(reason) => assert!(matches!(**reason, ConnectReason::Refused), "{reason:?}"),
        other => panic!("{other:?}"),
    }
    assert!(
        status
            .message()
            .ends_with("the proxy cannot be reached: connection refused"),
        "{status:?}"
    );
}

/// Never gets anywhere.
struct BlackHole;

impl Connect for BlackHole {
    type Io = TcpStream;

    async fn connect(&self, _endpoint: &Endpoint) -> Result<Self::Io, ConnectReason> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn silence_is_limited_by_the_connect_timeout_at_every_stage() {
    let remote = Remote::start().await;
    let timeout = Duration::from_millis(50);
    // Accepts into the backlog, and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let roots = ServerVerification::ca_pem(&remote.ca.pem).unwrap();
    for (scheme, expected) in [
        ("http", ProxyStage::Answer),
        ("socks5", ProxyStage::Answer),
        ("https", ProxyStage::Tls),
        ("black-hole", ProxyStage::Dial),
    ] {
        let black_hole = scheme == "black-hole";
        let scheme = if black_hole { "http" } else { scheme };
        let proxy: Proxy = format!("{scheme}://user:SECRET@{address}").parse().unwrap();
        let mut builder = Channel::builder([NAME.parse().unwrap()])
            .tls(tls(&remote.ca, &remote.client))
            .connect_timeout(timeout)
            .proxy(proxy.with_verification(roots.clone()));
        if black_hole {
            builder = builder.connector(BlackHole);
        }
        let status = failure(&builder.build().unwrap()).await;
        match proxy_failure(&status) {
            ProxyFailure::TimedOut { after, stage } => assert_eq!((*after, *stage), (timeout, expected)),
            other => panic!("{scheme}: {other:?}"),
        }
        let Error::Connect(error) = transport_error(&status) else {
            panic!("{status:?}")
        };
        assert!(error.is_timeout() && error.to_string().contains(NAME), "{error}");
        assert!(
            status.message().contains(&format!("{scheme}://{address}")),
            "{status:?}"
        );
    }
}

/// In memory, so that the proxy is never late.
struct Connected(Mutex<Vec<DuplexStream>>);

impl Connect for Connected {
    type Io = DuplexStream;

    async fn connect(&self, _endpoint: &Endpoint) -> Result<Self::Io, ConnectReason> {
        let (near, mut far) = tokio::io::duplex(4096);
        far.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            .await?;
        self.0.lock().unwrap().push(far);
        Ok(near)
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_endpoint_is_told_from_a_silent_proxy() {
    let ca = Ca::new();
    let channel = Channel::builder([NAME.parse().unwrap()])
        .tls(tls(&ca, &ca.client()))
        .proxy("http://proxy:3128".parse::<Proxy>().unwrap())
        .connector(Connected(Mutex::default()))
        .build()
        .unwrap();
    let status = failure(&channel).await;
    match connect_reason(&status) {
        ConnectReason::TimedOut { after, stage } => {
            assert_eq!((*after, *stage), (DEFAULT_CONNECT_TIMEOUT, ConnectStage::Tls));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn excluded_endpoints_and_unix_sockets_are_reached_directly() {
    let remote = Remote::start().await;
    let proxy = TestProxy::http(remote.tunnel("")).await;
    let endpoint = remote.server.endpoint().to_string();
    let on_loopback = ProxyPolicy::except(proxy.proxy(), NoProxy::default());
    echo(&remote.channel(&endpoint, on_loopback.clone()))
        .await
        .unwrap();
    echo(&remote.channel(&endpoint, ProxyPolicy::direct()))
        .await
        .unwrap();
    assert_eq!(proxy.seen().len(), 0);
    echo(&remote.channel(&endpoint, proxy.proxy())).await.unwrap();
    assert_eq!(proxy.seen().len(), 1);
    echo(&remote.channel(NAME, on_loopback)).await.unwrap();
    assert_eq!(proxy.seen().len(), 2);

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("machined.sock");
    let _server = Server::start_unix(&path).await;
    let channel = Channel::builder([Endpoint::unix(&path).unwrap()])
        .proxy(proxy.proxy())
        .build()
        .unwrap();
    echo(&channel).await.unwrap();
    assert_eq!(proxy.seen().len(), 2);
}

#[tokio::test]
async fn a_lost_connection_is_made_again_through_the_proxy() {
    let remote = Remote::start().await;
    let proxy = TestProxy::http(remote.tunnel("")).await;
    let channel = remote.channel(NAME, proxy.proxy());
    echo(&channel).await.unwrap();
    remote.server.go_away();
    remote.server.connections_ended().await;
    echo(&channel).await.unwrap();
    assert_eq!((proxy.seen().len(), remote.server.connections()), (2, 2));
}

#[tokio::test]
async fn an_endpoint_that_the_proxy_refuses_is_passed_over() {
    let remote = Remote::start().await;
    let proxy = TestProxy::http(remote.tunnel(NAME)).await;
    for seed in 0..4 {
        let channel = Channel::builder(["cp-2.cluster.invalid".parse().unwrap(), NAME.parse().unwrap()])
            .tls(tls(&remote.ca, &remote.client))
            .connect_timeout(PATIENCE)
            .shuffle_seed(seed)
            .proxy(proxy.proxy())
            .build()
            .unwrap();
        echo(&channel).await.unwrap();
    }
}
