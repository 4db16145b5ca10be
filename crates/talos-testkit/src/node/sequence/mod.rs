//! Sequences: what a machine does step by step, at most one at a time.

pub(crate) mod plan;
mod runner;
pub(crate) mod services;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Node;
use super::events::payload::{Payload, SequenceFailure};
use crate::sync::Guarded;
use plan::{Conditions, Sequence};
pub(crate) use runner::Outcome;

/// How long a newcomer waits for the sequence it displaces.
const TAKEOVER_TIMEOUT: Duration = Duration::from_secs(60);

/// One run of a sequence.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) sequence: Sequence,
    pub(crate) conditions: Conditions,
    /// Marks the events of the run; empty if no action asked for it.
    pub(crate) actor: String,
    /// Takes over from whatever runs.
    pub(crate) force: bool,
    pub(crate) intent: Intent,
}

/// What a sequence is to change, beyond what its phases say.
#[derive(Debug, Clone, Default)]
pub(crate) enum Intent {
    #[default]
    Nothing,
    /// Restart without kexec.
    PowerCycle,
    /// Run this release from the next boot on; `powercycle` as above.
    Upgrade {
        tag: String,
        powercycle: bool,
    },
    Reset(ResetIntent),
}

/// What a reset wipes.
#[derive(Debug, Clone, Default)]
pub(crate) struct ResetIntent {
    /// Labels of system volumes.
    pub(crate) volumes: Vec<String>,
    /// Paths of disks.
    pub(crate) user_disks: Vec<String>,
}

impl Job {
    pub(crate) fn new(sequence: Sequence, conditions: Conditions) -> Self {
        Self {
            sequence,
            conditions,
            actor: String::new(),
            force: false,
            intent: Intent::Nothing,
        }
    }
}

/// Keeps sequences from running side by side.
#[derive(Debug, Default)]
pub(crate) struct Sequencer {
    slot: Guarded<Option<Slot>>,
    turns: Guarded<u64>,
    /// Cancelled when the power is cut: whatever the machine was doing ends there and then.
    mains: Guarded<CancellationToken>,
    /// Tasks that may not go on yet.
    held: watch::Sender<BTreeSet<String>>,
    /// Tasks that are to fail once, and how.
    failures: Guarded<BTreeMap<String, String>>,
}

#[derive(Debug)]
struct Slot {
    turn: u64,
    sequence: Sequence,
    stop: CancellationToken,
    done: CancellationToken,
}

/// The right to run a sequence, given back on drop.
#[derive(Debug)]
struct Claim {
    node: Arc<Node>,
    turn: u64,
    stop: CancellationToken,
    done: CancellationToken,
    /// The end of the sequence that has to make room.
    displaced: Option<CancellationToken>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut slot = self.node.sequencer.slot.lock();
        if slot.as_ref().is_some_and(|slot| slot.turn == self.turn) {
            *slot = None;
        }
        drop(slot);
        self.done.cancel();
    }
}

impl Sequencer {
    /// What runs right now.
    pub(crate) fn running(&self) -> Option<Sequence> {
        self.slot.lock().as_ref().map(|slot| slot.sequence)
    }

    /// Cuts the power: what runs ends without a word. Says whether anything ran.
    pub(crate) fn cut_power(&self) -> bool {
        let mut mains = self.mains.lock();
        mains.cancel();
        *mains = CancellationToken::new();
        drop(mains);
        self.slot.lock().is_some()
    }

    pub(crate) fn mains(&self) -> CancellationToken {
        self.mains.lock().clone()
    }

    /// Lets the task called `name` wait before it does its work.
    pub(crate) fn hold(&self, name: &str) {
        self.held.send_modify(|held| {
            held.insert(name.to_owned());
        });
    }

    /// Lets a held task go on.
    pub(crate) fn release(&self, name: &str) {
        self.held.send_modify(|held| {
            held.remove(name);
        });
    }

    async fn until_released(&self, name: &str) {
        // The sender lives as long as `self`, so that waiting cannot fail.
        let _ = self.held.subscribe().wait_for(|held| !held.contains(name)).await;
    }

    /// Lets the next task called `name` fail with `error`.
    pub(crate) fn fail_next(&self, name: &str, error: &str) {
        self.failures.lock().insert(name.to_owned(), error.to_owned());
    }

    fn planned_failure(&self, name: &str) -> Option<String> {
        self.failures.lock().remove(name)
    }
}

impl Node {
    /// Starts a sequence, or says on the bus that another one is in the way.
    pub(crate) fn start_sequence(self: &Arc<Self>, job: Job) {
        let Some(claim) = self.claim(job.sequence, job.force) else {
            self.locked(job.sequence);
            return;
        };
        let node = Arc::clone(self);
        self.spawn(async move {
            let outcome = Self::run_claimed(&node, job, claim).await;
            Self::live(node, outcome).await;
        });
    }

    fn locked(&self, sequence: Sequence) {
        let failure = Payload::sequence_failed(sequence.as_str(), SequenceFailure::Locked);
        self.events.publish("", failure);
    }

    fn claim(self: &Arc<Self>, sequence: Sequence, force: bool) -> Option<Claim> {
        let turn = {
            let mut turns = self.sequencer.turns.lock();
            *turns += 1;
            *turns
        };
        let mut slot = self.sequencer.slot.lock();
        let displaced = match &*slot {
            None => None,
            Some(running) if force || running.sequence.yields_to(sequence) => {
                running.stop.cancel();
                Some(running.done.clone())
            }
            Some(_) => return None,
        };
        let claim = Claim {
            node: Arc::clone(self),
            turn,
            stop: CancellationToken::new(),
            done: CancellationToken::new(),
            displaced,
        };
        *slot = Some(Slot {
            turn,
            sequence,
            stop: claim.stop.clone(),
            done: claim.done.clone(),
        });
        Some(claim)
    }

    /// Runs a sequence that nothing asked for; the machine's own start.
    pub(super) async fn run_own(self: &Arc<Self>, job: Job) -> Outcome {
        match self.claim(job.sequence, job.force) {
            Some(claim) => Self::run_claimed(self, job, claim).await,
            None => {
                self.locked(job.sequence);
                Outcome::Displaced
            }
        }
    }

    async fn run_claimed(node: &Arc<Self>, job: Job, claim: Claim) -> Outcome {
        if let Some(displaced) = &claim.displaced {
            let gone = tokio::time::timeout(TAKEOVER_TIMEOUT, displaced.cancelled()).await;
            if gone.is_err() {
                return Outcome::Displaced;
            }
        }
        let outcome = runner::run(node, &job, &claim.stop).await;
        Self::finish(node, outcome, claim)
    }

    /// Goes on with a boot whose last phase has begun.
    pub(super) fn resume_boot(self: &Arc<Self>) {
        let Some(claim) = self.claim(Sequence::Boot, false) else {
            return;
        };
        let node = Arc::clone(self);
        self.spawn(async move {
            let job = Job::new(Sequence::Boot, node.conditions());
            let outcome = runner::resume(&node, &job, &claim.stop).await;
            let outcome = Self::finish(&node, outcome, claim);
            if outcome == Outcome::Done {
                node.settle().await;
            }
            Self::live(node, outcome).await;
        });
    }

    /// Goes on with the start of a machine that waits for its configuration.
    pub(super) fn resume_initialize(self: &Arc<Self>) {
        let Some(claim) = self.claim(Sequence::Initialize, false) else {
            return;
        };
        let node = Arc::clone(self);
        self.spawn(async move {
            let job = Job::new(Sequence::Initialize, node.conditions());
            let outcome = runner::resume(&node, &job, &claim.stop).await;
            let outcome = Self::finish(&node, outcome, claim);
            let outcome = node.boot_on(outcome).await;
            Self::live(node, outcome).await;
        });
    }

    fn finish(node: &Arc<Self>, outcome: Outcome, claim: Claim) -> Outcome {
        if matches!(outcome, Outcome::Restart | Outcome::PowerOff) {
            // Nothing may come in between the end of the sequence and the end of the machine.
            node.disconnect();
        }
        drop(claim);
        outcome
    }
}
