//! Many nodes.

use talos_testkit::SimCluster;
use tonic::Code;

use crate::faults::version;
use crate::wire::Wire;

#[tokio::test]
async fn a_thousand_nodes_are_reached_through_one_endpoint() {
    let cluster = SimCluster::builder()
        .control_planes(3)
        .workers(997)
        .start()
        .await
        .unwrap();
    assert_eq!(cluster.nodes().len(), 1_000);
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    for name in cluster.nodes() {
        assert_eq!(version(&wire, &[("node", &name)]).await.0, Code::Ok, "{name}");
    }
    let calls = cluster.requests().all();
    let reached: std::collections::BTreeSet<_> =
        calls.iter().flat_map(|call| call.handled_by.clone()).collect();
    assert_eq!((calls.len(), reached.len()), (1_000, 1_000));
    // All of them know each other.
    let request = talos_proto::cosi::resource::ListRequest {
        namespace: "cluster".to_owned(),
        r#type: "Members.cluster.talos.dev".to_owned(),
        options: None,
    };
    let mut members = wire.state().list(request).await.unwrap().into_inner();
    let mut count = 0;
    while members.message().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 1_000);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn nodes_that_nobody_asks_have_no_sockets() {
    let sockets = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let cluster = SimCluster::builder()
        .control_planes(1)
        .workers(2_000)
        .start()
        .await
        .unwrap();
    // Other tests of this process open and close sockets meanwhile.
    assert!(sockets() < 1_500, "{}", sockets());
    let worker = cluster.node(1_999);
    let wire = Wire::admin(&cluster, &worker).await;
    assert_eq!(version(&wire, &[]).await.0, Code::Ok);
}
