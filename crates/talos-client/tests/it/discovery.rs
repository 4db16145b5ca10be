//! Finding the machines of a cluster.

use talos_client::{ErrorKind, Member, MemberRole, MemberSource};
use talos_testkit::{Code, fault::CallFault};

use crate::support::{Sim, builder_for};

const LIST: &str = "/cosi.resource.State/List";
const ETCD: &str = "/machine.MachineService/EtcdMemberList";

fn names(members: &[Member]) -> Vec<String> {
    members
        .iter()
        .map(|member| member.node.name().to_string())
        .collect()
}

// covers: cosi.resource.State/List
#[tokio::test]
async fn discovery_knows_every_machine_and_each_answers() {
    let sim = Sim::start().await;
    let (members, source) = sim.client.discover().await.expect("found");
    assert_eq!(source, MemberSource::Discovery);
    assert_eq!(members.len(), 4, "{members:?}");
    let roles: Vec<_> = members.iter().map(|member| member.role).collect();
    use MemberRole::{ControlPlane, Worker};
    assert_eq!(roles, [ControlPlane, ControlPlane, ControlPlane, Worker]);
    for member in &members {
        assert_eq!(member.hostname, member.node.hostname().await.ok(), "{member:?}");
    }
    assert_eq!(sim.cluster.requests().of(LIST).len(), 1);
}

// covers: machine.MachineService/EtcdMemberList
#[tokio::test]
async fn without_discovery_etcd_knows_the_control_plane() {
    let sim = Sim::start().await;
    let fault = CallFault::on_nodes().method(LIST).status(
        Code::PermissionDenied,
        r#"resource type "Members.cluster.talos.dev" is not supported"#,
    );
    sim.cluster.inject(fault).expect("a fault");
    let (members, source) = sim.client.discover().await.expect("found");
    assert_eq!(source, MemberSource::Etcd);
    let mut found = names(&members);
    found.sort();
    let mut expected = sim.cluster.nodes()[..3].to_vec();
    expected.sort();
    assert_eq!(found, expected);
    let request: talos_client::proto::machine::EtcdMemberListRequest =
        crate::support::message(&sim.received(ETCD));
    assert!(request.query_local);
}

#[tokio::test]
async fn the_talosconfig_is_asked_last_and_an_error_remains_where_it_has_nothing() {
    let sim = Sim::start().await;
    for method in [LIST, ETCD] {
        let fault = CallFault::on_nodes()
            .method(method)
            .status(Code::PermissionDenied, "not authorized");
        sim.cluster.inject(fault).expect("a fault");
    }
    let error = sim.client.discover().await.expect_err("nobody knows");
    assert_eq!(
        (error.kind(), error.method()),
        (ErrorKind::PermissionDenied, Some(LIST)),
        "{error:#}"
    );

    let text = sim
        .cluster
        .talosconfig_builder()
        .nodes(["10.5.0.9", "name"])
        .render()
        .expect("rendered");
    let talosconfig = talos_client::config::Talosconfig::parse(text).expect("valid");
    let client = builder_for(&sim.cluster)
        .talosconfig(talosconfig)
        .build()
        .expect("a client");
    let (members, source) = client.discover().await.expect("listed");
    assert_eq!(source, MemberSource::Talosconfig);
    assert_eq!(names(&members), ["10.5.0.9", "name"]);
    assert_eq!(members[0].addresses.len(), 1);
    assert_eq!(
        (members[1].addresses.len(), members[1].role),
        (0, MemberRole::Unknown)
    );
}

#[tokio::test]
async fn a_cluster_that_cannot_be_reached_is_not_asked_twice() {
    let sim = Sim::start().await;
    for index in 0..3 {
        sim.cluster.node(index).kill();
    }
    let error = sim.client.discover().await.expect_err("nothing to dial");
    assert_eq!(
        (error.kind(), error.method()),
        (ErrorKind::Connect, Some(LIST)),
        "{error:#}"
    );
}
