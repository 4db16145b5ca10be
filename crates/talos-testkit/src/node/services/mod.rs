//! Talos services of a node: state, health and their last events.

mod catalog;
mod service;

use std::collections::BTreeMap;

use crate::clock::Moment;
use crate::sync::Guarded;
use catalog::has_check;
pub(crate) use catalog::{early, started, stopping, waiting_for, wanted};
pub use service::ServiceState;
pub(crate) use service::{Health, Service, ServiceEvent};

/// Process id of the first service, and how far apart those of services are.
const FIRST_PID: usize = 1000;
const PID_STEP: usize = 37;

/// The services of one node, sorted by id.
#[derive(Debug, Default)]
pub(crate) struct ServiceTable {
    services: Guarded<BTreeMap<String, Service>>,
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

#[cfg(test)]
mod tests;
