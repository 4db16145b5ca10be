//! What the server is told with each call.

use talos_transport::Node;

use crate::calls::{all, connected, start};
use crate::client::{echo, message, unary};

#[tokio::test]
async fn the_server_receives_what_talos_expects() {
    let (server, builder) = start().await;
    let channel = builder
        .context("my-cluster")
        .user_agent("test/1.2")
        .metadata("x-trace", "one")
        .metadata("x-trace", "two")
        .basic_auth("Aladdin", "open sesame")
        .build()
        .unwrap();
    echo(&channel).await.unwrap();
    let request = server.last_request();
    assert_eq!(
        request.uri.to_string(),
        format!("https://{}/test.Echo/Unary", server.address())
    );
    let mut received: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    received.sort_unstable();
    assert_eq!(
        received,
        [
            ("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ("content-type", "application/grpc"),
            ("context", "my-cluster"),
            ("runtime", "Talos"),
            ("te", "trailers"),
            (
                "user-agent",
                concat!("test/1.2 talos-transport/", env!("CARGO_PKG_VERSION"))
            ),
            ("x-trace", "one"),
            ("x-trace", "two"),
        ]
    );
}

#[tokio::test]
async fn without_settings_only_the_runtime_is_told() {
    let (server, channel) = connected().await;
    echo(&channel).await.unwrap();
    let headers = server.last_request().headers;
    assert_eq!(all(&headers, "runtime"), ["Talos"]);
    assert_eq!(
        all(&headers, "user-agent"),
        [concat!("talos-transport/", env!("CARGO_PKG_VERSION"))]
    );
    for absent in [
        "context",
        "authorization",
        "node",
        "nodes",
        "proxyfrom",
        "grpc-timeout",
    ] {
        assert!(!headers.contains_key(absent), "{absent}");
    }
}

#[tokio::test]
async fn metadata_of_a_call_comes_before_that_of_the_channel() {
    let (server, builder) = start().await;
    let channel = builder.metadata("x-team", "all").build().unwrap();
    let mut request = message("ping");
    request.metadata_mut().insert("x-team", "mine".parse().unwrap());
    unary(&channel, "Unary", request).await.unwrap();
    assert_eq!(all(&server.last_request().headers, "x-team"), ["mine"]);
}

#[tokio::test]
async fn a_node_is_sent_once_and_alone() {
    let (server, channel) = connected().await;
    let mut request = message("ping");
    for (name, value) in [
        ("node", "10.5.0.9"),
        ("nodes", "10.5.0.8"),
        ("proxyfrom", "10.5.0.7"),
    ] {
        request.metadata_mut().append(name, value.parse().unwrap());
        request.metadata_mut().append(name, value.parse().unwrap());
    }
    request
        .extensions_mut()
        .insert(Node("[FD00::3]".parse().unwrap()));
    unary(&channel, "Unary", request).await.unwrap();
    let headers = server.last_request().headers;
    assert_eq!(all(&headers, "node"), ["fd00::3"]);
    assert!(!headers.contains_key("nodes") && !headers.contains_key("proxyfrom"));
}

#[tokio::test]
async fn several_nodes_written_by_hand_pass_and_a_forged_hop_does_not() {
    let (server, channel) = connected().await;
    let mut request = message("ping");
    request
        .metadata_mut()
        .append("nodes", "10.5.0.2".parse().unwrap());
    request
        .metadata_mut()
        .append("nodes", "10.5.0.3".parse().unwrap());
    request.metadata_mut().append("proxyfrom", "me".parse().unwrap());
    unary(&channel, "Unary", request).await.unwrap();
    let headers = server.last_request().headers;
    assert_eq!(all(&headers, "nodes"), ["10.5.0.2", "10.5.0.3"]);
    assert!(!headers.contains_key("proxyfrom"));
}
