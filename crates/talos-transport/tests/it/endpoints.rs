//! One endpoint, several, dead ones, and other ways to get there.

use std::collections::BTreeSet;
use std::time::Duration;

use talos_transport::connect::{Connect, ConnectReason};
use talos_transport::{AnsweredBy, BuildError, Channel, Endpoint, Error};
use tokio::net::TcpListener;
use tonic::Code;

use crate::client::{builder, channel, connect_reason, echo, tls, transport_error};
use crate::pki::{Ca, Pair};
use crate::server::ports::refusing;
use crate::server::{PATIENCE, Server, ServerTls};

struct Cluster {
    ca: Ca,
    client: Pair,
}

impl Cluster {
    fn new() -> Self {
        let ca = Ca::new();
        let client = ca.client();
        Self { ca, client }
    }

    fn server_tls(&self) -> ServerTls {
        ServerTls::new(self.ca.server(&["127.0.0.1", "::1", "localhost"]), &self.ca.pem)
    }

    async fn server(&self) -> Server {
        Server::start(self.server_tls()).await
    }

    fn channel(&self, endpoints: impl IntoIterator<Item = Endpoint>, seed: u64) -> Channel {
        Channel::builder(endpoints)
            .tls(tls(&self.ca, &self.client))
            .connect_timeout(PATIENCE)
            .shuffle_seed(seed)
            .build()
            .unwrap()
    }
}

/// An endpoint that accepts connections and never says anything. It lives as long as the listener.
async fn silent() -> (TcpListener, Endpoint) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::try_from(listener.local_addr().unwrap()).unwrap();
    (listener, endpoint)
}

fn answered_by(response: &tonic::Response<bytes::Bytes>) -> Endpoint {
    response
        .extensions()
        .get::<AnsweredBy>()
        .unwrap()
        .endpoint()
        .clone()
}

#[tokio::test]
async fn building_dials_nothing() {
    let cluster = Cluster::new();
    let (listener, endpoint) = silent().await;
    let channel = cluster.channel([endpoint.clone()], 0);
    assert_eq!(channel.endpoints(), [endpoint]);
    drop(channel);
    // Whoever had dialled would be in the queue.
    let accepted = tokio::time::timeout(Duration::ZERO, listener.accept()).await;
    assert!(accepted.is_err());
}

#[test]
fn building_needs_no_runtime() {
    let cluster = Cluster::new();
    cluster.channel(["10.5.0.2".parse().unwrap()], 0);
}

#[tokio::test]
async fn connecting_early_tells_the_endpoint() {
    let cluster = Cluster::new();
    let server = cluster.server().await;
    let channel = cluster.channel([refusing(), server.endpoint()], 0);
    assert_eq!(channel.connect().await.unwrap(), server.endpoint());
    echo(&channel).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_refused_connection_is_told() {
    let cluster = Cluster::new();
    let endpoint = refusing();
    let status = echo(&cluster.channel([endpoint.clone()], 0)).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        matches!(connect_reason(&status), ConnectReason::Refused),
        "{status:?}"
    );
    assert_eq!(
        status.message(),
        format!("cannot connect to {endpoint}: connection refused")
    );
    let error = transport_error(&status);
    assert!(error.never_sent());
    assert_eq!(error.endpoint(), Some(&endpoint));
}

#[tokio::test]
async fn a_name_without_address_is_told() {
    // Reserved for this purpose by RFC 6761, so no resolver knows it.
    let cluster = Cluster::new();
    let endpoint = "cluster.invalid".parse().unwrap();
    let status = echo(&cluster.channel([endpoint], 0)).await.unwrap_err();
    assert!(
        matches!(connect_reason(&status), ConnectReason::Resolve(_)),
        "{status:?}"
    );
}

#[tokio::test]
async fn when_all_endpoints_fail_each_has_its_reason() {
    let cluster = Cluster::new();
    let stranger = Cluster::new().server().await;
    let refusing = refusing();
    let status = echo(&cluster.channel([refusing.clone(), stranger.endpoint()], 0))
        .await
        .unwrap_err();
    let Error::Connect(error) = transport_error(&status) else {
        panic!("{status:?}")
    };
    let endpoints: BTreeSet<_> = error
        .failures()
        .iter()
        .map(|failure| failure.endpoint().clone())
        .collect();
    assert_eq!(endpoints, BTreeSet::from([refusing.clone(), stranger.endpoint()]));
    for failure in error.failures() {
        let expected = if failure.endpoint() == &refusing {
            matches!(failure.reason(), ConnectReason::Refused)
        } else {
            matches!(failure.reason(), ConnectReason::Tls(_))
        };
        assert!(expected, "{failure:?}");
    }
    let message = status.message();
    assert!(
        message.starts_with("none of 2 endpoints can be reached: "),
        "{message}"
    );
    assert!(
        message.contains(&format!("{refusing}: connection refused")),
        "{message}"
    );
    assert!(message.contains("not signed by a trusted CA"), "{message}");
}

#[tokio::test]
async fn dead_and_silent_endpoints_are_passed_over_whatever_the_order() {
    let cluster = Cluster::new();
    let server = cluster.server().await;
    let (_listener, silent) = silent().await;
    let endpoints = [refusing(), silent, server.endpoint()];
    for seed in 0..6 {
        let response = echo(&cluster.channel(endpoints.clone(), seed)).await.unwrap();
        assert_eq!(answered_by(&response), server.endpoint());
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_our_certificate_is_passed_over() {
    // With TLS 1.3 it would look connected if nobody waited for its first words.
    let cluster = Cluster::new();
    let server = cluster.server().await;
    let picky = ServerTls::new(cluster.ca.server(&["127.0.0.1"]), &Ca::new().pem);
    let picky = Server::start(picky).await;
    for seed in 0..4 {
        let response = echo(&cluster.channel([picky.endpoint(), server.endpoint()], seed))
            .await
            .unwrap();
        assert_eq!(answered_by(&response), server.endpoint());
    }
}

#[tokio::test]
async fn several_endpoints_spread_new_channels_and_each_channel_stays() {
    let cluster = Cluster::new();
    let (one, other) = (cluster.server().await, cluster.server().await);
    let mut used = BTreeSet::new();
    for seed in 0..8 {
        let channel = cluster.channel([one.endpoint(), other.endpoint(), one.endpoint()], seed);
        assert_eq!(channel.endpoints().len(), 2, "repetitions count once");
        let first = answered_by(&echo(&channel).await.unwrap());
        for _ in 0..3 {
            assert_eq!(answered_by(&echo(&channel).await.unwrap()), first);
        }
        used.insert(first);
    }
    assert_eq!(used.len(), 2);
}

#[tokio::test]
async fn the_authority_has_the_port_for_one_endpoint_only() {
    let cluster = Cluster::new();
    let (one, other) = (cluster.server().await, cluster.server().await);
    echo(&cluster.channel([one.endpoint()], 0)).await.unwrap();
    let authority = one.last_request().uri.authority().unwrap().to_string();
    assert_eq!(authority, one.address().to_string());

    let channel = cluster.channel([one.endpoint(), other.endpoint()], 0);
    let used = answered_by(&echo(&channel).await.unwrap());
    let server = if used == one.endpoint() { &one } else { &other };
    assert_eq!(server.last_request().uri.authority().unwrap(), "127.0.0.1");
}

#[tokio::test]
async fn ipv6_endpoints_work() {
    let cluster = Cluster::new();
    // Machines without IPv6 cannot bind; there the certificate and address rules are tested by parsing alone.
    if TcpListener::bind("[::1]:0").await.is_err() {
        assert!(
            !std::path::Path::new("/proc/sys/net/ipv6").exists(),
            "there is IPv6 but no ::1"
        );
        return;
    }
    let server = Server::start_at("[::1]:0".parse().unwrap(), cluster.server_tls()).await;
    let endpoint: Endpoint = format!("https://[::1]:{}", server.address().port())
        .parse()
        .unwrap();
    echo(&cluster.channel([endpoint.clone()], 0)).await.unwrap();
    assert_eq!(
        server.last_request().uri.authority().unwrap().as_str(),
        format!("[::1]:{}", server.address().port())
    );
}

#[tokio::test]
async fn all_addresses_of_a_name_are_tried() {
    // The server listens on one of the families `localhost` may stand for.
    let cluster = Cluster::new();
    let server = cluster.server().await;
    let endpoint = format!("localhost:{}", server.address().port()).parse().unwrap();
    echo(&cluster.channel([endpoint], 0)).await.unwrap();
}

#[tokio::test]
#[cfg(unix)]
async fn unix_sockets_are_plaintext_without_tls_settings() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("machine.sock");
    let server = Server::start_unix(&path).await;
    let endpoint = Endpoint::unix(&path).unwrap();
    let channel = Channel::builder([endpoint.clone()]).build().unwrap();
    assert_eq!(answered_by(&echo(&channel).await.unwrap()), endpoint);
    let request = server.last_request();
    assert_eq!(request.uri.scheme_str(), Some("http"));
    assert_eq!(request.uri.authority().unwrap(), "localhost");
}

#[tokio::test]
#[cfg(unix)]
async fn a_missing_unix_socket_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let endpoint = Endpoint::unix(folder.path().join("none.sock")).unwrap();
    let status = echo(&Channel::builder([endpoint]).build().unwrap())
        .await
        .unwrap_err();
    assert!(
        matches!(connect_reason(&status), ConnectReason::Io(error) if error.kind() == std::io::ErrorKind::NotFound),
        "{status:?}"
    );
}

#[tokio::test]
async fn a_connector_of_the_callers_own_brings_the_bytes() {
    struct Redirect(std::net::SocketAddr);
    impl Connect for Redirect {
        type Io = tokio::net::TcpStream;
        async fn connect(&self, endpoint: &Endpoint) -> Result<Self::Io, ConnectReason> {
            assert_eq!(endpoint.host(), Some("localhost"));
            Ok(tokio::net::TcpStream::connect(self.0).await?)
        }
    }
    let cluster = Cluster::new();
    let server = cluster.server().await;
    let channel = builder("localhost:1".parse().unwrap(), tls(&cluster.ca, &cluster.client))
        .connector(Redirect(server.address()))
        .build()
        .unwrap();
    echo(&channel).await.unwrap();
}

#[test]
fn building_refuses_what_cannot_work() {
    let endpoint: Endpoint = "10.5.0.2".parse().unwrap();
    let socket: Endpoint = "unix:///run/a.sock".parse().unwrap();
    let cluster = Cluster::new();
    let tls = || tls(&cluster.ca, &cluster.client);
    let meta = |name: &str, value: &str| {
        Channel::builder([endpoint.clone()])
            .tls(tls())
            .metadata(name, value)
            .build()
            .unwrap_err()
    };
    let own = |text: &str| text.to_owned();

    assert_eq!(
        Channel::builder([]).tls(tls()).build().unwrap_err(),
        BuildError::NoEndpoint
    );
    assert_eq!(
        Channel::builder([socket.clone(), endpoint.clone()])
            .build()
            .unwrap_err(),
        BuildError::NoTls {
            endpoint: endpoint.clone()
        }
    );
    let basic = Channel::builder([endpoint.clone(), socket.clone()])
        .tls(tls())
        .basic_auth("user", "hunter2");
    assert!(!format!("{basic:?}").contains("hunter2"));
    assert_eq!(
        basic.build().unwrap_err(),
        BuildError::BasicAuthWithoutTls { endpoint: socket }
    );
    for name in ["", "Upper", "with space", "raw-bin", "größe"] {
        assert_eq!(meta(name, "x"), BuildError::MetadataName { name: own(name) });
    }
    for name in [
        "node",
        "nodes",
        "proxyfrom",
        "runtime",
        "grpc-timeout",
        "te",
        "content-type",
        "user-agent",
        "host",
    ] {
        assert_eq!(meta(name, "x"), BuildError::ReservedMetadata { name: own(name) });
    }
    for value in ["größe", "two\nlines", "tab\t"] {
        let error = meta("context", value);
        assert_eq!(error, BuildError::MetadataValue { name: own("context") });
        assert!(!error.to_string().contains(value));
    }
    let agent = Channel::builder([endpoint])
        .tls(tls())
        .user_agent("two\nlines")
        .build()
        .unwrap_err();
    assert_eq!(
        agent,
        BuildError::MetadataValue {
            name: own("user-agent")
        }
    );
}

#[tokio::test]
async fn the_channel_is_what_generated_clients_want() {
    fn usable<T>(_: &T)
    where
        T: tonic::client::GrpcService<tonic::body::Body> + Clone + Send + Sync + 'static,
        T::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
        T::ResponseBody: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        <T::ResponseBody as http_body::Body>::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
        T::Future: Send,
    {
    }
    let cluster = Cluster::new();
    usable(&channel(
        "10.5.0.2".parse().unwrap(),
        tls(&cluster.ca, &cluster.client),
    ));
}
