//! Runs the phases of one sequence and tells the bus about it.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::Job;
use super::plan::{Phase, Sequence, phases};
use super::tasks::{self, TaskError};
use crate::node::Node;
use crate::node::events::payload::{Edge, Payload, SequenceFailure};
use crate::node::resources::specs::MachineStage;

/// How a sequence ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// It made room for another one, or could not start.
    Displaced,
    /// The machine restarts.
    Restart,
    /// The machine goes off.
    PowerOff,
    /// It failed; the machine cleans up and restarts.
    Failed,
}

pub(super) async fn run(node: &Arc<Node>, job: &Job, stop: &CancellationToken) -> Outcome {
    let teller = Teller { node, job };
    teller.started();
    go(&teller, 0, false, stop).await
}

/// Goes on with the last phase of a sequence, whose beginning is on the bus already.
pub(super) async fn resume(node: &Arc<Node>, job: &Job, stop: &CancellationToken) -> Outcome {
    let last = phases(job.sequence, &job.conditions).len().saturating_sub(1);
    go(&Teller { node, job }, last, true, stop).await
}

/// Runs the phases from `first` on, the first of them perhaps having `begun`.
async fn go(teller: &Teller<'_>, first: usize, begun: bool, stop: &CancellationToken) -> Outcome {
    let job = teller.job;
    let plan = phases(job.sequence, &job.conditions);
    for (index, phase) in plan.iter().enumerate().skip(first) {
        let begun = begun && index == first;
        if !begun {
            teller.phase(phase, Edge::Start);
        }
        let result = run_phase(teller, phase, begun, stop).await;
        teller.phase(phase, Edge::Stop);
        if let Err((task, error)) = result {
            let text = format!(
                "sequence failed: error running phase {} in {} sequence: task {task}/{}: failed, {error}",
                index + 1,
                job.sequence.as_str(),
                phase.tasks.len()
            );
            return teller.failed(&error, text);
        }
    }
    teller.done();
    Outcome::Done
}

/// Runs the tasks of a phase side by side; the first failure counts, with the number of its task.
async fn run_phase(
    teller: &Teller<'_>,
    phase: &Phase,
    begun: bool,
    stop: &CancellationToken,
) -> Result<(), (usize, TaskError)> {
    let running = phase.tasks.iter().map(|task| async move {
        if !begun {
            teller.task(task, Edge::Start);
        }
        let result = stop
            .run_until_cancelled(tasks::run(teller.node, task, teller.job))
            .await
            .unwrap_or(Err(TaskError::Canceled));
        teller.task(task, Edge::Stop);
        result
    });
    let results = join_all(running).await;
    results.into_iter().enumerate().try_for_each(|(index, result)| {
        let number = index + 1;
        result.map_err(|error| (number, error))
    })
}

/// Publishes the events of one run, and moves the stage of the machine along with them.
struct Teller<'a> {
    node: &'a Arc<Node>,
    job: &'a Job,
}

impl Teller<'_> {
    fn publish(&self, payload: Payload) {
        self.node.events.publish(&self.job.actor, payload);
    }

    fn started(&self) {
        self.publish(Payload::sequence(self.job.sequence.as_str(), Edge::Start));
        let stage = match self.job.sequence {
            Sequence::Initialize | Sequence::Boot => MachineStage::Booting,
            Sequence::Shutdown => MachineStage::ShuttingDown,
            Sequence::Upgrade | Sequence::StageUpgrade | Sequence::MaintenanceUpgrade => {
                MachineStage::Upgrading
            }
            Sequence::Reset => MachineStage::Resetting,
            Sequence::Reboot => MachineStage::Rebooting,
            Sequence::Install | Sequence::EmergencyVolumeCleanup => return,
        };
        self.node.enter(stage);
    }

    fn phase(&self, phase: &Phase, edge: Edge) {
        self.publish(Payload::phase(phase.name, edge));
        if edge == Edge::Stop {
            return;
        }
        match (self.job.sequence, phase.name) {
            (Sequence::Install, "install") => self.node.enter(MachineStage::Installing),
            (
                Sequence::Install | Sequence::Upgrade | Sequence::StageUpgrade | Sequence::MaintenanceUpgrade,
                "kexec",
            ) => self.node.enter(MachineStage::Rebooting),
            _ => {}
        }
    }

    fn task(&self, task: &str, edge: Edge) {
        self.publish(Payload::task(task, edge));
    }

    fn done(&self) {
        self.publish(Payload::sequence(self.job.sequence.as_str(), Edge::Stop));
        if self.job.sequence == Sequence::Boot {
            self.node.enter(MachineStage::Running);
        }
    }

    fn failed(&self, error: &TaskError, text: String) -> Outcome {
        let sequence = self.job.sequence.as_str();
        self.publish(Payload::sequence(sequence, Edge::Stop));
        let failure = match error {
            TaskError::Canceled => SequenceFailure::Canceled(text),
            _ => SequenceFailure::Fatal(text),
        };
        let fatal = matches!(failure, SequenceFailure::Fatal(_));
        self.publish(Payload::sequence_failed(sequence, failure));
        if fatal && self.node.stage() != MachineStage::ShuttingDown {
            self.node.enter(MachineStage::Rebooting);
        }
        match error {
            TaskError::Canceled => Outcome::Displaced,
            TaskError::Restart(_) => Outcome::Restart,
            TaskError::PowerOff => Outcome::PowerOff,
            TaskError::Failed(_) => Outcome::Failed,
        }
    }
}
