//! `CONNECT`.

use talos_transport::proxy::ProxyFailure;
use talos_transport::{AnsweredBy, Channel, HandshakeError};

use super::servers::{Answer, TestProxy};
use super::{NAME, Remote, proxy_error, proxy_failure};
use crate::client::{echo, handshake_error, tls};
use crate::server::PATIENCE;

#[tokio::test]
async fn http_proxies_are_asked_for_a_tunnel_to_the_name() {
    let remote = Remote::start().await;
    let proxy = TestProxy::http(remote.tunnel("")).await;
    let channel = Channel::builder([NAME.parse().unwrap()])
        .tls(tls(&remote.ca, &remote.client))
        .connect_timeout(PATIENCE)
        .user_agent("dashboard/1.2")
        .proxy(proxy.proxy())
        .build()
        .unwrap();
    let response = echo(&channel).await.unwrap();
    let by = response.extensions().get::<AnsweredBy>().unwrap();
    assert_eq!(by.endpoint().to_string(), format!("{NAME}:50000"));
    assert_eq!(remote.server.last_request().uri.host(), Some(NAME));
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!(
        "CONNECT {NAME}:50000 HTTP/1.1\r\nHost: {NAME}:50000\r\n\
         User-Agent: dashboard/1.2 talos-transport/{version}\r\n\r\n"
    );
    assert_eq!(proxy.seen(), [expected]);
    // The connection is shared as any other.
    echo(&channel).await.unwrap();
    assert_eq!(proxy.seen().len(), 1);
}

#[tokio::test]
async fn addresses_reach_an_http_proxy_as_they_stand_in_an_authority() {
    let remote = Remote::start().await;
    let proxy = TestProxy::http(remote.tunnel("")).await;
    for (endpoint, target) in [
        ("10.5.0.2", "10.5.0.2:50000"),
        ("fd00::1", "[fd00::1]:50000"),
        ("[fd00::1%eth0]:443", "[fd00::1]:443"),
    ] {
        echo(&remote.channel(endpoint, proxy.proxy())).await.unwrap();
        let head = proxy.seen().pop().unwrap();
        assert!(
            head.starts_with(&format!("CONNECT {target} HTTP/1.1\r\n")),
            "{endpoint}: {head}"
        );
        assert!(
            head.contains(&format!("\r\nHost: {target}\r\n")),
            "{endpoint}: {head}"
        );
    }
}

#[tokio::test]
async fn http_proxies_get_the_credentials_and_the_server_does_not() {
    let remote = Remote::start().await;
    // `me:pass word@/` in base64.
    let needed = "\r\nProxy-Authorization: Basic bWU6cGFzcyB3b3JkQC8=\r\n";
    let proxy = TestProxy::http(remote.tunnel(needed)).await;
    let encoded = proxy.under("me:pass%20word%40%2f@", "127.0.0.1");
    let literal = proxy.proxy().with_credentials("me", "pass word@/").unwrap();
    for proxy in [encoded, literal] {
        echo(&remote.channel(NAME, proxy)).await.unwrap();
        let headers = remote.server.last_request().headers;
        assert!(!headers.contains_key("proxy-authorization"), "{headers:?}");
    }

    let without = remote.failure(proxy.proxy()).await;
    assert!(
        matches!(
            proxy_failure(&without),
            ProxyFailure::Authentication {
                credentials_sent: false,
                ..
            }
        ),
        "{without:?}"
    );
    let wrong = remote.failure(proxy.under("SECRET:SECRET@", "127.0.0.1")).await;
    match proxy_failure(&wrong) {
        ProxyFailure::Authentication {
            credentials_sent,
            offered,
        } => {
            assert!(credentials_sent);
            assert_eq!(offered, &["Basic"]);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(proxy_error(&wrong).proxy(), proxy.proxy().to_string());
}

#[tokio::test]
async fn a_refusal_is_told_with_proxy_status_and_reason() {
    let remote = Remote::start().await;
    let answer =
        Answer::Say(b"HTTP/1.1 403 \x1bForbidden by policy\r\nContent-Length: 4\r\n\r\nbody".to_vec());
    let proxy = TestProxy::http(answer).await;
    let status = remote.failure(proxy.under("user:SECRET@", "127.0.0.1")).await;
    match proxy_failure(&status) {
        ProxyFailure::Status { status, reason } => {
            assert_eq!((*status, reason.as_str()), (403, "Forbidden by policy"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(
        status.message(),
        format!(
            "cannot connect to {NAME}:50000: no connection through the proxy {}: the proxy answered 403 Forbidden by \
             policy; it may have to allow CONNECT to this host and port",
            proxy.proxy()
        )
    );
    assert_eq!(remote.server.connections(), 0);
}

#[tokio::test]
async fn only_status_200_opens_a_tunnel() {
    let remote = Remote::start().await;
    for line in [
        "HTTP/1.1 201 Created",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 100 Continue",
    ] {
        let answer = format!("{line}\r\n\r\n").into_bytes();
        let proxy = TestProxy::http(Answer::SayAndTunnel(answer, remote.server.address())).await;
        let status = remote.failure(proxy.proxy()).await;
        assert!(
            matches!(proxy_failure(&status), ProxyFailure::Status { .. }),
            "{line}: {status:?}"
        );
    }
    let answer = Answer::SayAndTunnel(b"HTTP/1.0 200\r\n\r\n".to_vec(), remote.server.address());
    let proxy = TestProxy::http(answer).await;
    echo(&remote.channel(NAME, proxy.proxy())).await.unwrap();
}

#[tokio::test]
async fn what_is_no_answer_is_no_tunnel() {
    let remote = Remote::start().await;
    let endless = b"HTTP/1.1 200 OK\r\n".iter().chain(b"X: y\r\n".iter().cycle());
    let endless: Vec<u8> = endless.copied().take(100_000).collect();
    for (answer, expected) in [
        (
            b"SSH-2.0-OpenSSH_9.6\r\n".as_slice(),
            "no HTTP proxy; it answered \"SSH-2.0-OpenSSH_9.6\"",
        ),
        (&[0x15, 3, 3, 0, 2, 2, 40], "no HTTP proxy"),
        (
            b"HTTP/1.1 200 OK\r\nVia: 1.1 te",
            "the proxy closed the connection without an answer",
        ),
        (&endless, "the proxy's answer is longer than 16384 bytes"),
    ] {
        let proxy = TestProxy::http(Answer::Say(answer.to_vec())).await;
        let status = remote.failure(proxy.proxy()).await;
        assert!(
            proxy_failure(&status).to_string().ends_with(expected),
            "{status:?}"
        );
    }
}

/// A TLS server says nothing first, so that nobody can talk in front of the handshake: if these bytes were dropped, the
/// call would succeed.
#[tokio::test]
async fn what_comes_right_behind_the_answer_belongs_to_the_endpoint() {
    let remote = Remote::start().await;
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\nSSH-2.0-OpenSSH_9.6\r\n".to_vec();
    let proxy = TestProxy::http(Answer::SayAndTunnel(answer, remote.server.address())).await;
    let status = remote.failure(proxy.proxy()).await;
    assert!(
        matches!(handshake_error(&status), HandshakeError::NotTls),
        "{status:?}"
    );
}
