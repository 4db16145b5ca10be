//! What a machine says about itself: its stage, and what it waits for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::events::payload::Payload;
use super::resources::special;
use super::resources::specs::{self, MachineStage};
use super::services::{ServiceEvent, ServiceState};
use super::{MachineRole, Node, boot};
use crate::clock::Moment;
use crate::text::go_quoted;

/// The reason for [`ReadyCondition::Time`].
const TIME_NOT_SYNCED: &str = "time is not synced";

/// Something that has to be met before a machine is ready, in the order of reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum ReadyCondition {
    /// The clock is synchronized.
    Time,
    /// Addresses, connectivity and hostname are there.
    Network,
    /// Services run and are healthy. Follows from the services.
    Services,
    /// Static pods of the control plane run.
    StaticPods,
    /// The Kubernetes node is ready.
    NodeReady,
}

impl ReadyCondition {
    /// The name in events and resources.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Network => "network",
            Self::Services => "services",
            Self::StaticPods => "staticPods",
            Self::NodeReady => "nodeReady",
        }
    }
}

/// A stage, with names and reasons of what the machine waits for.
pub(crate) type MachineStatus = (MachineStage, Vec<(&'static str, String)>);

/// Reasons of the conditions that are not met, besides those that follow from services.
pub(crate) type Unmet = BTreeMap<ReadyCondition, String>;

impl Node {
    pub(crate) fn stage(&self) -> MachineStage {
        *self.stage.lock()
    }

    /// Moves the machine to `stage`.
    pub(crate) fn enter(&self, stage: MachineStage) {
        *self.stage.lock() = stage;
        self.publish_status();
    }

    /// Says why `condition` is not met, or with `None` that it is.
    pub(crate) fn set_condition(&self, condition: ReadyCondition, reason: Option<String>) {
        let mut unmet = self.unmet.lock();
        match reason {
            Some(reason) => {
                unmet.insert(condition, reason);
            }
            None => {
                unmet.remove(&condition);
            }
        }
        drop(unmet);
        self.publish_status();
    }

    /// Sets whether the clock agrees with time servers.
    pub(crate) fn set_time_in_sync(&self, in_sync: bool) {
        let reason = (!in_sync).then(|| TIME_NOT_SYNCED.to_owned());
        self.set_condition(ReadyCondition::Time, reason);
        self.resources.put(special::time_status(in_sync));
    }

    pub(crate) fn is_time_in_sync(&self) -> bool {
        !self.unmet.lock().contains_key(&ReadyCondition::Time)
    }

    /// Whether the Kubernetes node counts as ready, as far as the machine waits for that.
    #[cfg(feature = "kubernetes")]
    pub(crate) fn is_node_ready(&self) -> bool {
        !self.unmet.lock().contains_key(&ReadyCondition::NodeReady)
    }

    /// Finds out the time, once the network is up.
    pub(super) fn synchronize_clock(self: &Arc<Self>) {
        let node = Arc::clone(self);
        let boot_id = self.boot_id.lock().clone();
        self.spawn(async move {
            node.tick().await;
            if *node.boot_id.lock() == boot_id {
                node.set_time_in_sync(true);
            }
        });
    }

    /// Lets a machine that is about to come into being wait for the cluster to be bootstrapped: workers have
    /// all but Kubernetes, and the others are still booting.
    pub(super) fn lacks_kubernetes(&self) {
        self.unmet
            .lock()
            .insert(ReadyCondition::NodeReady, self.node_not_ready());
        *self.settled.lock() = false;
        if self.identity.role == MachineRole::ControlPlane {
            *self.stage.lock() = MachineStage::Booting;
        }
    }

    /// Lets a machine that is about to come into being wait for a configuration.
    pub(super) fn lacks_configuration(&self) {
        self.conditions_of_boot();
        self.unmet.lock().remove(&ReadyCondition::Network);
        *self.stage.lock() = MachineStage::Maintenance;
    }

    fn node_not_ready(&self) -> String {
        format!("node {} is not ready", go_quoted(&self.identity.hostname))
    }

    /// What a machine that has just been switched on lacks.
    pub(super) fn conditions_of_boot(&self) {
        *self.settled.lock() = false;
        *self.unmet.lock() = BTreeMap::from([
            (ReadyCondition::Time, TIME_NOT_SYNCED.to_owned()),
            (
                ReadyCondition::Network,
                "waiting on: address, connectivity, etc-files, hostname".to_owned(),
            ),
            (ReadyCondition::NodeReady, self.node_not_ready()),
        ]);
        *self.stage.lock() = MachineStage::Booting;
    }

    /// The network is up: addresses are assigned.
    pub(super) fn network_is_up(&self) {
        self.set_condition(ReadyCondition::Network, None);
        self.publish_addresses();
    }

    pub(super) fn publish_addresses(&self) {
        let addresses = self.identity.addresses();
        let addresses = addresses.iter().map(ToString::to_string).collect();
        self.events
            .publish("", Payload::address(&self.current_identity().hostname, addresses));
    }

    /// Reaches what comes after the boot: Kubernetes, which needs etcd.
    pub(super) async fn settle(&self) {
        let boot_id = self.boot_id.lock().clone();
        self.cluster.until_bootstrapped().await;
        self.tick().await;
        if *self.boot_id.lock() == boot_id {
            *self.settled.lock() = true;
            self.set_condition(ReadyCondition::NodeReady, None);
        }
    }

    /// Goes on with what the machine was waiting for, in its boot or after it.
    pub(crate) fn go_on(self: &Arc<Self>) {
        if *self.settled.lock() {
            return;
        }
        match self.stage() {
            MachineStage::Booting => return self.resume_boot(),
            MachineStage::Maintenance => return self.resume_initialize(),
            _ => {}
        }
        let node = Arc::clone(self);
        self.spawn(async move { node.settle().await });
    }

    /// Waits until `condition` is met, but no longer than `limit`; says whether it is.
    pub(crate) async fn within(&self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let mut changes = self.events.changes();
        let met = async {
            while !condition(self) {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // What changes without an event is found at the end.
        let _ = tokio::time::timeout(limit, met).await;
        condition(self)
    }

    /// Names and reasons of what the machine waits for right now.
    pub(crate) fn unmet_conditions(&self) -> Vec<(&'static str, String)> {
        if !self.stage().has_conditions() {
            return Vec::new();
        }
        let mut unmet = self.unmet.lock().clone();
        if let Some(reason) = self.services.unmet() {
            unmet.insert(ReadyCondition::Services, reason);
        }
        unmet
            .into_iter()
            .map(|(condition, reason)| (condition.as_str(), reason))
            .collect()
    }

    /// Lets resources and events say what the machine does, which services run and whether all is ready.
    pub(crate) fn publish_status(&self) {
        self.resources.put_services(&self.services.all());
        // The lock is held until the event is out, so that events come in the order of changes.
        let mut published = self.published_status.lock();
        let status = (self.stage(), self.unmet_conditions());
        self.resources.put(specs::machine_status(status.0, &status.1));
        if published.as_ref() != Some(&status) {
            self.events
                .publish("", Payload::machine_status(status.0, &status.1));
            *published = Some(status);
        }
    }

    /// Moves a service to `state`, with an event that says `message`; events, logs and resources follow.
    pub(crate) fn service_moves(&self, id: &str, state: ServiceState, message: &str) {
        self.services.set_state(id, state, message);
        self.service_changed(id, state, message);
    }

    /// Reports a health check of a service; `None` if there is no such service, it has no check, or it does
    /// not run.
    pub(crate) fn service_checked(&self, id: &str, healthy: bool, message: &str) -> Option<()> {
        let text = self.services.set_health(id, healthy, message)?;
        self.service_changed(id, ServiceState::Running, &text);
        Some(())
    }

    fn service_changed(&self, id: &str, state: ServiceState, message: &str) {
        let Some(health) = self.services.health(id) else {
            return;
        };
        self.events
            .publish("", Payload::service(id, state, message, &health));
        let event = ServiceEvent {
            state,
            message: message.to_owned(),
            at: Moment::now(),
        };
        boot::log_service_event(self, id, &event);
        self.publish_status();
    }
}
