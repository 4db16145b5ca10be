//! The first start of etcd, and what a cluster is like before it.

use futures_util::stream;
use ring::digest::{SHA256, digest};
use talos_proto::cluster::HealthCheckRequest;
use talos_proto::common::Data;
use talos_proto::machine::{
    BootstrapRequest, EtcdMemberListRequest, EtcdSnapshotRequest, EventsRequest, ResetPartitionSpec,
    ResetRequest, ServiceStateEvent, service_state_event,
};
use talos_testkit::{Code, ServiceState, SimCluster, SimClusterBuilder, SimNode, SimResource};
use tonic::Status;

use crate::events::{decode, subscribe, until};
use crate::four_nodes;
use crate::wire::{Wire, all, concat, failure, with};

fn fresh() -> SimClusterBuilder {
    SimCluster::builder().bootstrapped(false)
}

fn status(node: &SimNode) -> String {
    let status = node
        .resources()
        .get("runtime", "MachineStatuses.runtime.talos.dev", "machine");
    status.unwrap().yaml_spec().to_owned()
}

async fn etcd_state(wire: &Wire) -> String {
    let reply = wire.machine().service_list(()).await.unwrap().into_inner();
    let services = &reply.messages[0].services;
    let etcd = services.iter().find(|service| service.id == "etcd");
    etcd.map_or_else(String::new, |etcd| etcd.state.clone())
}

async fn members(wire: &Wire) -> Result<Vec<String>, Status> {
    let reply = wire
        .machine()
        .etcd_member_list(EtcdMemberListRequest::default())
        .await?;
    Ok(reply.into_inner().messages.remove(0).legacy_members)
}

async fn bootstrap(wire: &Wire, request: BootstrapRequest) -> Result<usize, (Code, String)> {
    match wire.machine().bootstrap(request).await {
        Ok(reply) => Ok(reply.into_inner().messages.len()),
        Err(status) => Err((status.code(), status.message().to_owned())),
    }
}

async fn refusal(wire: &Wire) -> (Code, String) {
    bootstrap(wire, BootstrapRequest::default()).await.unwrap_err()
}

fn recovery(recover_skip_hash_check: bool) -> BootstrapRequest {
    BootstrapRequest {
        recover_etcd: true,
        recover_skip_hash_check,
    }
}

async fn upload(wire: &Wire, snapshot: &[u8]) {
    let pieces: Vec<_> = snapshot.chunks(4096).map(<[u8]>::to_vec).collect();
    let pieces = pieces.into_iter().map(|piece| Data {
        metadata: None,
        bytes: piece.into(),
    });
    wire.machine().etcd_recover(stream::iter(pieces)).await.unwrap();
}

async fn snapshot(wire: &Wire) -> Vec<u8> {
    let stream = wire.machine().etcd_snapshot(EtcdSnapshotRequest {}).await;
    concat(stream.unwrap().into_inner()).await.unwrap()
}

// covers: machine.MachineService/EtcdMemberList
// covers: cluster.ClusterService/HealthCheck
#[tokio::test(start_paused = true)]
async fn before_it_nodes_are_configured_and_wait() {
    let cluster = four_nodes().bootstrapped(false).start().await.unwrap();
    let (node, worker) = (cluster.node(0), cluster.node(3));
    let wire = Wire::admin(&cluster, &node).await;
    assert!(!cluster.is_bootstrapped());
    assert_eq!(etcd_state(&wire).await, "Preparing");
    assert_eq!(node.running_sequence(), Some("boot"));
    let waits = status(&node);
    assert!(waits.starts_with("stage: booting\n"), "{waits}");
    assert!(
        waits.contains("ready: false") && waits.contains("etcd not running"),
        "{waits}"
    );
    let waits = status(&worker);
    assert!(waits.starts_with("stage: running\n"), "{waits}");
    assert!(
        waits.contains("node \\\"sim-worker-1\\\" is not ready") && !waits.contains("services"),
        "{waits}"
    );
    assert_eq!(members(&wire).await.unwrap_err().code(), Code::Unavailable);
    assert_eq!((node.etcd_member_id(), cluster.etcd_leader()), (None, None));
    let request = HealthCheckRequest {
        wait_timeout: Some(prost_types::Duration { seconds: 1, nanos: 0 }),
        cluster_info: None,
    };
    let mut lines = wire.cluster().health_check(request).await.unwrap().into_inner();
    let mut last = String::new();
    let end = loop {
        match lines.message().await {
            Ok(Some(line)) => last = line.message,
            Ok(None) => panic!("the cluster is not healthy"),
            Err(status) => break status,
        }
    };
    assert_eq!(end.code(), Code::DeadlineExceeded);
    assert_eq!(
        last,
        "waiting for etcd to be healthy: 10.5.0.2: service \"etcd\" not in expected state \"Running\": current \
         state [Preparing]"
    );
}

// covers: machine.MachineService/Bootstrap
#[tokio::test]
async fn it_starts_etcd_there_and_the_others_join() {
    let cluster = four_nodes().bootstrapped(false).start().await.unwrap();
    let node = cluster.node(1);
    let wire = Wire::admin(&cluster, &node).await;
    let (_, mut events) = subscribe(&wire, EventsRequest::default()).await;
    assert_eq!(bootstrap(&wire, BootstrapRequest::default()).await, Ok(1));
    assert_eq!(
        refusal(&wire).await,
        (Code::AlreadyExists, "etcd data directory is not empty".to_owned())
    );
    let mut seen = Vec::new();
    while seen
        .last()
        .is_none_or(|(_, message)| message != "Health check successful")
    {
        let event = until(&mut events, |event| {
            assert_eq!(event.actor_id, "", "no action is behind it");
            decode::<ServiceStateEvent>(event, "machine.ServiceStateEvent")
                .is_some_and(|event| event.service == "etcd")
        })
        .await;
        let event: ServiceStateEvent = decode(&event, "machine.ServiceStateEvent").unwrap();
        seen.push((event.action(), event.message));
    }
    use service_state_event::Action;
    assert_eq!(seen[0], (Action::Finished, "Bootstrap requested".to_owned()));
    let actions: Vec<_> = seen.iter().map(|(action, _)| *action).collect();
    let expected = [
        Action::Finished,
        Action::Starting,
        Action::Waiting,
        Action::Preparing,
        Action::Preparing,
        Action::Running,
        Action::Running,
    ];
    assert_eq!(actions, expected);
    cluster.wait_until_bootstrapped().await;
    for index in 0..4 {
        cluster.node(index).wait_until_ready().await;
    }
    assert!(cluster.is_bootstrapped());
    let mut joined = members(&wire).await.unwrap();
    joined.sort_unstable();
    let names = (1..=3).map(|number| format!("sim-controlplane-{number}"));
    assert_eq!(joined, names.collect::<Vec<_>>());
    let request = HealthCheckRequest {
        wait_timeout: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        cluster_info: None,
    };
    let lines = wire.cluster().health_check(request).await.unwrap().into_inner();
    assert_eq!(all(lines).await.unwrap().len(), 1 + 2 * 16);
}

// covers: machine.MachineService/Bootstrap
#[tokio::test(start_paused = true)]
async fn everything_it_needs_is_checked_in_order() {
    let cluster = four_nodes().bootstrapped(false).start().await.unwrap();
    let (node, worker) = (cluster.node(0), cluster.node(3));
    let wire = Wire::admin(&cluster, &node).await;
    let to_worker = async || {
        let request = with(BootstrapRequest::default(), &[("node", "10.5.0.5")]);
        failure(wire.machine().bootstrap(request).await)
    };
    let not_available = (
        Code::FailedPrecondition,
        "bootstrap is not available yet".to_owned(),
    );

    worker.set_service_state("cri", ServiceState::Failed, "exit status 1");
    assert_eq!(to_worker().await, not_available);
    worker.set_service_state("cri", ServiceState::Running, "again");
    worker.set_service_health("cri", true, "");
    let only = "bootstrap is only available on control plane nodes";
    assert_eq!(to_worker().await, (Code::Unimplemented, only.to_owned()));
    worker.set_talos_version("v1.12.4");
    let old = "bootstrap can only be performed on a control plane node";
    assert_eq!(to_worker().await, (Code::FailedPrecondition, old.to_owned()));

    node.set_etcd_configured(false);
    node.set_time_in_sync(false);
    let reboots = SimResource::new("RebootRequests.runtime.talos.dev", "reboot-request");
    node.resources().put(reboots);
    assert_eq!(refusal(&wire).await, not_available);
    node.resources()
        .destroy("runtime", "RebootRequests.runtime.talos.dev", "reboot-request");
    let installing = SimResource::new(
        "UnattendedInstallStatuses.runtime.talos.dev",
        "unattended-install",
    );
    let kind = installing.kind().to_owned();
    node.resources().put(installing);
    assert_eq!(refusal(&wire).await, not_available);
    node.resources().destroy("runtime", &kind, "unattended-install");
    let no_etcd = "etcd is not configured, bootstrap is not possible";
    assert_eq!(refusal(&wire).await, (Code::InvalidArgument, no_etcd.to_owned()));
    node.set_etcd_configured(true);
    let started = tokio::time::Instant::now();
    let clock = (Code::FailedPrecondition, "time is not in sync yet".to_owned());
    assert_eq!(refusal(&wire).await, clock);
    assert!(started.elapsed().as_secs() >= 5);
    let (late, ()) = tokio::join!(bootstrap(&wire, BootstrapRequest::default()), async {
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        node.set_time_in_sync(true);
    });
    assert_eq!(late, Ok(1), "the call waits for the clock");
}

// covers: machine.MachineService/Bootstrap
// covers: machine.MachineService/EtcdRecover
// covers: machine.MachineService/EtcdSnapshot
#[tokio::test]
async fn a_snapshot_brings_back_what_was_in_etcd() {
    let old = SimCluster::builder().seed(1).start().await.unwrap();
    old.node(0).set_etcd_database(300_000, 100_000);
    let saved = snapshot(&Wire::admin(&old, &old.node(0)).await).await;

    let cluster = four_nodes().bootstrapped(false).seed(2).start().await.unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    upload(&wire, &saved).await;
    assert_eq!(bootstrap(&wire, recovery(false)).await, Ok(1));
    for index in 0..4 {
        cluster.node(index).wait_until_ready().await;
    }
    assert_eq!(snapshot(&wire).await, saved);
    let joined = Wire::admin(&cluster, &cluster.node(2)).await;
    assert_eq!(snapshot(&joined).await, saved, "all members have the same data");
}

// covers: machine.MachineService/Bootstrap
#[tokio::test]
async fn a_snapshot_is_looked_at_before_it_is_used() {
    let cluster = fresh().start().await.unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let refused = async || bootstrap(&wire, recovery(false)).await.unwrap_err();
    let (code, text) = refused().await;
    assert_eq!(code, Code::Unknown);
    assert!(
        text.contains("/var/lib/etcd.snapshot: no such file or directory"),
        "{text}"
    );
    let database = vec![7_u8; 4096];
    upload(&wire, &database).await;
    assert_eq!(
        refused().await,
        (
            Code::Unknown,
            "snapshot missing hash but --skip-hash-check=false".to_owned()
        )
    );
    upload(&wire, &[&database[..], &[0; 32]].concat()).await;
    let (code, text) = refused().await;
    let sum = digest(&SHA256, &database);
    let found = format!("got [{} ", sum.as_ref()[0]);
    assert_eq!(code, Code::Unknown);
    assert!(
        text.starts_with("expected sha256 [0 0 ") && text.contains(&found),
        "{text}"
    );
    assert!(!cluster.is_bootstrapped());
    assert_eq!(etcd_state(&wire).await, "Finished");
    // A database that was copied from a folder has no checksum.
    upload(&wire, &database).await;
    assert_eq!(bootstrap(&wire, recovery(true)).await, Ok(1));
    node.wait_until_ready().await;
    assert_eq!(snapshot(&wire).await[..4096], database);
}

// covers: machine.MachineService/Bootstrap
// covers: machine.MachineService/Reset
#[tokio::test]
async fn a_cluster_that_lost_its_data_is_recovered() {
    let cluster = SimCluster::builder().start().await.unwrap();
    let node = cluster.node(0);
    let wire = Wire::admin(&cluster, &node).await;
    let saved = snapshot(&wire).await;
    let before = node.boot_id();
    let request = ResetRequest {
        reboot: true,
        system_partitions_to_wipe: vec![ResetPartitionSpec {
            label: "EPHEMERAL".to_owned(),
            wipe: true,
        }],
        ..ResetRequest::default()
    };
    wire.machine().reset(request).await.unwrap();
    node.wait_for_event(|event| {
        let waits = prost::Message::decode(event.value.clone()).is_ok_and(|event: ServiceStateEvent| {
            event.service == "etcd" && event.message == "Running pre state"
        });
        event.name == "machine.ServiceStateEvent" && waits && node.boot_id() != before
    })
    .await;
    assert!(!cluster.is_bootstrapped());
    let wire = Wire::admin(&cluster, &node).await;
    upload(&wire, &saved).await;
    assert_eq!(bootstrap(&wire, recovery(false)).await, Ok(1));
    node.wait_until_ready().await;
    assert_eq!(snapshot(&wire).await, saved);
}

#[tokio::test]
async fn nodes_that_lose_power_meanwhile_wait_on() {
    let cluster = four_nodes().bootstrapped(false).start().await.unwrap();
    let (first, second, worker) = (cluster.node(0), cluster.node(1), cluster.node(3));
    assert!(!worker.bootstrap(), "it is a worker");
    for node in [&second, &worker] {
        node.kill();
    }
    assert!(!second.bootstrap(), "it is down");
    worker.revive().unwrap();
    assert!(first.bootstrap());
    assert!(!first.bootstrap(), "it has data now");
    cluster.wait_until_bootstrapped().await;
    second.revive().unwrap();
    for node in [&first, &second, &worker] {
        node.wait_until_ready().await;
    }
    assert!(second.etcd_is_running());
}
