//! The configuration of a machine: what it is, where it is kept, and what becomes of a new one.

mod derived;
mod maintenance;
mod resources;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{MachineRole, Node};
use crate::machine_config::MachineConfig;
use crate::sync::Guarded;
use derived::Derived;

/// The configurations of a machine.
pub(crate) struct Configuration {
    state: Guarded<State>,
    /// What the machine has taken over from its active configuration.
    derived: Guarded<Derived>,
    /// Whether the active configuration is one to boot with.
    complete: watch::Sender<bool>,
    /// Whether a configuration is being applied.
    busy: Guarded<bool>,
    /// What the next configurations are warned of.
    warnings: Guarded<Vec<String>>,
}

#[derive(Default)]
struct State {
    active: Option<Arc<MachineConfig>>,
    /// The one of the next boot.
    persistent: Option<Arc<MachineConfig>>,
    /// Lets go of the configuration that is tried.
    attempt: Option<CancellationToken>,
}

/// How a new configuration comes into effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    Now,
    /// With the next boot.
    Staged,
    /// Now, and until then.
    Tried(Duration),
}

/// The right to apply a configuration, given back on drop.
#[derive(Debug)]
pub(crate) struct Turn<'a>(&'a Configuration);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.busy.lock() = false;
    }
}

impl Configuration {
    /// Of a machine that has been configured, or of one that has not.
    pub(super) fn new(config: Option<Arc<MachineConfig>>) -> Self {
        let complete = config.as_ref().is_some_and(|config| config.legacy().is_some());
        let derived = config.as_deref().map(Derived::of).unwrap_or_default();
        Self {
            state: Guarded::new(State {
                active: config.clone(),
                persistent: config,
                attempt: None,
            }),
            derived: Guarded::new(derived),
            complete: watch::Sender::new(complete),
            busy: Guarded::default(),
            warnings: Guarded::default(),
        }
    }

    /// The configuration that the machine runs with.
    pub(crate) fn active(&self) -> Option<Arc<MachineConfig>> {
        self.state.lock().active.clone()
    }

    /// The configuration that the machine is going to boot with.
    pub(crate) fn persistent(&self) -> Option<Arc<MachineConfig>> {
        self.state.lock().persistent.clone()
    }

    /// Whether the active configuration is one to boot with.
    pub(crate) fn is_complete(&self) -> bool {
        *self.complete.borrow()
    }

    /// Whether the machine can have an etcd member.
    pub(crate) fn has_etcd(&self) -> bool {
        self.derived.lock().etcd
    }

    async fn until_complete(&self) {
        // The sender lives as long as `self`, so that waiting cannot fail.
        let _ = self.complete.subscribe().wait_for(|complete| *complete).await;
    }

    /// The token that the machine shows to `trustd`, and that its own `trustd` wants to see.
    pub(crate) fn token(&self) -> Option<String> {
        self.active()?.token().map(str::to_owned)
    }

    /// The right to apply a configuration; `None` while somebody else has it.
    pub(crate) fn begin(&self) -> Option<Turn<'_>> {
        let mut busy = self.busy.lock();
        // A turn that is only made to be thrown away would ask for the lock.
        (!std::mem::replace(&mut *busy, true)).then(|| Turn(self))
    }

    /// Takes the right to apply away from everybody, or gives it back.
    pub(crate) fn set_busy(&self, busy: bool) {
        *self.busy.lock() = busy;
    }

    /// Lets a configuration that is only tried stay, until something else is applied or the machine boots.
    pub(crate) fn keep_tried(&self) {
        if let Some(attempt) = self.state.lock().attempt.take() {
            attempt.cancel();
        }
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().clone()
    }

    pub(crate) fn set_warnings(&self, warnings: Vec<String>) {
        *self.warnings.lock() = warnings;
    }
}

impl fmt::Debug for Configuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("Configuration")
            .field("active", &state.active)
            .field("persistent", &state.persistent)
            .finish_non_exhaustive()
    }
}

impl Node {
    /// Whether the machine waits for a configuration to boot with.
    pub(crate) fn in_maintenance(&self) -> bool {
        !self.configuration.is_complete()
    }

    /// The role that the machine's configuration gives it; `None` before it has one.
    pub(crate) fn machine_role(&self) -> Option<MachineRole> {
        self.configuration.derived.lock().role
    }

    /// Takes a new configuration.
    pub(crate) fn configure(self: &Arc<Self>, config: Arc<MachineConfig>, effect: Effect) {
        self.configuration.keep_tried();
        let mut state = self.configuration.state.lock();
        match effect {
            Effect::Now => {
                state.active = Some(Arc::clone(&config));
                state.persistent = Some(config);
            }
            Effect::Staged => state.persistent = Some(config),
            Effect::Tried(time) => {
                let before = state.active.replace(config);
                let attempt = CancellationToken::new();
                state.attempt = Some(attempt.clone());
                // Where there was nothing before, there is nothing to go back to.
                if before.is_some() {
                    let node = Arc::clone(self);
                    self.spawn(async move { node.give_up(before, attempt, time).await });
                }
            }
        }
        drop(state);
        self.take_over();
    }

    /// Goes back to the configuration from `before`, unless that is called off in `time`.
    async fn give_up(
        self: Arc<Self>,
        before: Option<Arc<MachineConfig>>,
        attempt: CancellationToken,
        time: Duration,
    ) {
        let over = tokio::time::sleep(time);
        if attempt.run_until_cancelled(over).await.is_none() {
            return;
        }
        let mut state = self.configuration.state.lock();
        if attempt.is_cancelled() {
            return;
        }
        state.attempt = None;
        state.active = before;
        drop(state);
        self.take_over();
    }

    /// Begins a boot with what is on disk.
    pub(super) fn load_persistent(&self) {
        self.configuration.keep_tried();
        let keeps = self.keeps_state();
        let mut state = self.configuration.state.lock();
        if !keeps {
            state.persistent = None;
        }
        state.active = state.persistent.clone();
        drop(state);
        self.derive();
    }

    /// Whether there is a place where a configuration outlives the machine's boots.
    fn keeps_state(&self) -> bool {
        self.platform.is_container() || self.installation.lock().is_installed()
    }

    /// Forgets the configuration that is on disk; the active one stays for as long as the machine is up.
    pub(super) fn forget_configuration(&self) {
        self.configuration.state.lock().persistent = None;
    }

    /// Whether the machine writes Talos to its disk in a sequence of its own.
    pub(super) fn needs_install(&self) -> bool {
        !self.keeps_state()
            && self
                .configuration
                .active()
                .is_some_and(|config| config.installs())
    }
}

impl Node {
    /// Lets the node's etcd member leave its cluster.
    pub(super) async fn leave_etcd(&self) {}
}
