//! The etcd cluster: members, leadership, snapshots, alarms, versions.

use futures_util::stream;
use prost::Message as _;
use talos_proto::common::Data;
use talos_proto::machine::etcd_member_alarm::AlarmType;
use talos_proto::machine::*;
use talos_testkit::{EtcdAlarm, ServiceState, SimCluster, SimNode};
use tonic::body::Body;
use tonic::{Code, Status};

use crate::wire::{Wire, concat, final_status, frame, with};
use crate::{four_nodes, single};

async fn members(wire: &Wire, query_local: bool) -> Result<EtcdMembers, Status> {
    let request = EtcdMemberListRequest { query_local };
    let reply = wire.machine().etcd_member_list(request).await?.into_inner();
    Ok(reply.messages.into_iter().next().unwrap())
}

async fn member_status(wire: &Wire) -> EtcdMemberStatus {
    let reply = wire.machine().etcd_status(()).await.unwrap().into_inner();
    reply.messages.into_iter().next().unwrap().member_status.unwrap()
}

/// The node that leads and one that does not.
fn leader_and_follower(cluster: &SimCluster) -> (SimNode, SimNode) {
    let name = cluster.etcd_leader().unwrap();
    let leader = cluster.node_by_name(&name).unwrap();
    let other = usize::from(cluster.node(0).hostname() == name);
    (leader, cluster.node(other))
}

async fn files_below(wire: &Wire, path: &str) -> Result<usize, Status> {
    let request = ListRequest {
        root: path.to_owned(),
        ..ListRequest::default()
    };
    let mut stream = wire.machine().list(request).await?.into_inner();
    let mut count = 0;
    while stream.message().await?.is_some() {
        count += 1;
    }
    Ok(count)
}

// covers: machine.MachineService/EtcdMemberList
#[tokio::test]
async fn all_control_plane_nodes_are_members() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::with_roles(&cluster, &cluster.node(0), &["os:reader"]).await;
    let reply = members(&wire, true).await.unwrap();
    assert_eq!(reply.members.len(), 3);
    for index in 0..3 {
        let node = cluster.node(index);
        let member = reply
            .members
            .iter()
            .find(|member| member.hostname == node.hostname())
            .unwrap();
        assert_eq!(Some(member.id), node.etcd_member_id());
        assert_eq!(member.peer_urls, [format!("https://{}:2380", node.name())]);
        assert_eq!(member.client_urls, [format!("https://{}:2379", node.name())]);
        assert!(!member.is_learner);
        assert!(reply.legacy_members.contains(&node.hostname()));
    }
    cluster.node(2).set_etcd_learner(true);
    let learners = members(&wire, false).await.unwrap().members;
    assert_eq!(learners.iter().filter(|member| member.is_learner).count(), 1);
    let request = with(EtcdMemberListRequest::default(), &[("node", "10.5.0.5")]);
    let status = wire.machine().etcd_member_list(request).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::Unimplemented,
            "member list is only available on control plane nodes"
        )
    );
}

// covers: machine.MachineService/EtcdMemberList
#[tokio::test]
async fn a_stopped_member_is_asked_in_vain_and_others_answer() {
    let cluster = four_nodes().start().await.unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    node.set_service_state("etcd", ServiceState::Finished, "stopped");
    assert!(!node.etcd_is_running());
    let status = members(&wire, true).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(
        status
            .message()
            .contains("dial tcp 10.5.0.2:2379: connect: connection refused"),
        "{status}"
    );
    assert_eq!(members(&wire, false).await.unwrap().members.len(), 3);
    cluster.node(1).kill();
    let status = members(&wire, false).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unknown, "etcdserver: request timed out")
    );
    assert_eq!(cluster.etcd_leader(), None);
}

// covers: machine.MachineService/EtcdRemoveMemberByID
#[tokio::test]
async fn members_are_removed_by_id_unless_the_quorum_needs_them() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let remove = async |member_id| {
        let request = EtcdRemoveMemberByIdRequest { member_id };
        wire.machine().etcd_remove_member_by_id(request).await
    };
    let status = remove(4660).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::NotFound,
            "failed to remove member 4660: etcdserver: member not found"
        )
    );
    cluster.node(1).kill();
    let needed = cluster.node(2).etcd_member_id().unwrap();
    let status = remove(needed).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(
        status.message(),
        format!("failed to remove member: failed to remove member {needed}: etcdserver: unhealthy cluster")
    );
    let down = cluster.node(1).etcd_member_id().unwrap();
    remove(down).await.unwrap();
    assert_eq!(members(&wire, true).await.unwrap().members.len(), 2);
    remove(needed).await.unwrap();
    assert!(!cluster.node(2).etcd_is_running(), "a removed member ends");
}

// covers: machine.MachineService/EtcdForfeitLeadership
#[tokio::test]
async fn only_the_leader_hands_over() {
    let cluster = four_nodes().start().await.unwrap();
    let (leader, follower) = leader_and_follower(&cluster);
    let forfeit = async |node: &SimNode| {
        let wire = Wire::admin(&cluster, node).await;
        let reply = wire
            .machine()
            .etcd_forfeit_leadership(EtcdForfeitLeadershipRequest {})
            .await;
        reply.map(|reply| reply.into_inner().messages[0].member.clone())
    };
    let wire = Wire::admin(&cluster, &leader).await;
    let term = member_status(&wire).await.raft_term;
    assert_eq!(forfeit(&follower).await.unwrap(), "");
    let successor = forfeit(&leader).await.unwrap();
    assert_ne!(successor, leader.hostname());
    assert_eq!(cluster.etcd_leader(), Some(successor));
    assert_eq!(member_status(&wire).await.raft_term, term + 1);
    let alone = single().await;
    let wire = Wire::admin(&alone, &alone.node(0)).await;
    let status = wire
        .machine()
        .etcd_forfeit_leadership(EtcdForfeitLeadershipRequest {})
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            Code::Unknown,
            "failed to forfeit leadership: cannot forfeit leadership, only one member"
        )
    );
}

// covers: machine.MachineService/EtcdLeaveCluster
#[tokio::test]
async fn a_node_that_leaves_has_no_member_no_data_and_no_service() {
    let cluster = four_nodes().start().await.unwrap();
    let (leader, follower) = leader_and_follower(&cluster);
    let wire = Wire::admin(&cluster, &leader).await;
    assert!(files_below(&wire, "/var/lib/etcd/member").await.unwrap() > 1);
    wire.machine()
        .etcd_leave_cluster(EtcdLeaveClusterRequest {})
        .await
        .unwrap();
    assert_eq!(leader.etcd_member_id(), None);
    let services = wire.machine().service_list(()).await.unwrap().into_inner();
    let etcd = services.messages[0]
        .services
        .iter()
        .find(|service| service.id == "etcd")
        .unwrap();
    assert_eq!(etcd.state, "Finished");
    let status = files_below(&wire, "/var/lib/etcd/member").await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
    assert_eq!(
        status.message(),
        "lstat /var/lib/etcd/member: no such file or directory"
    );
    assert_eq!(
        files_below(&wire, "/var/lib/etcd").await.unwrap(),
        1,
        "the folder itself stays"
    );
    let wire = Wire::admin(&cluster, &follower).await;
    assert_eq!(members(&wire, true).await.unwrap().members.len(), 2);
}

// covers: machine.MachineService/EtcdSnapshot
#[tokio::test]
async fn a_snapshot_is_the_database_with_its_checksum() {
    let cluster = SimCluster::builder().seed(5).start().await.unwrap();
    let node = cluster.node(0);
    node.set_etcd_database(100_000, 50_000);
    let wire = Wire::with_roles(&cluster, &node, &["os:etcd:backup"]).await;
    let bytes = async || {
        let stream = wire
            .machine()
            .etcd_snapshot(EtcdSnapshotRequest {})
            .await
            .unwrap();
        concat(stream.into_inner()).await.unwrap()
    };
    let snapshot = bytes().await;
    assert_eq!(snapshot.len() % 512, 32);
    let (database, checksum) = snapshot.split_at(snapshot.len() - 32);
    assert_eq!(database.len(), 102_400);
    assert_eq!(
        ring::digest::digest(&ring::digest::SHA256, database).as_ref(),
        checksum
    );
    assert_eq!(
        database[16..20],
        0xed0c_daed_u32.to_le_bytes(),
        "a database of bbolt"
    );
    assert_eq!(snapshot, bytes().await);
    node.set_etcd_database(200_000, 50_000);
    assert!(bytes().await.len() > 200_000);
    let admin = Wire::admin(&cluster, &node).await;
    let request = ReadRequest {
        path: "/var/lib/etcd/member/snap/db".to_owned(),
    };
    let file = concat(admin.machine().read(request).await.unwrap().into_inner())
        .await
        .unwrap();
    assert_eq!(file, bytes().await[..file.len()], "the file is the same database");
}

// covers: machine.MachineService/EtcdRecover
#[tokio::test]
async fn an_upload_is_kept_and_half_of_one_is_not() {
    let cluster = four_nodes().start().await.unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let pieces = [&b"first "[..], b"", b"second"].map(|piece| Data {
        metadata: None,
        bytes: piece.into(),
    });
    let reply = wire
        .machine()
        .etcd_recover(stream::iter(pieces.clone()))
        .await
        .unwrap();
    assert_eq!(reply.into_inner().messages.len(), 1);
    let read = async || {
        let request = ReadRequest {
            path: "/var/lib/etcd.snapshot".to_owned(),
        };
        concat(wire.machine().read(request).await?.into_inner()).await
    };
    assert_eq!(read().await.unwrap(), b"first second");
    // A message that ends in its middle.
    let cut = [frame(&pieces[0].encode_to_vec()), frame(&[0; 100]).slice(..50)].concat();
    let body = Body::new(http_body_util::Full::new(cut.into()));
    let response = wire.raw("/machine.MachineService/EtcdRecover", &[], body).await;
    assert_ne!(final_status(response).await.code(), Code::Ok);
    assert_eq!(read().await.unwrap_err().code(), Code::NotFound);
    let request = with(stream::iter(pieces), &[("node", "10.5.0.5")]);
    let status = wire.machine().etcd_recover(request).await.unwrap_err();
    assert_eq!(
        status.message(),
        "etcd recover is only available on control plane nodes"
    );
}

// covers: machine.MachineService/EtcdAlarmList
// covers: machine.MachineService/EtcdAlarmDisarm
// covers: machine.MachineService/EtcdStatus
#[tokio::test]
async fn alarms_are_listed_by_member_until_they_are_disarmed() {
    let cluster = four_nodes().start().await.unwrap();
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let list = async || {
        let reply = wire.machine().etcd_alarm_list(()).await.unwrap().into_inner();
        reply.messages[0].member_alarms.clone()
    };
    assert_eq!(list().await, []);
    cluster.node(1).set_etcd_alarm(EtcdAlarm::NoSpace, true);
    let member_id = cluster.node(1).etcd_member_id().unwrap();
    let expected = EtcdMemberAlarm {
        member_id,
        alarm: AlarmType::Nospace.into(),
    };
    assert_eq!(list().await, [expected]);
    let errors = member_status(&wire).await.errors;
    assert_eq!(errors, [format!("memberID:{member_id} alarm:NOSPACE ")]);
    let reply = wire.machine().etcd_alarm_disarm(()).await.unwrap().into_inner();
    assert_eq!(reply.messages[0].member_alarms, [expected]);
    assert_eq!(list().await, []);
}

// covers: machine.MachineService/EtcdStatus
// covers: machine.MachineService/EtcdDefragment
#[tokio::test]
async fn defragmenting_shrinks_the_local_database_only() {
    let cluster = four_nodes().start().await.unwrap();
    let wires = [
        Wire::admin(&cluster, &cluster.node(0)).await,
        Wire::admin(&cluster, &cluster.node(1)).await,
    ];
    let before = member_status(&wires[0]).await;
    assert_eq!(Some(before.member_id), cluster.node(0).etcd_member_id());
    assert_eq!(
        (before.protocol_version.as_str(), before.storage_version.as_str()),
        ("3.7.1", "3.7.0")
    );
    assert!(before.db_size > before.db_size_in_use);
    assert_eq!(before.raft_index, before.raft_applied_index);
    let leader = cluster.node_by_name(&cluster.etcd_leader().unwrap()).unwrap();
    assert_eq!(Some(before.leader), leader.etcd_member_id());
    wires[0].machine().etcd_defragment(()).await.unwrap();
    let after = member_status(&wires[0]).await;
    assert_eq!(after.db_size, before.db_size_in_use);
    let other = member_status(&wires[1]).await;
    assert_eq!(other.db_size, before.db_size);
}

// covers: machine.MachineService/EtcdDowngradeValidate
// covers: machine.MachineService/EtcdDowngradeEnable
// covers: machine.MachineService/EtcdDowngradeCancel
#[tokio::test]
async fn a_downgrade_goes_back_one_minor_version() {
    let cluster = single().await;
    let wire = Wire::admin(&cluster, &cluster.node(0)).await;
    let validate = async |version: &str| {
        let version = version.to_owned();
        let request = EtcdDowngradeValidateRequest { version };
        wire.machine().etcd_downgrade_validate(request).await
    };
    let invalid = [
        ("", "version is required for etcd downgrade"),
        ("3", "version should be in MAJOR.MINOR format"),
        ("3.6.0", "version should be in MAJOR.MINOR format"),
        ("x.6", "major version should be a number"),
        ("3.x", "minor version should be a number"),
        (
            "3.4",
            "etcd downgrade is only supported to 3.5 and later versions",
        ),
    ];
    for (version, message) in invalid {
        let status = validate(version).await.unwrap_err();
        assert_eq!(
            (status.code(), status.message()),
            (Code::InvalidArgument, message)
        );
    }
    let status = validate("3.5").await.unwrap_err();
    let message = "failed to query etcd status: etcdserver: invalid downgrade target version";
    assert_eq!((status.code(), status.message()), (Code::Unknown, message));
    let reply = validate("3.6").await.unwrap().into_inner();
    let downgrade = reply.messages[0].cluster_downgrade.as_ref().unwrap();
    assert_eq!(downgrade.cluster_version, "3.7.0");
    let request = EtcdDowngradeEnableRequest {
        version: "3.6".to_owned(),
    };
    wire.machine().etcd_downgrade_enable(request).await.unwrap();
    assert_eq!(member_status(&wire).await.storage_version, "3.6.0");
    let status = validate("3.6").await.unwrap_err();
    assert!(
        status
            .message()
            .ends_with("cluster has a downgrade job in progress"),
        "{status}"
    );
    wire.machine().etcd_downgrade_cancel(()).await.unwrap();
    assert_eq!(member_status(&wire).await.storage_version, "3.7.0");
    let status = wire.machine().etcd_downgrade_cancel(()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unknown);
}
