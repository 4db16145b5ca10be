//! Endpoints that are replaced at run time, and unix sockets among them.

use talos_transport::{BuildError, Channel, Endpoint, PickPolicy};

use crate::client::{message, server_streaming};
use crate::pool::{Cluster, Load, called};
use crate::server::{PATIENCE, Server};

#[tokio::test]
async fn endpoints_are_replaced_under_load_without_a_failed_call() {
    let cluster = Cluster::new();
    for policy in [PickPolicy::StickyWithFailover, PickPolicy::RoundRobin] {
        let servers: [Server; 4] = cluster.servers().await;
        let [one, two, three, four] = &servers;
        let channel = cluster
            .builder([one.endpoint(), two.endpoint()])
            .pick_policy(policy)
            .build()
            .unwrap();
        let mut stream = server_streaming(&channel, "Flood", message(""))
            .await
            .unwrap()
            .into_inner();
        stream.message().await.unwrap().unwrap();
        let load = Load::start(&channel, 8);
        load.calls(50).await;
        channel
            .set_endpoints([three.endpoint(), four.endpoint(), three.endpoint()])
            .unwrap();
        assert_eq!(channel.endpoints(), [three.endpoint(), four.endpoint()]);
        load.calls(100).await;
        let before = [one.requests().len(), two.requests().len()];
        load.calls(100).await;
        assert_eq!(
            [one.requests().len(), two.requests().len()],
            before,
            "removed ones get no calls"
        );
        assert_eq!(load.stop().await, 0, "failed calls");
        // What was under way goes on, and ends the connection when it is over.
        stream.message().await.unwrap().unwrap();
        drop(stream);
        for removed in [one, two] {
            tokio::time::timeout(PATIENCE, removed.connections_ended())
                .await
                .unwrap();
        }
        assert_eq!(channel.endpoints_state().len(), 2);
    }
}

#[tokio::test]
async fn an_endpoint_that_stays_keeps_its_connection() {
    let cluster = Cluster::new();
    let servers: [Server; 2] = cluster.servers().await;
    let [one, two] = &servers;
    let channel = cluster.builder([one.endpoint()]).build().unwrap();
    called(&channel).await;
    channel.set_endpoints([two.endpoint(), one.endpoint()]).unwrap();
    assert_eq!(called(&channel).await, one.endpoint());
    assert_eq!((one.connections(), two.connections()), (1, 0));
}

#[tokio::test]
async fn endpoints_that_building_would_refuse_are_refused_later_too() {
    let cluster = Cluster::new();
    let endpoint: Endpoint = "10.5.0.2".parse().unwrap();
    let socket: Endpoint = "unix:///run/a.sock".parse().unwrap();
    let channel = cluster
        .builder([endpoint.clone()])
        .basic_auth("user", "word")
        .build()
        .unwrap();
    assert_eq!(channel.set_endpoints([]).unwrap_err(), BuildError::NoEndpoint);
    assert_eq!(
        channel.set_endpoints([socket.clone()]).unwrap_err(),
        BuildError::BasicAuthWithoutTls {
            endpoint: socket.clone()
        }
    );
    assert_eq!(channel.endpoints(), std::slice::from_ref(&endpoint));
    let plain = Channel::builder([socket]).build().unwrap();
    assert_eq!(
        plain.set_endpoints([endpoint.clone()]).unwrap_err(),
        BuildError::NoTls { endpoint }
    );
}

#[tokio::test]
#[cfg(unix)]
async fn unix_sockets_fail_over_like_any_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (missing, path) = (
        folder.path().join("missing.sock"),
        folder.path().join("there.sock"),
    );
    let _server = Server::start_unix(&path).await;
    let there = Endpoint::unix(&path).unwrap();
    for seed in 0..4 {
        let channel = Channel::builder([Endpoint::unix(&missing).unwrap(), there.clone()])
            .shuffle_seed(seed)
            .build()
            .unwrap();
        assert_eq!(called(&channel).await, there);
    }
}
