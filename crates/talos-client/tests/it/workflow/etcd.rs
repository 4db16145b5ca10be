//! Members of etcd: taking them out, defragmenting them, and their alarms.

use std::error::Error as _;

use talos_client::{
    Error, ErrorKind, Origin,
    api::etcd::EtcdMemberId,
    proto::machine as proto,
    workflow::etcd::{EtcdMembers, EtcdRefusal, EtcdRemovalWay},
};
use talos_testkit::{EtcdAlarm, SimCluster};

use super::faulted;
use crate::support::Sim;

const LEAVE: &str = "/machine.MachineService/EtcdLeaveCluster";
const REMOVE: &str = "/machine.MachineService/EtcdRemoveMemberByID";
const DEFRAGMENT: &str = "/machine.MachineService/EtcdDefragment";
const DISARM: &str = "/machine.MachineService/EtcdAlarmDisarm";

async fn three() -> Sim {
    Sim::of(SimCluster::builder().control_planes(3)).await
}

/// The members, by the nodes of the simulation.
fn members(sim: &Sim) -> EtcdMembers {
    EtcdMembers::of(sim.client.nodes(sim.cluster.nodes()).expect("nodes"))
}

fn id(sim: &Sim, index: usize) -> EtcdMemberId {
    let id = sim.cluster.node(index).etcd_member_id().expect("a member");
    EtcdMemberId::new(id).expect("not zero")
}

fn refusal(error: &Error) -> &EtcdRefusal {
    assert_eq!(
        (error.kind(), error.origin()),
        (ErrorKind::FailedPrecondition, Origin::Local),
        "{error:#}"
    );
    let source = error.source().and_then(|source| source.downcast_ref());
    source.expect("a refusal")
}

#[tokio::test]
async fn discovery_finds_the_members_and_a_survey_tells_who_fails() {
    let sim = Sim::of(SimCluster::builder().control_planes(3).workers(2)).await;
    let members = EtcdMembers::discover(&sim.client).await.expect("found");
    assert_eq!(members.nodes().len(), 3);
    let survey = members.survey().await.expect("asked");
    assert_eq!(
        survey.quorum().to_string(),
        "3 of 3 members take part, 2 are needed"
    );
    assert_eq!(
        survey.members.iter().filter(|member| member.is_leader()).count(),
        1
    );
    assert!(survey.failures.is_empty());

    let victim = id(&sim, 2);
    sim.cluster.node(2).kill();
    let survey = members.survey().await.expect("asked");
    assert_eq!((survey.quorum().active, survey.quorum().spare()), (2, 0));
    assert_eq!(survey.failures.len(), 1);
    assert!(survey.member(victim).expect("still a member").status.is_none());
}

#[tokio::test]
async fn a_member_that_runs_leaves_by_itself() {
    let sim = three().await;
    let (members, victim) = (members(&sim), id(&sim, 1));
    let way = members.remove(victim).run().await.expect("it left");
    assert_eq!(way, EtcdRemovalWay::Left);
    let _: proto::EtcdLeaveClusterRequest = sim.received_by(1, LEAVE);
    assert!(sim.cluster.requests().of(REMOVE).is_empty());
    assert_eq!(sim.cluster.node(1).etcd_member_id(), None);
    // Once more is no error, and changes nothing.
    let way = members.remove(victim).run().await.expect("nothing to do");
    assert_eq!(way, EtcdRemovalWay::NotThere);
    assert_eq!(sim.cluster.requests().of(LEAVE).len(), 1);
}

#[tokio::test]
async fn a_member_whose_node_is_gone_is_taken_out_by_another() {
    let sim = three().await;
    let victim = id(&sim, 2);
    sim.cluster.node(2).kill();
    let mut run = members(&sim).remove(victim).run();
    let mut progress = Vec::new();
    while let Some(item) = run.next_progress().await {
        progress.push(item.to_string());
    }
    assert_eq!(run.finish().await.expect("taken out"), EtcdRemovalWay::Removed);
    assert_eq!(
        progress,
        [
            "without it, 2 of 2 members take part, 2 are needed",
            "the member is being taken out",
            "it is no member any more"
        ]
    );
    let calls = sim.cluster.requests().of(REMOVE);
    assert_eq!(calls.len(), 1);
    let request: proto::EtcdRemoveMemberByIdRequest = crate::support::message(&calls[0]);
    assert_eq!(request.member_id, victim.get());
    assert!(sim.cluster.requests().of(LEAVE).is_empty());
}

#[tokio::test]
async fn quorum_is_not_given_away() {
    let sim = three().await;
    let ids: Vec<_> = (0..3).map(|index| id(&sim, index)).collect();
    sim.cluster.node(2).kill();
    let error = members(&sim).remove(ids[1]).run().await.expect_err("refused");
    let EtcdRefusal::WouldLoseQuorum { member, quorum } = refusal(&error) else {
        panic!("{error:#}")
    };
    assert_eq!(
        (*member, quorum.voters, quorum.active, quorum.needed()),
        (ids[1], 2, 1, 2)
    );
    assert!(error.to_string().contains("would lose its quorum"), "{error}");
    assert!(sim.cluster.requests().of(LEAVE).is_empty());

    sim.cluster.node(1).kill();
    let error = members(&sim).remove(ids[2]).run().await.expect_err("refused");
    assert!(
        matches!(refusal(&error), EtcdRefusal::NoQuorum { .. }),
        "{error:#}"
    );
    assert!(sim.cluster.requests().of(REMOVE).is_empty());
    // Who insists hears what etcd says.
    let forced = members(&sim).remove(ids[2]).force(true).run().await;
    assert_eq!(forced.expect_err("no quorum").origin(), Origin::Node);
    assert!(!sim.cluster.requests().of(REMOVE).is_empty());
}

#[tokio::test]
async fn the_last_member_stays() {
    let sim = Sim::of(SimCluster::builder()).await;
    let last = id(&sim, 0);
    let error = members(&sim).remove(last).run().await.expect_err("refused");
    assert_eq!(refusal(&error), &EtcdRefusal::LastMember { member: last });
}

#[tokio::test]
async fn a_removal_is_done_or_can_be_repeated_wherever_the_connection_is_cut() {
    faulted::every_step(
        async || {
            let sim = three().await;
            sim.cluster.node(2).kill();
            sim
        },
        async |sim| {
            let victim = {
                let survey = members(sim).survey().await?;
                let gone = survey.members.iter().find(|member| member.node.is_none());
                gone.map(|member| member.member.id())
            };
            match victim {
                Some(victim) => members(sim).remove(victim).run().await.map(|_| ()),
                None => Ok(()),
            }
        },
        |error| {
            error.is_retriable() || error.is_unreachable() || error.kind() == ErrorKind::FailedPrecondition
        },
        async |sim| {
            let survey = members(sim).survey().await.expect("asked");
            assert_eq!(survey.members.len(), 2, "{survey:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn members_are_defragmented_one_by_one_and_the_leader_last() {
    let sim = three().await;
    let leader = sim.cluster.etcd_leader().expect("a leader");
    let done = members(&sim)
        .defragment()
        .run()
        .await
        .expect("begun")
        .into_result()
        .expect("done");
    assert_eq!(done.len(), 3);
    assert_eq!(done[2].hostname, leader);
    assert!(done.iter().all(|member| member.after < member.before), "{done:?}");
    let calls = sim.cluster.requests().of(DEFRAGMENT);
    let asked: Vec<_> = calls.iter().flat_map(|call| call.handled_by.clone()).collect();
    let node_of = |hostname: &str| {
        let nodes = sim.cluster.nodes();
        let index = (0..nodes.len()).find(|index| sim.cluster.node(*index).hostname() == hostname);
        sim.cluster.node(index.expect("a node")).name()
    };
    let expected: Vec<_> = done.iter().map(|member| node_of(&member.hostname)).collect();
    assert_eq!(asked, expected);

    // There is nothing left to give back.
    let report = members(&sim)
        .defragment()
        .at_least(10)
        .run()
        .await
        .expect("begun");
    assert_eq!((report.done.len(), report.skipped.len()), (0, 3));
    assert_eq!(sim.cluster.requests().of(DEFRAGMENT).len(), 3);
}

#[tokio::test]
async fn nobody_is_defragmented_while_every_member_is_needed() {
    let sim = three().await;
    let gone = id(&sim, 2);
    sim.cluster.node(2).kill();
    let report = members(&sim).defragment().run().await.expect("begun");
    assert!(report.done.is_empty() && report.left.len() == 2, "{report:?}");
    assert!(report.left.contains(&gone));
    let error = report.into_result().expect_err("refused");
    assert!(
        matches!(refusal(&error), EtcdRefusal::WouldLoseQuorum { .. }),
        "{error:#}"
    );
    assert!(sim.cluster.requests().of(DEFRAGMENT).is_empty());

    // Who insists gets those that answer; the other one is what it stops at.
    let report = members(&sim).defragment().force(true).run().await.expect("begun");
    assert_eq!(report.done.len(), 2, "{report:?}");
    let (failed, error) = report.failure.expect("one does not answer");
    assert_eq!((failed, error.kind()), (gone, ErrorKind::Unavailable));

    let sim = Sim::of(SimCluster::builder()).await;
    let report = members(&sim).defragment().run().await.expect("begun");
    assert_eq!(report.into_result().expect("a single one may be away").len(), 1);
}

#[tokio::test]
async fn a_defragmentation_can_be_repeated_wherever_the_connection_is_cut() {
    faulted::every_step(
        async || three().await,
        async |sim| {
            let run = members(sim).defragment().at_least(10).run();
            run.await?.into_result()
        },
        |error| {
            error.is_retriable() || error.is_unreachable() || error.kind() == ErrorKind::FailedPrecondition
        },
        async |sim| {
            let survey = members(sim).survey().await.expect("asked");
            for member in survey.members {
                let status = member.status.expect("it answers");
                assert_eq!(status.db_size(), status.db_size_in_use());
            }
        },
    )
    .await;
}

#[tokio::test]
async fn alarms_are_cleared_but_corruption_is_not_hidden() {
    let sim = three().await;
    let none = members(&sim).clear_alarms().run().await.expect("asked");
    assert!(none.cleared.is_empty() && none.raised.is_empty());
    assert!(sim.cluster.requests().of(DISARM).is_empty());

    sim.cluster.node(1).set_etcd_alarm(EtcdAlarm::NoSpace, true);
    let report = members(&sim).clear_alarms().run().await.expect("cleared");
    assert_eq!(report.cleared.len(), 1);
    assert_eq!(report.cleared[0].member_id(), Some(id(&sim, 1)));
    assert!(report.raised.is_empty());
    assert_eq!(sim.cluster.requests().of(DISARM).len(), 1);

    sim.cluster.node(2).set_etcd_alarm(EtcdAlarm::Corrupt, true);
    let error = members(&sim).clear_alarms().run().await.expect_err("refused");
    let corrupt = EtcdRefusal::Corrupt {
        members: vec![id(&sim, 2)],
    };
    assert_eq!(refusal(&error), &corrupt);
    assert_eq!(sim.cluster.requests().of(DISARM).len(), 1);
    let report = members(&sim)
        .clear_alarms()
        .force(true)
        .run()
        .await
        .expect("cleared");
    assert_eq!(report.cleared.len(), 1);
}

#[tokio::test]
async fn alarms_are_cleared_wherever_the_connection_is_cut() {
    faulted::every_step(
        async || {
            let sim = three().await;
            sim.cluster.node(1).set_etcd_alarm(EtcdAlarm::NoSpace, true);
            sim
        },
        async |sim| members(sim).clear_alarms().run().await,
        |error| error.is_retriable(),
        async |sim| {
            let alarms = sim.node(0).etcd().alarms().await.expect("asked");
            assert!(alarms.is_empty(), "{alarms:?}");
        },
    )
    .await;
}
