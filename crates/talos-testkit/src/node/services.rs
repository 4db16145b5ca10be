//! Talos services of a node: state, health and their last events.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::clock::Moment;
use crate::sync::Guarded;

/// Most events kept per service.
const MAX_EVENTS: usize = 64;

/// Process id of the first service, and how far apart those of services are.
const FIRST_PID: usize = 1000;
const PID_STEP: usize = 37;

/// State of a Talos service, with the names `ServiceList` uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceState {
    /// Known, not started yet.
    Initialized,
    /// Start requested.
    Starting,
    /// Waiting for its conditions.
    Waiting,
    /// Running its preparations.
    Preparing,
    /// Running.
    Running,
    /// Being stopped.
    Stopping,
    /// Ended without error.
    Finished,
    /// Ended with an error.
    Failed,
    /// Not needed on this node.
    Skipped,
}

impl ServiceState {
    /// All states.
    pub const ALL: [Self; 9] = [
        Self::Initialized,
        Self::Starting,
        Self::Waiting,
        Self::Preparing,
        Self::Running,
        Self::Stopping,
        Self::Finished,
        Self::Failed,
        Self::Skipped,
    ];

    /// The state's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initialized => "Initialized",
            Self::Starting => "Starting",
            Self::Waiting => "Waiting",
            Self::Preparing => "Preparing",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Finished => "Finished",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Health of a service as its check reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) unknown: bool,
    pub(crate) healthy: bool,
    pub(crate) last_message: String,
    pub(crate) last_change: Moment,
}

/// One line of a service's history.
#[derive(Debug, Clone)]
pub(crate) struct ServiceEvent {
    pub(crate) state: ServiceState,
    pub(crate) message: String,
    pub(crate) at: Moment,
}

/// One service.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) state: ServiceState,
    pub(crate) health: Health,
    pub(crate) events: VecDeque<ServiceEvent>,
    /// Process id of the latest run, 0 before the first.
    pid: usize,
    has_check: bool,
}

impl Service {
    fn new(has_check: bool) -> Self {
        let last_message = if has_check { "Unknown" } else { "" }.to_owned();
        let health = Health {
            unknown: true,
            healthy: false,
            last_message,
            last_change: Moment::GO_ZERO,
        };
        Self {
            state: ServiceState::Initialized,
            health,
            events: VecDeque::new(),
            pid: 0,
            has_check,
        }
    }

    fn event(&mut self, at: Moment, state: ServiceState, message: impl Into<String>) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(ServiceEvent {
            state,
            message: message.into(),
            at,
        });
        let was_running = self.state == ServiceState::Running;
        self.state = state;
        if !self.has_check {
            return;
        }
        match (was_running, state == ServiceState::Running) {
            (true, false) => {
                self.health = Health {
                    unknown: false,
                    healthy: false,
                    last_message: "service not running".to_owned(),
                    last_change: at,
                };
            }
            (false, true) => {
                self.health = Health {
                    last_change: at,
                    ..Self::new(true).health
                }
            }
            _ => {}
        }
    }

    fn checked(&mut self, at: Moment, healthy: bool, message: &str) -> String {
        self.health = Health {
            unknown: false,
            healthy,
            last_message: message.to_owned(),
            last_change: at,
        };
        let text = if healthy {
            "Health check successful".to_owned()
        } else {
            format!("Health check failed: {message}")
        };
        self.event(at, self.state, text.clone());
        text
    }
}

/// The services of one node, sorted by id.
#[derive(Debug, Default)]
pub(crate) struct ServiceTable {
    services: Guarded<BTreeMap<String, Service>>,
}

/// Services of a machine by what it is: those of every one, those of a control plane, those of a container.
const COMMON: [&str; 9] = [
    "machined",
    "udevd",
    "auditd",
    "syslogd",
    "containerd",
    "apid",
    "dashboard",
    "cri",
    "kubelet",
];
const IN_CONTAINER: [&str; 5] = ["machined", "containerd", "apid", "cri", "kubelet"];
const CONTROL_PLANE: [&str; 2] = ["trustd", "etcd"];

/// The services of a configured machine, in the order in which they start.
pub(crate) fn wanted(control_plane: bool, container: bool) -> Vec<&'static str> {
    let common = if container {
        IN_CONTAINER.as_slice()
    } else {
        COMMON.as_slice()
    };
    let extra = if control_plane {
        CONTROL_PLANE.as_slice()
    } else {
        &[]
    };
    common.iter().chain(extra).copied().collect()
}

/// Whether the health of a service is looked at.
fn has_check(id: &str) -> bool {
    id != "dashboard" && !id.starts_with("ext-")
}

impl ServiceTable {
    /// The services of a booted, healthy node, started one second apart from `boot` on.
    pub(crate) fn booted(wanted: &[&str], boot: Moment) -> Self {
        Self::started(wanted, boot, |_| true)
    }

    /// As [`Self::booted`], but etcd waits for the cluster to be bootstrapped.
    pub(crate) fn not_bootstrapped(wanted: &[&str], boot: Moment) -> Self {
        Self::started(wanted, boot, |id| id != "etcd")
    }

    fn started(wanted: &[&str], boot: Moment, runs: impl Fn(&str) -> bool) -> Self {
        let table = Self::default();
        for (index, id) in wanted.iter().enumerate() {
            let has_check = has_check(id);
            let at = boot.shifted(std::time::Duration::from_secs(index as u64 + 1), false);
            let mut service = Service::new(has_check);
            let pid = FIRST_PID + PID_STEP * index;
            service.pid = pid;
            service.event(at, ServiceState::Starting, "Starting service");
            service.event(at, ServiceState::Waiting, waiting_for(id));
            service.event(at, ServiceState::Preparing, "Running pre state");
            if runs(id) {
                service.event(at, ServiceState::Preparing, "Creating service runner");
                service.event(at, ServiceState::Running, started(id, pid));
                if has_check {
                    service.checked(at, true, "");
                }
            }
            table.services.lock().insert((*id).to_owned(), service);
        }
        table
    }

    pub(crate) fn all(&self) -> Vec<(String, Service)> {
        self.services
            .lock()
            .iter()
            .map(|(id, service)| (id.clone(), service.clone()))
            .collect()
    }

    /// The state of a service; `None` if there is none called `id`.
    pub(crate) fn state(&self, id: &str) -> Option<ServiceState> {
        self.services.lock().get(id).map(|service| service.state)
    }

    pub(crate) fn health(&self, id: &str) -> Option<Health> {
        self.services.lock().get(id).map(|service| service.health.clone())
    }

    /// The process id of the latest run of a service, 0 if it has not run.
    pub(crate) fn pid(&self, id: &str) -> usize {
        self.services.lock().get(id).map_or(0, |service| service.pid)
    }

    /// Gives a service that is about to run a process id of its own.
    pub(crate) fn new_pid(&self, id: &str) -> usize {
        let mut services = self.services.lock();
        let highest = services.values().map(|service| service.pid).max();
        let pid = highest.map_or(FIRST_PID, |highest| highest.max(FIRST_PID) + PID_STEP);
        if let Some(service) = services.get_mut(id) {
            service.pid = pid;
        }
        pid
    }

    /// Forgets all services, as a reboot does.
    pub(crate) fn clear(&self) {
        self.services.lock().clear();
    }

    /// Moves a service to `state` with an event; adds it if it is new.
    pub(crate) fn set_state(&self, id: &str, state: ServiceState, message: &str) {
        let mut services = self.services.lock();
        let service = services
            .entry(id.to_owned())
            .or_insert_with(|| Service::new(has_check(id)));
        service.event(Moment::now(), state, message);
    }

    /// Reports the result of a health check and returns the text of its event; `None` if there is no such
    /// service, it has no check, or it does not run.
    pub(crate) fn set_health(&self, id: &str, healthy: bool, message: &str) -> Option<String> {
        let mut services = self.services.lock();
        let checkable = |service: &&mut Service| service.has_check && service.state == ServiceState::Running;
        let service = services.get_mut(id).filter(checkable)?;
        Some(service.checked(Moment::now(), healthy, message))
    }

    /// Why the services of the node are not ready, in Talos's words; `None` if they are.
    pub(crate) fn unmet(&self) -> Option<String> {
        let services = self.services.lock();
        let reasons = services.iter().filter_map(|(id, service)| match service.state {
            ServiceState::Running if service.has_check && !service.health.healthy => {
                Some(format!("{id} not healthy"))
            }
            ServiceState::Running | ServiceState::Skipped => None,
            _ => Some(format!("{id} not running")),
        });
        let reasons: Vec<_> = reasons.collect();
        (!reasons.is_empty()).then(|| reasons.join(", "))
    }
}

pub(crate) fn waiting_for(id: &str) -> &'static str {
    match id {
        "etcd" => "Waiting for service \"cri\" to be \"up\", time sync, network, etcd spec",
        "kubelet" => "Waiting for service \"cri\" to be \"up\", time sync, network",
        "cri" => "Waiting for network",
        _ => "Waiting for service \"containerd\" to be \"up\"",
    }
}

/// The message of a service that now runs.
pub(crate) fn started(id: &str, pid: usize) -> String {
    match id {
        "etcd" | "kubelet" => format!("Started task {id} (PID {pid}) for container {id}"),
        "auditd" | "machined" | "syslogd" => "Service started as goroutine".to_owned(),
        _ => format!("Process Process([\"/sbin/{id}\"]) started with PID {pid}"),
    }
}

/// The message of a service that is being stopped; `pid` as when it started.
pub(crate) fn stopping(id: &str, pid: usize) -> String {
    match id {
        "etcd" | "kubelet" => format!("Sending SIGTERM to task {id} (PID {pid}, container {id})"),
        _ => format!("Sending SIGTERM to Process([\"/sbin/{id}\"])"),
    }
}

#[cfg(test)]
mod tests {
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
}
