//! SOCKS5.

use std::time::Duration;

use talos_transport::proxy::{Proxy, ProxyFailure, SocksReply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::servers::{Answer, Socks, TestProxy};
use super::{NAME, Remote, failure, proxy_failure};
use crate::client::echo;

#[tokio::test]
async fn socks_proxies_get_names_as_names_and_addresses_as_addresses() {
    let remote = Remote::start().await;
    let proxy = TestProxy::socks(remote.socks()).await;
    let with_h: Proxy = proxy
        .proxy()
        .to_string()
        .replace("socks5", "socks5h")
        .parse()
        .unwrap();
    for (endpoint, asked) in [
        (NAME.to_owned(), format!("name {NAME} port 50000")),
        ("10.5.0.2:443".to_owned(), "10.5.0.2 port 443".to_owned()),
        ("fd00::1".to_owned(), "fd00::1 port 50000".to_owned()),
    ] {
        for proxy in [proxy.proxy(), with_h.clone()] {
            echo(&remote.channel(&endpoint, proxy)).await.unwrap();
        }
        assert_eq!(proxy.seen()[proxy.seen().len() - 2..], [asked.clone(), asked]);
    }
}

#[tokio::test]
async fn socks_proxies_get_the_credentials() {
    let remote = Remote::start().await;
    let login = Some(("me", "pass word@"));
    let proxy = TestProxy::socks(Socks {
        login,
        ..remote.socks()
    })
    .await;
    let good = proxy.under("me:pass%20word%40@", "127.0.0.1");
    echo(&remote.channel(NAME, good)).await.unwrap();
    for (user_info, sent) in [("", false), ("me:SECRET@", true), ("me@", true)] {
        let status = remote.failure(proxy.under(user_info, "127.0.0.1")).await;
        match proxy_failure(&status) {
            ProxyFailure::Authentication { credentials_sent, .. } => assert_eq!(*credentials_sent, sent),
            other => panic!("{user_info:?}: {other:?}"),
        }
    }
    assert_eq!(proxy.seen().len(), 1);
}

#[tokio::test]
async fn a_refusal_of_socks_is_told_with_its_reason() {
    let remote = Remote::start().await;
    for (reply, expected) in [
        (2, SocksReply::NotAllowed),
        (5, SocksReply::ConnectionRefused),
        (99, SocksReply::Other(99)),
    ] {
        let proxy = TestProxy::socks(Socks {
            reply,
            ..remote.socks()
        })
        .await;
        let status = remote.failure(proxy.proxy()).await;
        assert!(
            matches!(proxy_failure(&status), ProxyFailure::Socks(found) if *found == expected),
            "{status:?}"
        );
        assert!(
            status.message().contains(&proxy.proxy().to_string()),
            "{status:?}"
        );
    }
}

#[tokio::test]
async fn proxies_of_another_protocol_are_recognized() {
    let remote = Remote::start().await;
    let http = TestProxy::http(Answer::Say(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())).await;
    let socks_url = http.proxy().to_string().replace("http", "socks5");
    // It waits for the end of a head that never comes, and we for its answer.
    let channel = remote.within(
        Duration::from_millis(50),
        NAME,
        socks_url.parse::<Proxy>().unwrap(),
    );
    let status = failure(&channel).await;
    assert!(
        matches!(proxy_failure(&status), ProxyFailure::TimedOut { .. }),
        "{status:?}"
    );

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("socks5://{}", listener.local_addr().unwrap());
    let web_server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 16]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
    });
    let status = remote.failure(url.parse::<Proxy>().unwrap()).await;
    assert!(
        matches!(
            proxy_failure(&status),
            ProxyFailure::Protocol {
                protocol: "SOCKS5",
                ..
            }
        ),
        "{status:?}"
    );
    web_server.await.unwrap();
}
