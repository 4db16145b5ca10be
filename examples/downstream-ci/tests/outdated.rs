//! The program against a simulated cluster.

use downstream_ci::{Finding, outdated};
use talos_client::{Client, config::Talosconfig};
use talos_testkit::{Code, SimCluster, fault::CallFault};

async fn cluster() -> (SimCluster, Client) {
    let cluster = SimCluster::builder().control_planes(3).workers(1).seed(7).start().await.unwrap();
    let talosconfig = cluster.talosconfig_builder().nodes(cluster.nodes()).render().unwrap();
    let talosconfig = Talosconfig::parse(talosconfig).unwrap();
    let client = Client::builder().talosconfig(talosconfig).build().unwrap();
    (cluster, client)
}

#[tokio::test]
async fn old_releases_are_found() {
    let (cluster, client) = cluster().await;
    // Asked before a node is changed: any endpoint may be the one that answers.
    let wanted = client.version().await.unwrap().tag().to_owned();
    cluster.node(2).set_talos_version("v1.12.4");
    let found = outdated(&client, &wanted).await;
    assert!(
        matches!(&found[..], [(node, Finding::Outdated(tag))] if node == "10.5.0.4" && tag == "v1.12.4"),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_node_that_is_down_hides_no_other() {
    let (cluster, client) = cluster().await;
    let wanted = client.version().await.unwrap().tag().to_owned();
    cluster.node(1).kill();
    cluster.node(3).set_talos_version("v1.13.0");
    let found = outdated(&client, &wanted).await;
    assert!(
        matches!(&found[..], [(_, Finding::Silent(_)), (_, Finding::Outdated(_))]),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_failure_that_passes_is_none() {
    let (cluster, client) = cluster().await;
    let wanted = client.version().await.unwrap().tag().to_owned();
    let flaky = CallFault::on_node("10.5.0.3").method("Version").calls(..=1);
    cluster.inject(flaky.status(Code::Unavailable, "flaky")).unwrap();
    assert!(outdated(&client, &wanted).await.is_empty());
    // One for `wanted`, one for each node, and the repeated one.
    assert_eq!(cluster.requests().of("Version").len(), 1 + 4 + 1);
}
