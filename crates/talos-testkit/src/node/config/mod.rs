//! The configuration of a machine: which one is active, which one the next boot takes, and how it gets there.

mod diff;
pub(crate) mod document;
pub(crate) mod generate;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::events::payload::{Edge, Payload};
use super::power::ApiMode;
use super::resources::config::machine_config;
use super::resources::specs::MachineStage;
use super::{MachineRole, Node};
use document::MachineConfig;

/// How long the API stays open after the answer to a call that closes it.
const GRACE: Duration = Duration::from_millis(10);

/// The configurations of a machine.
#[derive(Debug, Default)]
pub(crate) struct ConfigStore {
    /// What the machine goes by.
    active: Option<Arc<MachineConfig>>,
    /// What the next boot takes.
    persistent: Option<Arc<MachineConfig>>,
    /// Cancelled when the configuration that is being tried shall stay.
    trial: Option<CancellationToken>,
    /// Another call is applying a configuration.
    pub(crate) busy: bool,
}

/// How a configuration is taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Application {
    /// Now and from the next boot on.
    Permanent,
    /// From the next boot on.
    Staged,
    /// Now, until the time is over.
    Trial(Duration),
}

impl ConfigStore {
    /// What a machine that has always had `config` knows.
    pub(crate) fn settled(config: Option<MachineConfig>) -> Self {
        let config = config.map(Arc::new);
        Self {
            active: config.clone(),
            persistent: config,
            ..Self::default()
        }
    }

    pub(crate) fn active(&self) -> Option<&Arc<MachineConfig>> {
        self.active.as_ref()
    }
}

impl Node {
    /// The configuration that the machine goes by, if it is complete.
    pub(crate) fn config(&self) -> Option<Arc<MachineConfig>> {
        let config = self.config.lock().active.clone();
        config.filter(|config| config.is_complete())
    }

    /// Whether the machine waits for a complete configuration.
    pub(crate) fn in_maintenance(&self) -> bool {
        self.config().is_none()
    }

    /// The role that the machine's configuration gives it; `None` in maintenance.
    pub(crate) fn machine_role(&self) -> Option<MachineRole> {
        self.config()?.role()
    }

    pub(super) fn needs_install(&self) -> bool {
        let installed = self.installation.lock().is_installed();
        !installed && !self.platform.is_container() && self.config().is_some_and(|config| config.installs())
    }

    /// What the configuration that is active differs from `config` in.
    pub(crate) fn config_diff(&self, config: &MachineConfig) -> Option<String> {
        let active = self.config.lock().active.clone();
        let active = active.as_ref().map_or("", |active| active.text());
        diff::unified(active, config.text())
    }

    /// Lets the configuration that is being tried stay.
    pub(crate) fn end_trial(&self) {
        if let Some(trial) = self.config.lock().trial.take() {
            trial.cancel();
        }
    }

    /// Takes a configuration over.
    pub(crate) fn apply_config(self: &Arc<Self>, config: MachineConfig, how: Application) {
        let config = Arc::new(config);
        {
            let mut store = self.config.lock();
            if how != Application::Staged {
                let before = store.active.replace(Arc::clone(&config));
                if let Application::Trial(timeout) = how {
                    let trial = CancellationToken::new();
                    if let Some(earlier) = store.trial.replace(trial.clone()) {
                        earlier.cancel();
                    }
                    self.revert_after(timeout, before, trial);
                }
            }
            if !matches!(how, Application::Trial(_)) {
                store.persistent = Some(config);
            }
        }
        self.publish_config();
        self.config_changes.send_modify(|count| *count += 1);
    }

    fn revert_after(
        self: &Arc<Self>,
        timeout: Duration,
        before: Option<Arc<MachineConfig>>,
        trial: CancellationToken,
    ) {
        let node = Arc::clone(self);
        self.spawn(async move {
            let over = trial.run_until_cancelled(tokio::time::sleep(timeout)).await;
            if over.is_none() {
                return;
            }
            {
                let mut store = node.config.lock();
                store.active = before;
                store.trial = None;
            }
            node.publish_config();
        });
    }

    /// Puts the resources that hold configurations, and the machine type that follows from them.
    pub(crate) fn publish_config(&self) {
        let store = self.config.lock();
        for (id, config) in [("v1alpha1", &store.active), ("persistent", &store.persistent)] {
            machine_config(&self.resources, id, config.as_ref().map(|config| config.text()));
        }
        drop(store);
        self.publish_machine_type();
    }

    /// Takes the configuration of the last life over into a new one. What was never written to a disk is
    /// lost.
    pub(super) fn reload_config(&self) {
        let kept = self.installation.lock().is_installed() || self.platform.is_container();
        let mut store = self.config.lock();
        if let Some(trial) = store.trial.take() {
            trial.cancel();
        }
        if !kept {
            store.persistent = None;
        }
        store.active = store.persistent.clone();
    }

    /// Forgets the configuration that the disk holds.
    pub(crate) fn forget_config(&self) {
        self.config.lock().persistent = None;
    }

    /// The task that finds the configuration, if need be by waiting for one. The API is up when it ends.
    pub(super) async fn load_config(self: &Arc<Self>) {
        self.network_is_up();
        if !self.in_maintenance() {
            self.connect(ApiMode::Secure);
            return;
        }
        self.events
            .publish("", Payload::task("runningMaintenance", Edge::Start));
        self.enter(MachineStage::Maintenance);
        self.connect(ApiMode::Maintenance);
        // The sender is part of `self`, so that waiting cannot fail.
        let mut changes = self.config_changes.subscribe();
        while self.in_maintenance() {
            let _ = changes.changed().await;
        }
        self.tick().await;
        self.events
            .publish("", Payload::task("runningMaintenance", Edge::Stop));
        self.enter(MachineStage::Booting);
        // The answer to the call that brought the configuration comes first.
        self.grace().await;
        self.disconnect();
        self.tick().await;
        self.connect(ApiMode::Secure);
    }

    /// Lets what has been answered reach its reader.
    pub(super) async fn grace(&self) {
        tokio::time::sleep(GRACE).await;
    }
}
