//! etcd: how members do, who leads, alarms, space, and versions.

use talos_client::{
    ErrorKind, Origin, Unimplemented,
    api::etcd::{EtcdAlarmKind, EtcdMemberId, EtcdVersion, EtcdVersionError},
    proto::machine as proto,
};
use talos_testkit::{EtcdAlarm, ServiceState, SimCluster};

use crate::support::{Sim, message};

const STATUS: &str = "/machine.MachineService/EtcdStatus";
const ALARMS: &str = "/machine.MachineService/EtcdAlarmList";
const DISARM: &str = "/machine.MachineService/EtcdAlarmDisarm";
const DEFRAGMENT: &str = "/machine.MachineService/EtcdDefragment";
const REMOVE: &str = "/machine.MachineService/EtcdRemoveMemberByID";
const LEAVE: &str = "/machine.MachineService/EtcdLeaveCluster";
const FORFEIT: &str = "/machine.MachineService/EtcdForfeitLeadership";
const VALIDATE: &str = "/machine.MachineService/EtcdDowngradeValidate";
const ENABLE: &str = "/machine.MachineService/EtcdDowngradeEnable";
const CANCEL: &str = "/machine.MachineService/EtcdDowngradeCancel";

/// The index of the node that leads.
fn leader(sim: &Sim) -> usize {
    let name = sim.cluster.etcd_leader().expect("a leader");
    (0..3)
        .find(|index| sim.cluster.node(*index).hostname() == name)
        .expect("a control plane node")
}

fn member(sim: &Sim, index: usize) -> EtcdMemberId {
    let id = sim.cluster.node(index).etcd_member_id().expect("a member");
    EtcdMemberId::new(id).expect("not zero")
}

// covers: machine.MachineService/EtcdStatus
#[tokio::test]
async fn a_member_tells_how_it_does_and_a_worker_has_none() {
    let sim = Sim::start().await;
    sim.cluster.node(1).set_etcd_database(300_000, 50_000);
    let status = sim.node(1).etcd().status().await.expect("answered");
    let _: () = sim.received_by(1, STATUS);
    assert_eq!(status.member_id(), Some(member(&sim, 1)));
    let leads = leader(&sim);
    assert_eq!(status.leader(), Some(member(&sim, leads)));
    assert_eq!(status.is_leader(), leads == 1);
    assert!(!status.is_learner() && status.errors().is_empty(), "{status:?}");
    assert!(status.db_size() >= 300_000, "{status:?}");
    assert!((50_000..300_000).contains(&status.db_size_in_use()), "{status:?}");
    assert_eq!((status.version(), status.storage_version()), ("3.7.1", "3.7.0"));
    let (index, term, applied) = status.raft();
    assert!(index > 0 && term > 0 && index == applied, "{status:?}");
    sim.cluster.node(1).set_etcd_learner(true);
    assert!(sim.node(1).etcd().status().await.expect("answered").is_learner());

    let error = sim.node(3).etcd().status().await.expect_err("a worker");
    assert_eq!(
        (error.kind(), error.unimplemented()),
        (ErrorKind::Unimplemented, Some(Unimplemented::ControlPlaneOnly)),
        "{error:#}"
    );
}

// covers: machine.MachineService/EtcdAlarmList
// covers: machine.MachineService/EtcdAlarmDisarm
#[tokio::test]
async fn alarms_are_of_a_member_until_they_are_disarmed() {
    let sim = Sim::start().await;
    let etcd = sim.node(0).etcd();
    assert!(etcd.alarms().await.expect("answered").is_empty());
    let _: () = sim.received_by(0, ALARMS);
    sim.cluster.node(1).set_etcd_alarm(EtcdAlarm::NoSpace, true);
    sim.cluster.node(2).set_etcd_alarm(EtcdAlarm::Corrupt, true);
    let mut expected = [
        (Some(member(&sim, 1)), EtcdAlarmKind::NoSpace),
        (Some(member(&sim, 2)), EtcdAlarmKind::Corrupt),
    ];
    expected.sort_unstable_by_key(|(id, _)| *id);
    let sorted = |alarms: Vec<talos_client::api::etcd::EtcdAlarm>| {
        let mut alarms: Vec<_> = alarms
            .iter()
            .map(|alarm| (alarm.member_id(), alarm.kind()))
            .collect();
        alarms.sort_unstable_by_key(|(id, _)| *id);
        alarms
    };
    assert_eq!(sorted(etcd.alarms().await.expect("answered")), expected);
    assert_eq!(
        sorted(etcd.disarm_alarms().await.expect("cleared")),
        expected,
        "it says which there were"
    );
    let _: () = sim.received_by(0, DISARM);
    assert!(etcd.alarms().await.expect("answered").is_empty());

    let reader = sim.client_with_roles(&["os:reader"]);
    let node = reader.node(sim.cluster.node(0).name()).expect("a name");
    let error = node.etcd().disarm_alarms().await.expect_err("only looks");
    assert!(error.is_denied(), "{error:#}");
}

// covers: machine.MachineService/EtcdDefragment
#[tokio::test]
async fn defragmenting_gives_back_the_space_of_this_member_only() {
    let sim = Sim::start().await;
    let sizes = async |index| {
        let status = sim.node(index).etcd().status().await.expect("answered");
        (status.db_size(), status.db_size_in_use())
    };
    let (before, other) = (sizes(0).await, sizes(1).await);
    assert!(before.0 > before.1, "{before:?}");
    sim.node(0).etcd().defragment().await.expect("done");
    let _: () = sim.received_by(0, DEFRAGMENT);
    assert_eq!(sizes(0).await, (before.1, before.1));
    assert_eq!(sizes(1).await, other);
}

// covers: machine.MachineService/EtcdRemoveMemberByID
#[tokio::test]
async fn a_member_is_taken_out_by_its_id_unless_the_quorum_needs_it() {
    let sim = Sim::start().await;
    let etcd = sim.node(0).etcd();
    let nobody = EtcdMemberId::new(4660).expect("not zero");
    let error = etcd.remove_member(nobody).await.expect_err("nobody's");
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::NotFound, Origin::Node),
        "{error:#}"
    );
    let (down, needed) = (member(&sim, 1), member(&sim, 2));
    // Killing the node could take the endpoint away, too.
    sim.cluster
        .node(1)
        .set_service_state("etcd", ServiceState::Finished, "stopped");
    let error = etcd
        .remove_member(needed)
        .await
        .expect_err("no quorum without it");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::Unknown, 1),
        "{error:#}"
    );
    assert!(
        error.to_string().contains("etcdserver: unhealthy cluster"),
        "{error:#}"
    );
    etcd.remove_member(down).await.expect("taken out");
    let calls = sim.cluster.requests().of(REMOVE);
    let ids: Vec<_> = calls
        .iter()
        .map(|call| message::<proto::EtcdRemoveMemberByIdRequest>(call).member_id)
        .collect();
    assert_eq!(ids, [4660, needed.get(), down.get()]);
    let left = etcd.members().send().await.expect("answered");
    assert!(
        left.len() == 2 && left.iter().all(|member| member.id() != down),
        "{left:?}"
    );
}

// covers: machine.MachineService/EtcdLeaveCluster
#[tokio::test]
async fn a_member_that_leaves_is_gone_from_the_others_lists() {
    let sim = Sim::start().await;
    let leaves = leader(&sim);
    let id = member(&sim, leaves);
    sim.node(leaves).etcd().leave().await.expect("left");
    let _: proto::EtcdLeaveClusterRequest = sim.received_by(leaves, LEAVE);
    assert_eq!(sim.cluster.node(leaves).etcd_member_id(), None);
    let other = sim.node((leaves + 1) % 3);
    let left = other
        .etcd()
        .members()
        .query_local(true)
        .send()
        .await
        .expect("answered");
    assert!(
        left.len() == 2 && left.iter().all(|member| member.id() != id),
        "{left:?}"
    );
}

// covers: machine.MachineService/EtcdForfeitLeadership
#[tokio::test]
async fn only_the_leader_hands_over_and_only_to_somebody() {
    let sim = Sim::start().await;
    let leads = leader(&sim);
    let follower = (leads + 1) % 3;
    let nothing = sim.node(follower).etcd().forfeit_leadership().await;
    assert_eq!(nothing.expect("answered"), None, "it does not lead");
    let _: proto::EtcdForfeitLeadershipRequest = sim.received_by(follower, FORFEIT);
    let successor = sim.node(leads).etcd().forfeit_leadership().await;
    let successor = successor.expect("answered").expect("it led");
    assert_ne!(successor, sim.cluster.node(leads).hostname());
    assert_eq!(sim.cluster.etcd_leader(), Some(successor));

    let alone = Sim::of(SimCluster::builder()).await;
    let error = alone.node(0).etcd().forfeit_leadership().await;
    let error = error.expect_err("nobody else");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error:#}");
    assert!(
        error
            .to_string()
            .contains("cannot forfeit leadership, only one member"),
        "{error:#}"
    );
}

// covers: machine.MachineService/EtcdDowngradeValidate
// covers: machine.MachineService/EtcdDowngradeEnable
// covers: machine.MachineService/EtcdDowngradeCancel
#[tokio::test]
async fn a_downgrade_is_validated_begun_and_given_up() {
    let sim = Sim::of(SimCluster::builder()).await;
    let etcd = sim.node(0).etcd();
    assert_eq!(EtcdVersion::new(3, 4), Err(EtcdVersionError::TooOld));
    let (allowed, too_far): (EtcdVersion, EtcdVersion) = (
        "3.6".parse().expect("a version"),
        "3.5".parse().expect("a version"),
    );
    let error = etcd.validate_downgrade(too_far).await.expect_err("two steps");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error:#}");
    assert!(
        error
            .to_string()
            .contains("etcdserver: invalid downgrade target version"),
        "{error:#}"
    );
    let now = etcd.validate_downgrade(allowed).await.expect("possible");
    assert_eq!(now, "3.7.0");
    let calls = sim.cluster.requests().of(VALIDATE);
    let versions: Vec<_> = calls
        .iter()
        .map(|call| message::<proto::EtcdDowngradeValidateRequest>(call).version)
        .collect();
    assert_eq!(versions, ["3.5", "3.6"]);

    etcd.enable_downgrade(allowed).await.expect("begun");
    let request: proto::EtcdDowngradeEnableRequest = sim.received_by(0, ENABLE);
    assert_eq!(request.version, "3.6");
    let status = etcd.status().await.expect("answered");
    assert_eq!(status.storage_version(), "3.6.0");
    let error = etcd.validate_downgrade(allowed).await.expect_err("it goes on");
    assert!(
        error
            .to_string()
            .contains("cluster has a downgrade job in progress"),
        "{error:#}"
    );

    etcd.cancel_downgrade().await.expect("given up");
    let _: () = sim.received_by(0, CANCEL);
    let status = etcd.status().await.expect("answered");
    assert_eq!(status.storage_version(), "3.7.0");
    let error = etcd.cancel_downgrade().await.expect_err("nothing to give up");
    assert_eq!(error.kind(), ErrorKind::Unknown, "{error:#}");
}
