use super::*;

fn table() -> ServiceTable {
    ServiceTable::booted(&wanted(true, false), Moment::from_unix(1_767_323_045, 0))
}

fn ids(table: &ServiceTable) -> Vec<String> {
    table.all().into_iter().map(|(id, _)| id).collect()
}

fn service(table: &ServiceTable, id: &str) -> Service {
    table.all().into_iter().find(|(found, _)| found == id).unwrap().1
}

#[test]
fn each_role_has_its_services_sorted() {
    let found = ids(&table());
    let expected = [
        "apid",
        "auditd",
        "containerd",
        "cri",
        "dashboard",
        "etcd",
        "kubelet",
        "machined",
        "syslogd",
        "trustd",
        "udevd",
    ];
    assert_eq!(found, expected);
    let worker = ids(&ServiceTable::booted(
        &wanted(false, false),
        Moment::from_unix(0, 0),
    ));
    assert!(
        !worker.iter().any(|id| id == "etcd" || id == "trustd"),
        "{worker:?}"
    );
}

#[test]
fn a_booted_node_is_healthy_apart_from_services_without_check() {
    let table = table();
    assert_eq!(table.unmet(), None);
    let dashboard = service(&table, "dashboard").health;
    assert!(dashboard.unknown && dashboard.last_message.is_empty());
    assert_eq!(dashboard.last_change, Moment::GO_ZERO);
    let kubelet = service(&table, "kubelet");
    assert!(kubelet.health.healthy && !kubelet.health.unknown);
    assert_eq!(kubelet.events.back().unwrap().message, "Health check successful");
}

#[test]
fn leaving_running_makes_a_service_unhealthy_and_a_start_unknown() {
    let table = table();
    table.set_state("kubelet", ServiceState::Stopping, "Sending SIGTERM");
    let health = service(&table, "kubelet").health;
    assert_eq!((health.unknown, health.healthy), (false, false));
    assert_eq!(health.last_message, "service not running");
    assert_eq!(table.unmet().unwrap(), "kubelet not running");
    table.set_state("kubelet", ServiceState::Running, "Started");
    let health = service(&table, "kubelet").health;
    assert_eq!((health.unknown, health.last_message.as_str()), (true, "Unknown"));
}

#[test]
fn failed_checks_are_events_and_conditions() {
    let table = table();
    table
        .set_health("etcd", false, "context deadline exceeded")
        .unwrap();
    let etcd = service(&table, "etcd");
    assert_eq!(
        etcd.events.back().unwrap().message,
        "Health check failed: context deadline exceeded"
    );
    assert_eq!(table.unmet().unwrap(), "etcd not healthy");
    assert_eq!(table.set_health("dashboard", true, ""), None);
    assert_eq!(table.set_health("nothing", true, ""), None);
}

#[test]
fn only_the_last_events_are_kept() {
    let table = table();
    (0..100).for_each(|n| table.set_state("cri", ServiceState::Waiting, &n.to_string()));
    let events = service(&table, "cri").events;
    assert_eq!(
        (events.len(), events.front().unwrap().message.as_str()),
        (64, "36")
    );
}
