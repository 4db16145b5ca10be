//! What a cluster is and does.

use std::time::Duration;

use talos_client::api::{cluster::HealthProgress, inspect::DependencyKind, machine::ServiceHealth};

use super::Subject;

// covers: machine.MachineService/Hostname
pub(super) async fn every_node_answers_for_itself(subject: &Subject) {
    let mut names = Vec::new();
    for node in &subject.nodes {
        names.push(node.hostname().await.expect("answered"));
    }
    assert!(names.iter().all(|name| !name.is_empty()), "{names:?}");
    let count = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), count, "two nodes have the same name: {names:?}");
}

// covers: machine.MachineService/Version
pub(super) async fn all_nodes_of_a_cluster_run_a_release(subject: &Subject) {
    let anyone = subject.client.version().await.expect("an endpoint answers");
    assert!(anyone.tag().starts_with('v'), "{anyone:?}");
    for node in &subject.nodes {
        let version = node.version().await.expect("answered");
        let capabilities = node.capabilities().await.expect("answered");
        assert_eq!(capabilities.tag(), version.tag());
        assert!(capabilities.release().is_some(), "{capabilities:?}");
        assert!(
            capabilities.is_configured(),
            "{} is in maintenance mode",
            node.name()
        );
        assert_eq!(version.rbac(), Some(true));
        assert!(version.os_arch().starts_with("linux/"), "{version:?}");
    }
}

// covers: machine.MachineService/ServiceList
pub(super) async fn services_of_a_node_run(subject: &Subject) {
    for node in &subject.nodes {
        let services = node.services().await.expect("answered");
        assert!(services.iter().map(|service| &service.id).is_sorted());
        for id in ["apid", "machined"] {
            let service = services.iter().find(|service| service.id == id).expect(id);
            assert!(service.is_up(), "{service:?}");
            assert!(!service.events.is_empty(), "{service:?}");
        }
        let apid = node.service("apid").await.expect("answered").expect("exists");
        assert_eq!(apid.health, ServiceHealth::Healthy, "{apid:?}");
        assert_eq!(node.service("nosuchservice").await.expect("answered"), None);
    }
}

// covers: time.TimeService/Time
// covers: time.TimeService/TimeCheck
pub(super) async fn clocks_agree_with_a_time_server(subject: &Subject) {
    let node = subject.control_plane();
    let comparison = node.time().await.expect("the time server answers");
    assert!(!comparison.server().is_empty());
    let offset = comparison.offset().expect("both times").abs();
    assert!(offset < Duration::from_secs(60), "{comparison:?}");
    let again = node.time_check(comparison.server()).await.expect("answered");
    assert_eq!(again.server(), comparison.server());
}

// covers: inspect.InspectService/ControllerRuntimeDependencies
pub(super) async fn controllers_depend_on_resources(subject: &Subject) {
    let edges = subject
        .control_plane()
        .controller_dependencies()
        .await
        .expect("answered");
    assert!(!edges.is_empty());
    for edge in &edges {
        assert!(
            !edge.controller.is_empty() && edge.resource_type.ends_with(".dev"),
            "{edge:?}"
        );
        assert!(!matches!(edge.kind, DependencyKind::Other(_)), "{edge:?}");
    }
}

// covers: cluster.ClusterService/HealthCheck
pub(super) async fn the_cluster_is_healthy(subject: &Subject) {
    let mut check = subject
        .control_plane()
        .health_check()
        .wait_timeout(Duration::from_secs(300))
        .send()
        .await
        .expect("begun");
    let mut conditions = 0;
    while let Some(progress) = check.next_progress().await {
        match progress.expect("healthy") {
            HealthProgress::Condition { .. } => conditions += 1,
            HealthProgress::Other(line) => panic!("a line that is not understood: {line}"),
            _ => {}
        }
    }
    assert!(conditions > 10, "{conditions}");
}
