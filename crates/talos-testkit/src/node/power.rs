//! A machine goes down and comes up again.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::sequence::plan::{Conditions, Sequence};
use super::sequence::{Job, Outcome};
use super::{Node, boot};
use crate::clock::Moment;

/// What a machine is plugged into: its network socket, and the tasks of its cluster.
pub(crate) trait Host: fmt::Debug + Send + Sync {
    /// Closes the API: connections break, new ones are refused.
    fn disconnect(&self);
    /// Opens the API.
    fn connect(&self, api: ApiMode);
    /// Closes the API in good order: calls under way get `grace` to end.
    fn drain(&self, grace: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>>;
    /// Gives the machine a new server certificate, with these names in it beside the usual ones.
    fn certify(&self, names: Vec<String>);
    /// Runs a task that the shutdown of the cluster waits for.
    fn spawn(&self, task: Pin<Box<dyn Future<Output = ()> + Send>>);
}

/// Which API a machine offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ApiMode {
    /// Mutual TLS, roles from certificates.
    #[default]
    Secure,
    /// For a machine without configuration: a certificate that nobody knows, and none of clients.
    Maintenance,
}

/// How fast simulated machines are.
///
/// The default is meant for tests: a reboot takes a fraction of a second. All of it passes on Tokio's clock,
/// so that a test with paused time need not wait at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timings {
    /// How long a task of a sequence takes, give or take a quarter; steps of services take a quarter of it.
    /// Default: 2 ms.
    pub task: Duration,
    /// How long connections are refused while a machine restarts, besides what its sequences take.
    /// Default: 50 ms.
    pub downtime: Duration,
    /// How long a machine waits after a failed sequence before it restarts. Talos waits 10 s. Default:
    /// 100 ms.
    pub recovery: Duration,
    /// How long calls under way may go on when a machine leaves maintenance mode and closes that API. Talos
    /// gives them 10 s. Default: 100 ms.
    pub grace: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            task: Duration::from_millis(2),
            downtime: Duration::from_millis(50),
            recovery: Duration::from_millis(100),
            grace: Duration::from_millis(100),
        }
    }
}

impl Timings {
    /// Speeds in the order of those of real machines: half a second a task, half a minute of downtime. For
    /// tests with paused time.
    #[must_use]
    pub const fn realistic() -> Self {
        Self {
            task: Duration::from_millis(500),
            downtime: Duration::from_secs(30),
            recovery: Duration::from_secs(10),
            grace: Duration::from_secs(10),
        }
    }

    /// Sets [`Self::task`].
    #[must_use]
    pub const fn with_task(mut self, task: Duration) -> Self {
        self.task = task;
        self
    }

    /// Sets [`Self::downtime`].
    #[must_use]
    pub const fn with_downtime(mut self, downtime: Duration) -> Self {
        self.downtime = downtime;
        self
    }

    /// Sets [`Self::recovery`].
    #[must_use]
    pub const fn with_recovery(mut self, recovery: Duration) -> Self {
        self.recovery = recovery;
        self
    }

    /// Sets [`Self::grace`].
    #[must_use]
    pub const fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

/// What keeps a machine from being asked to go on where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum PowerState {
    /// Up, or on its way up or down.
    #[default]
    On,
    /// Off, in order or because the power was cut in the middle of a sequence; it has to boot.
    Off,
    /// Cut off while it just ran; it goes on when power is back, as if nothing had been.
    Suspended,
}

impl Node {
    /// Plugs the machine in. Done once, before anything happens.
    pub(crate) fn plug_in(&self, host: Box<dyn Host>) {
        let plugged = self.host.set(host);
        debug_assert!(plugged.is_ok(), "a machine is plugged in once");
    }

    /// Runs `task` until it ends or the power is cut.
    pub(crate) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let mains = self.sequencer.mains();
        if let Some(host) = self.host.get() {
            host.spawn(Box::pin(async move {
                mains.run_until_cancelled_owned(task).await;
            }));
        }
    }

    pub(super) fn disconnect(&self) {
        if let Some(host) = self.host.get() {
            host.disconnect();
        }
    }

    pub(super) fn connect(&self, api: ApiMode) {
        if let Some(host) = self.host.get() {
            host.connect(api);
        }
    }

    /// Closes the API in good order.
    pub(super) async fn drain(&self) {
        let grace = self.timings.lock().grace;
        if let Some(host) = self.host.get() {
            host.drain(grace).await;
        }
    }

    /// The API that the machine offers while it is up.
    pub(crate) fn api(&self) -> ApiMode {
        *self.api.lock()
    }

    pub(super) fn certify(&self, names: Vec<String>) {
        if let Some(host) = self.host.get() {
            host.certify(names);
        }
    }

    /// Lets the time of one task pass.
    pub(super) async fn tick(&self) {
        let task = self.timings.lock().task;
        self.pass(task).await;
    }

    /// Lets the time of one step of a service pass.
    pub(super) async fn short_tick(&self) {
        let task = self.timings.lock().task;
        self.pass(task / 4).await;
    }

    async fn pass(&self, time: Duration) {
        if time.is_zero() {
            tokio::task::yield_now().await;
            return;
        }
        let percent = u32::try_from(self.next_rng().one_to(50)).unwrap_or(25) + 75;
        tokio::time::sleep(time * percent / 100).await;
    }

    /// Goes on after a sequence that ended with `outcome`, until the machine rests: up or off.
    pub(super) async fn live(node: Arc<Self>, mut outcome: Outcome) {
        loop {
            outcome = match outcome {
                Outcome::Done | Outcome::Displaced => return,
                Outcome::PowerOff => {
                    *node.power_state.lock() = PowerState::Off;
                    node.events.wake();
                    return;
                }
                Outcome::Failed => {
                    let conditions = node.conditions();
                    let mut cleanup = Job::new(Sequence::EmergencyVolumeCleanup, conditions);
                    cleanup.force = true;
                    node.run_own(cleanup).await;
                    let recovery = node.timings.lock().recovery;
                    tokio::time::sleep(recovery).await;
                    Outcome::Restart
                }
                Outcome::Restart => {
                    node.disconnect();
                    let downtime = node.timings.lock().downtime;
                    tokio::time::sleep(downtime).await;
                    node.boot().await
                }
            };
        }
    }

    /// Comes up: everything the machine remembered in memory is gone.
    async fn boot(self: &Arc<Self>) -> Outcome {
        self.wake_up();
        let first = Job::new(Sequence::Initialize, self.conditions());
        let outcome = self.run_own(first).await;
        self.boot_on(outcome).await
    }

    /// What comes after the sequence `initialize`, which has ended with `outcome`.
    pub(super) async fn boot_on(self: &Arc<Self>, outcome: Outcome) -> Outcome {
        if outcome != Outcome::Done {
            return outcome;
        }
        self.synchronize_clock();
        for sequence in [Sequence::Install, Sequence::Boot] {
            let outcome = self.run_own(Job::new(sequence, self.conditions())).await;
            if outcome != Outcome::Done {
                return outcome;
            }
            if sequence == Sequence::Install
                && let Some(outcome) = self.install_unattended().await
            {
                return outcome;
            }
        }
        self.settle().await;
        Outcome::Done
    }

    /// Switches a machine on that is off: it boots in the background.
    pub(crate) fn start_boot(self: &Arc<Self>) {
        *self.power_state.lock() = PowerState::On;
        let node = Arc::clone(self);
        self.spawn(async move {
            let outcome = node.boot().await;
            Self::live(node, outcome).await;
        });
    }

    /// Cuts the power.
    pub(crate) fn cut_power(&self) {
        let was_busy = self.sequencer.cut_power();
        let mut state = self.power_state.lock();
        if *state == PowerState::On {
            *state = if was_busy {
                PowerState::Off
            } else {
                PowerState::Suspended
            };
        }
    }

    fn wake_up(&self) {
        let now = Moment::now();
        self.logs.clear();
        self.kernel.clear();
        self.events.restart();
        self.services.clear();
        *self.boot_id.lock() = self.next_rng().uuid();
        #[cfg(feature = "kubernetes")]
        {
            *self.cordoned.lock() = false;
        }
        let staged = self.take_staged_upgrade();
        let release = self.installation.lock().boot(staged);
        if let Some(tag) = release {
            self.version.lock().tag = tag;
        }
        self.load_persistent();
        self.conditions_of_boot();
        boot::write_kernel_log(self, now);
        self.restart_resources();
    }

    /// What the phases of a sequence of this machine depend on, as far as the machine knows.
    pub(crate) fn conditions(&self) -> Conditions {
        Conditions {
            container: self.platform.is_container(),
            needs_install: self.needs_install(),
            ..Conditions::default()
        }
    }
}
