//! Talos services: apid, etcd, kubelet and so on.

use std::{fmt, time::SystemTime};

use talos_proto::{machine as proto, methods::machine::machine_service as methods};

use crate::{Node, call::system_time, error::Result};

/// A Talos service on one node.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ServiceInfo {
    /// Its id, such as `kubelet` or `ext-iscsid`.
    pub id: String,
    /// Where it is in its life.
    pub state: ServiceState,
    /// What its health check says.
    pub health: ServiceHealth,
    /// The health check's last words; empty for services without a check.
    pub health_message: String,
    /// When the health changed last; `None` for never.
    pub health_changed: Option<SystemTime>,
    /// The last events, at most 64, oldest first.
    pub events: Vec<ServiceEvent>,
}

/// The state of a Talos service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the names are Talos' own")]
pub enum ServiceState {
    Initialized,
    Preparing,
    /// Waits for conditions; the last event names them.
    Waiting,
    Starting,
    Running,
    Stopping,
    Finished,
    Failed,
    /// Not needed on this node.
    Skipped,
    /// A state this library does not know, as the node spells it.
    Other(String),
}

/// The health of a Talos service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ServiceHealth {
    /// The service has no health check, or the first check is still to come.
    Unknown,
    /// The last check succeeded.
    Healthy,
    /// The last check failed, or the service does not run.
    Unhealthy,
}

/// Something that happened to a Talos service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServiceEvent {
    /// What happened, in Talos' words.
    pub message: String,
    /// The state it led to.
    pub state: ServiceState,
    /// When.
    pub at: Option<SystemTime>,
}

impl ServiceInfo {
    /// Whether the service runs and nothing is known to be wrong with it.
    pub fn is_up(&self) -> bool {
        self.state == ServiceState::Running && self.health != ServiceHealth::Unhealthy
    }
}

impl From<proto::ServiceInfo> for ServiceInfo {
    fn from(raw: proto::ServiceInfo) -> Self {
        let health = raw.health.unwrap_or_else(|| proto::ServiceHealth {
            unknown: true,
            ..Default::default()
        });
        let event = |event: proto::ServiceEvent| ServiceEvent {
            message: event.msg,
            state: event.state.into(),
            at: system_time(event.ts),
        };
        Self {
            id: raw.id,
            state: raw.state.into(),
            health: match (health.unknown, health.healthy) {
                (true, _) => ServiceHealth::Unknown,
                (false, true) => ServiceHealth::Healthy,
                (false, false) => ServiceHealth::Unhealthy,
            },
            health_message: health.last_message,
            health_changed: system_time(health.last_change),
            events: raw
                .events
                .unwrap_or_default()
                .events
                .into_iter()
                .map(event)
                .collect(),
        }
    }
}

impl From<String> for ServiceState {
    fn from(state: String) -> Self {
        match state.as_str() {
            "Initialized" => Self::Initialized,
            "Preparing" => Self::Preparing,
            "Waiting" => Self::Waiting,
            "Starting" => Self::Starting,
            "Running" => Self::Running,
            "Stopping" => Self::Stopping,
            "Finished" => Self::Finished,
            "Failed" => Self::Failed,
            "Skipped" => Self::Skipped,
            _ => Self::Other(state),
        }
    }
}

impl ServiceState {
    /// The state as Talos spells it.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Initialized => "Initialized",
            Self::Preparing => "Preparing",
            Self::Waiting => "Waiting",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
            Self::Finished => "Finished",
            Self::Failed => "Failed",
            Self::Skipped => "Skipped",
            Self::Other(state) => state,
        }
    }
}

impl fmt::Display for ServiceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for ServiceHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The words of talosctl.
        f.pad(match self {
            Self::Unknown => "?",
            Self::Healthy => "OK",
            Self::Unhealthy => "Fail",
        })
    }
}

impl Node {
    /// Every Talos service of this node, sorted by id.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/ServiceList` · talosctl services · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub async fn services(&self) -> Result<Vec<ServiceInfo>> {
        let target = self.target();
        let method = &methods::SERVICE_LIST;
        let message = target
            .single(method, (), |request| async {
                target.machine().service_list(request).await
            })
            .await?;
        let mut services: Vec<ServiceInfo> = message.services.into_iter().map(Into::into).collect();
        services.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(services)
    }

    /// One Talos service of this node, or `None` where it has no service of that id.
    ///
    /// There is no RPC for one service: this lists all of them and picks one, as talosctl does.
    ///
    /// # Errors
    ///
    /// Every [`ErrorKind`](crate::ErrorKind) of a call. A service that does not exist is not an error.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: dropping the future cancels the call.
    ///
    /// Upstream: `machine.MachineService/ServiceList` · talosctl service ID · since Talos 1.7 or older · role
    /// os:reader · read-only
    pub async fn service(&self, id: &str) -> Result<Option<ServiceInfo>> {
        Ok(self
            .services()
            .await?
            .into_iter()
            .find(|service| service.id == id))
    }

    /// Starts a service, and returns the node's words about it. One that runs already is no error.
    ///
    /// Nodes allow it for `kubelet` and for extension services (`ext-…`).
    ///
    /// # Errors
    ///
    /// `InvalidInput` for an empty id; nothing is sent then. `Unknown` with `service "…" not defined` for a
    /// service that does not exist and `doesn't support start operation via API` for all others, and every
    /// [`ErrorKind`](crate::ErrorKind) of a call.
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the service may start although nobody waits for the answer.
    ///
    /// Upstream: `machine.MachineService/ServiceStart` · talosctl service ID start · since Talos 1.7 or older ·
    /// role os:operator · idempotent
    pub async fn start_service(&self, id: impl Into<String>) -> Result<String> {
        let (target, method, id) = (self.target(), &methods::SERVICE_START, id.into());
        target.require(method, "service id", &id)?;
        let message = target
            .single(method, proto::ServiceStartRequest { id }, |request| async {
                target.machine().service_start(request).await
            })
            .await?;
        Ok(message.resp)
    }

    /// Stops a service, and returns the node's words about it. One that is stopped already is no error.
    ///
    /// Nodes allow it for extension services (`ext-…`) only.
    ///
    /// # Errors
    ///
    /// As for [`Node::start_service`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the service may stop although nobody waits for the answer.
    ///
    /// Upstream: `machine.MachineService/ServiceStop` · talosctl service ID stop · since Talos 1.7 or older · role
    /// os:operator · idempotent
    pub async fn stop_service(&self, id: impl Into<String>) -> Result<String> {
        let (target, method, id) = (self.target(), &methods::SERVICE_STOP, id.into());
        target.require(method, "service id", &id)?;
        let message = target
            .single(method, proto::ServiceStopRequest { id }, |request| async {
                target.machine().service_stop(request).await
            })
            .await?;
        Ok(message.resp)
    }

    /// Stops a service and starts it again, and returns the node's words about it.
    ///
    /// Nodes allow it for `kubelet` and for extension services (`ext-…`).
    ///
    /// # Errors
    ///
    /// As for [`Node::start_service`].
    ///
    /// # Cancel safety
    ///
    /// Not cancel safe: once sent, the service may restart although nobody waits for the answer.
    ///
    /// Upstream: `machine.MachineService/ServiceRestart` · talosctl service ID restart · since Talos 1.7 or older ·
    /// role os:operator · unsafe
    pub async fn restart_service(&self, id: impl Into<String>) -> Result<String> {
        let (target, method, id) = (self.target(), &methods::SERVICE_RESTART, id.into());
        target.require(method, "service id", &id)?;
        let message = target
            .single(method, proto::ServiceRestartRequest { id }, |request| async {
                target.machine().service_restart(request).await
            })
            .await?;
        Ok(message.resp)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_keep_their_spelling() {
        for state in [
            "Initialized",
            "Preparing",
            "Waiting",
            "Starting",
            "Running",
            "Stopping",
            "Finished",
        ]
        .into_iter()
        .chain(["Failed", "Skipped", "Pondering"])
        {
            assert_eq!(ServiceState::from(state.to_owned()).to_string(), state);
        }
        assert_eq!(
            ServiceState::from("Pondering".to_owned()),
            ServiceState::Other("Pondering".to_owned())
        );
    }

    #[test]
    fn a_service_without_check_is_up_while_it_runs() {
        let service = |state: &str, unknown, healthy| {
            let health = Some(proto::ServiceHealth {
                unknown,
                healthy,
                ..Default::default()
            });
            ServiceInfo::from(proto::ServiceInfo {
                state: state.to_owned(),
                health,
                ..Default::default()
            })
        };
        assert!(service("Running", true, false).is_up());
        assert!(service("Running", false, true).is_up());
        assert!(!service("Running", false, false).is_up());
        assert!(!service("Waiting", true, false).is_up());
        let without = ServiceInfo::from(proto::ServiceInfo::default());
        assert_eq!(without.health, ServiceHealth::Unknown);
    }
}
