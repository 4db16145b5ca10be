//! TLS with the proxy, and with the server through the proxy.

use talos_transport::proxy::{Proxy, ProxyFailure};
#[cfg(not(feature = "native-roots"))]
use talos_transport::{
    BuildError, Channel,
    proxy::{NoProxy, ProxyPolicy},
};
use talos_transport::{HandshakeError, ServerVerification};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::servers::{Answer, TestProxy};
use super::{NAME, Remote, proxy_failure};
#[cfg(not(feature = "native-roots"))]
use crate::client::tls;
use crate::client::{echo, handshake_error};
use crate::pki::Ca;
use crate::server::{Server, ServerTls};

#[tokio::test]
async fn https_proxies_are_verified_against_their_own_roots_and_name() {
    let remote = Remote::start().await;
    let own = Ca::new();
    let server_tls = ServerTls {
        alpn: vec!["http/1.1"],
        ..ServerTls::without_client_certificates(own.server(&["127.0.0.1"]))
    };
    let needed = "Proxy-Authorization: Basic bWU6U0VDUkVU\r\n";
    let proxy = TestProxy::https(&server_tls, remote.tunnel(needed)).await;
    let own_roots = ServerVerification::ca_pem(&own.pem).unwrap();
    let cluster_roots = ServerVerification::ca_pem(&remote.ca.pem).unwrap();

    let trusted = proxy
        .under("me:SECRET@", "127.0.0.1")
        .with_verification(own_roots.clone());
    echo(&remote.channel(NAME, trusted)).await.unwrap();
    assert!(
        proxy.seen()[0].starts_with(&format!("CONNECT {NAME}:50000 ")),
        "{:?}",
        proxy.seen()
    );

    let untrusted = proxy
        .under("me:SECRET@", "127.0.0.1")
        .with_verification(cluster_roots);
    let status = remote.failure(untrusted).await;
    assert!(
        matches!(
            proxy_failure(&status),
            ProxyFailure::Tls(HandshakeError::UnknownIssuer)
        ),
        "{status:?}"
    );
    let misnamed = proxy
        .under("me:SECRET@", "localhost")
        .with_verification(own_roots);
    let status = remote.failure(misnamed).await;
    assert!(
        matches!(
            proxy_failure(&status),
            ProxyFailure::Tls(HandshakeError::NameMismatch { .. })
        ),
        "{status:?}"
    );
    // Whoever is not trusted is told nothing, credentials least of all.
    assert_eq!(proxy.seen().len(), 1);
}

#[tokio::test]
async fn a_proxy_that_speaks_no_tls_gets_no_request() {
    let remote = Remote::start().await;
    let roots = ServerVerification::ca_pem(&remote.ca.pem).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://user:SECRET@{}", listener.local_addr().unwrap());
    let plain = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut received = vec![0; 4096];
        let length = stream.read(&mut received).await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        received.truncate(length);
        received
    });
    let proxy = url.parse::<Proxy>().unwrap().with_verification(roots);
    let status = remote.failure(proxy).await;
    assert!(
        matches!(proxy_failure(&status), ProxyFailure::Tls(HandshakeError::NotTls)),
        "{status:?}"
    );
    // A TLS handshake record.
    assert_eq!(plain.await.unwrap()[..2], [0x16, 3]);
}

#[cfg(not(feature = "native-roots"))]
#[test]
fn an_https_proxy_without_roots_names_the_missing_feature() {
    let ca = Ca::new();
    let build = |policy: ProxyPolicy| {
        Channel::builder(["10.5.0.2".parse().unwrap()])
            .tls(tls(&ca, &ca.client()))
            .proxy(policy)
            .build()
            .map(drop)
    };
    let proxy: Proxy = "https://user:SECRET@proxy.invalid".parse().unwrap();
    let error = build(proxy.clone().into()).unwrap_err();
    let BuildError::ProxyTls { proxy: url, source } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(url, "https://proxy.invalid:443");
    assert!(source.to_string().contains("`native-roots`"), "{source}");
    assert!(!format!("{error} {error:?}").contains("SECRET"));
    // Nobody needs to have roots for a proxy that is not used.
    build(ProxyPolicy::except(proxy, NoProxy::from_list("10.0.0.0/8"))).unwrap();
}

#[tokio::test]
async fn the_server_is_verified_through_the_proxy_as_without() {
    let remote = Remote::start().await;
    let stranger = Server::start(ServerTls::new(Ca::new().server(&[NAME]), &remote.ca.pem)).await;
    let proxy = TestProxy::http(Answer::Tunnel(stranger.address(), "")).await;
    let status = remote.failure(proxy.proxy()).await;
    assert!(
        matches!(handshake_error(&status), HandshakeError::UnknownIssuer),
        "{status:?}"
    );
    assert_eq!(stranger.requests().len(), 0);
}
