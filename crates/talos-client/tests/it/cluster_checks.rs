//! The clock, the controllers, and the health check.

use std::time::Duration;

use futures_util::StreamExt as _;
use talos_client::{
    ErrorKind,
    api::{
        cluster::{ConditionStatus, HealthProgress},
        inspect::DependencyKind,
        time::Offset,
    },
    proto::{cluster as proto, time},
};

use crate::support::Sim;

const HEALTH: &str = "/cluster.ClusterService/HealthCheck";

// covers: time.TimeService/Time
#[tokio::test]
async fn the_clock_is_compared_with_the_configured_server() {
    let sim = Sim::start().await;
    let simulated = sim.cluster.node(3);
    simulated.set_time_server("ntp.example.org");
    simulated.set_time_offset(1_500_000_000);
    let comparison = sim.node(3).time().await.expect("answered");
    assert_eq!(comparison.server(), "ntp.example.org");
    assert_eq!(
        comparison.offset(),
        Some(Offset::Behind(Duration::from_millis(1500)))
    );
    simulated.set_time_offset(-2_000_000_000);
    let comparison = sim.node(3).time().await.expect("answered");
    assert_eq!(comparison.offset(), Some(Offset::Ahead(Duration::from_secs(2))));
    assert_eq!(comparison.offset().expect("known").abs(), Duration::from_secs(2));
    assert!(comparison.local() > comparison.remote());

    simulated.set_time_failure(Some("i/o timeout"));
    let error = sim.node(3).time().await.expect_err("no answer");
    assert_eq!(error.kind(), ErrorKind::Unknown);
    assert!(error.to_string().contains("i/o timeout"), "{error:#}");
}

// covers: time.TimeService/TimeCheck
#[tokio::test]
async fn another_server_is_asked_by_name() {
    let sim = Sim::start().await;
    let comparison = sim
        .node(0)
        .time_check("other.example.org")
        .await
        .expect("answered");
    assert_eq!(comparison.server(), "other.example.org");
    let request: time::TimeRequest = sim.received_by(0, "/time.TimeService/TimeCheck");
    assert_eq!(request.server, "other.example.org");
    let error = sim.node(0).time_check("").await.expect_err("no name");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidInput, 0),
        "{error:#}"
    );
}

// covers: inspect.InspectService/ControllerRuntimeDependencies
#[tokio::test]
async fn dependencies_name_controllers_and_resources() {
    let sim = Sim::start().await;
    let edges = sim.node(0).controller_dependencies().await.expect("answered");
    let edge = |controller: &str, kind| {
        edges
            .iter()
            .find(|edge| edge.controller == controller && edge.kind == kind)
            .unwrap_or_else(|| panic!("{controller} {kind} is missing"))
    };
    let input = edge("config.MachineTypeController", DependencyKind::InputWeak);
    assert_eq!(input.namespace.as_deref(), Some("config"));
    assert_eq!(input.id.as_deref(), Some("v1alpha1"));
    let output = edge("config.MachineTypeController", DependencyKind::OutputExclusive);
    assert_eq!((output.namespace.as_deref(), output.id.as_deref()), (None, None));
    assert_eq!(output.resource_type, "MachineTypes.config.talos.dev");
    let () = sim.received_by(0, "/inspect.InspectService/ControllerRuntimeDependencies");
}

// covers: cluster.ClusterService/HealthCheck
#[tokio::test]
async fn a_healthy_cluster_ends_the_check_without_an_error() {
    let sim = Sim::start().await;
    let check = sim.node(0).health_check().send().await.expect("begun");
    let progress: Vec<_> = check.map(|line| line.expect("healthy")).collect().await;
    assert!(
        matches!(&progress[0], HealthProgress::Discovered(nodes) if nodes.contains(&sim.cluster.node(0).name())),
        "{progress:?}"
    );
    let met = progress.iter().filter_map(|line| match line {
        HealthProgress::Condition {
            name,
            status: ConditionStatus::Met,
        } => Some(name.as_str()),
        _ => None,
    });
    assert!(
        met.collect::<Vec<_>>().contains(&"etcd to be healthy"),
        "{progress:?}"
    );
    let request: proto::HealthCheckRequest = sim.received_by(0, HEALTH);
    let wait = request.wait_timeout.expect("always set");
    assert_eq!((wait.seconds, wait.nanos), (1200, 0));
}

// covers: cluster.ClusterService/HealthCheck
#[tokio::test]
async fn nodes_and_time_of_a_check_arrive_and_its_failure_ends_it() {
    let sim = Sim::start().await;
    sim.cluster.node(0).set_service_health("etcd", false, "no quorum");
    let names: Vec<talos_client::NodeName> = sim
        .cluster
        .nodes()
        .iter()
        .map(|name| name.parse().expect("a name"))
        .collect();
    let mut check = sim
        .node(0)
        .health_check()
        .wait_timeout(Duration::from_millis(50))
        .control_planes(names[..3].to_vec())
        .workers(names[3..].to_vec())
        .force_endpoint("https://10.5.0.2:6443")
        .send()
        .await
        .expect("begun");
    let mut failed = None;
    while let Some(line) = check.next_progress().await {
        if let Err(error) = line {
            assert!(failed.replace(error).is_none(), "nothing comes after an error");
        }
    }
    let error = failed.expect("etcd is not healthy");
    assert!(error.is_timeout(), "{error:#}");
    assert!(check.next_progress().await.is_none());
    let request: proto::HealthCheckRequest = sim.received_by(0, HEALTH);
    assert_eq!(request.wait_timeout.expect("set").nanos, 50_000_000);
    let info = request.cluster_info.expect("set");
    assert_eq!(info.control_plane_nodes, sim.cluster.nodes()[..3]);
    assert_eq!(info.worker_nodes, sim.cluster.nodes()[3..]);
    assert_eq!(info.force_endpoint, "https://10.5.0.2:6443");
}

// covers: cluster.ClusterService/HealthCheck
#[tokio::test]
async fn a_check_that_waits_for_no_time_is_not_sent_and_workers_make_none() {
    let sim = Sim::start().await;
    let error = sim
        .node(0)
        .health_check()
        .wait_timeout(Duration::ZERO)
        .send()
        .await
        .expect_err("zero");
    assert_eq!(
        (error.kind(), error.attempts()),
        (ErrorKind::InvalidInput, 0),
        "{error:#}"
    );
    assert!(sim.cluster.requests().all().is_empty());
    let error = sim
        .node(3)
        .health_check()
        .until_healthy()
        .await
        .expect_err("a worker");
    assert!(error.is_unimplemented(), "{error:#}");
    sim.node(1).health_check().until_healthy().await.expect("healthy");
}
