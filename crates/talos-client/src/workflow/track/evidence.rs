//! What events and looks tell about an action, without I/O.

use super::{Action, Goal, Seen, TrackStep};
use crate::{
    api::{
        events::{
            Event, EventPayload, MachineStage, PhaseAction, SequenceAction, SequenceFailureKind,
            UnmetCondition,
        },
        machine::ActorId,
    },
    error::{Error, Origin},
};

/// What is known so far.
#[derive(Debug)]
pub(super) struct Evidence {
    action: Action,
    goal: Goal,
    pub(super) seen: Seen,
    pub(super) actor: Option<ActorId>,
    /// The boot id before the action, if the role allows to read it.
    pub(super) boot_before: Option<String>,
    pub(super) boot_now: Option<String>,
    /// The node has said that it takes the action on.
    pub(super) accepted: bool,
    /// Our sequence has begun, as events say.
    started: bool,
    /// Services stop, or the stage is one of going down.
    going_down: bool,
    /// The kernel was told to end.
    halted: bool,
    /// Looks in a row that did not reach the node, and how many of them an endpoint made.
    misses: u32,
    misses_by_endpoint: u32,
    /// Looks in a row that have reached the node and shown no sign of the action.
    quiet: u32,
    percent: u8,
}

/// What an event leads to.
#[derive(Debug, PartialEq)]
pub(super) enum Told {
    /// Nothing but what was reported.
    Nothing,
    /// The node should be looked at.
    Look,
    /// The node did not begin.
    Busy(String),
    /// The action failed.
    Failed(SequenceFailureKind, String),
}

/// Looks that must fail in a row before a node counts as off. One may be bad luck.
const MISSES: u32 = 3;

/// So many looks in a row without any sign of it, and an action whose answer was lost counts as not begun. Looks count, not
/// time: a look that takes long tells of its beginning.
const PATIENCE: u32 = 5;

impl Evidence {
    pub(super) fn new(action: Action, goal: Goal) -> Self {
        let reachable = true;
        Self {
            action,
            goal,
            seen: Seen {
                reachable,
                ..Seen::default()
            },
            actor: None,
            boot_before: None,
            boot_now: None,
            accepted: false,
            started: false,
            going_down: false,
            halted: false,
            misses: 0,
            misses_by_endpoint: 0,
            quiet: 0,
            percent: 0,
        }
    }

    /// How far it is, by milestones.
    pub(super) fn percent(&mut self) -> u8 {
        let now = if self.seen.rebooted && self.seen.stage == Some(MachineStage::Running) {
            90
        } else if self.seen.rebooted {
            60
        } else if self.halted || self.misses > 0 && self.going_down {
            50
        } else if self.going_down {
            30
        } else if self.seen.begun {
            10
        } else {
            0
        };
        self.percent = self.percent.max(now);
        self.percent
    }

    /// The node has shown that it has begun.
    fn begun(&mut self) {
        self.seen.begun = true;
    }

    pub(super) fn accepted(&mut self, actor: Option<ActorId>) {
        self.accepted = true;
        self.actor = actor;
        self.begun();
    }

    /// Takes an event in, with what is to be reported about it.
    pub(super) fn event(&mut self, event: &Event, report: &mut impl FnMut(TrackStep)) -> Told {
        let ours = match (&self.actor, event.actor_id()) {
            (Some(actor), Some(id)) => actor.as_str() == id,
            // Whose it is shows only by its kind.
            (None, Some(_)) => true,
            // What a machine does by itself after it has booted.
            (_, None) => self.seen.rebooted,
        };
        match event.payload() {
            EventPayload::Sequence(sequence) => {
                if let Some(failure) = &sequence.failure {
                    return self.failure(&sequence.sequence, ours, failure.kind, &failure.message);
                }
                let boots = matches!(sequence.sequence.as_str(), "initialize" | "boot");
                if boots && event.actor_id().is_none() && self.boot_before.is_none() && self.seen.begun {
                    // Without a boot id this is the proof: the feed has begun after the last boot.
                    self.rebooted(report);
                }
                if !ours && !boots {
                    return Told::Nothing;
                }
                let over = match sequence.action {
                    SequenceAction::Start => false,
                    SequenceAction::Stop => true,
                    _ => return Told::Nothing,
                };
                if !over && self.action.starts(&sequence.sequence) {
                    self.started = true;
                    self.going_down |= self.action != Action::LegacyUpgrade;
                    self.begun();
                }
                report(TrackStep::Sequence {
                    name: sequence.sequence.clone(),
                    over,
                });
                Told::Nothing
            }
            EventPayload::Phase { phase, action } if ours => {
                if *action == PhaseAction::Start {
                    self.seen.phase = Some(phase.clone());
                }
                Told::Nothing
            }
            EventPayload::Task { task, action } if ours => {
                let over = match action {
                    PhaseAction::Start => false,
                    PhaseAction::Stop => true,
                    PhaseAction::Other(_) => return Told::Nothing,
                };
                self.seen.task = Some(task.clone());
                if task == "stopAllServices" && self.started {
                    self.going_down = true;
                }
                report(TrackStep::Task {
                    name: task.clone(),
                    phase: self.seen.phase.clone(),
                    over,
                });
                Told::Nothing
            }
            EventPayload::MachineStatus(status) => {
                self.status(status.stage, status.ready, &status.unmet_conditions, report);
                if status.stage == MachineStage::Running && status.ready {
                    Told::Look
                } else {
                    Told::Nothing
                }
            }
            EventPayload::Restart(_) => {
                self.halted = self.seen.begun;
                self.going_down |= self.seen.begun;
                Told::Nothing
            }
            _ => Told::Nothing,
        }
    }

    fn failure(&mut self, sequence: &str, ours: bool, kind: SequenceFailureKind, message: &str) -> Told {
        if !self.action.starts(sequence) || self.seen.rebooted {
            return Told::Nothing;
        }
        match kind {
            // Nobody is named in it, so it is ours only if ours has not begun.
            SequenceFailureKind::Locked if self.accepted && !self.started => Told::Busy(message.to_owned()),
            SequenceFailureKind::Locked => Told::Nothing,
            // A machine that goes down ends its sequence so, too.
            SequenceFailureKind::Fatal if message.contains("unix.Reboot(") => {
                self.halted = true;
                Told::Nothing
            }
            kind if ours => Told::Failed(kind, message.to_owned()),
            _ => Told::Nothing,
        }
    }

    /// Takes in what the machine says about itself, in an event or when asked.
    pub(super) fn status(
        &mut self,
        stage: MachineStage,
        ready: bool,
        unmet: &[UnmetCondition],
        report: &mut impl FnMut(TrackStep),
    ) {
        let down = matches!(
            stage,
            MachineStage::Rebooting
                | MachineStage::ShuttingDown
                | MachineStage::Resetting
                | MachineStage::Upgrading
        );
        if down && !self.seen.rebooted {
            self.begun();
            self.going_down = true;
        }
        let seen = &mut self.seen;
        if seen.stage == Some(stage) && seen.ready == ready && seen.unmet == unmet {
            return;
        }
        seen.stage = Some(stage);
        seen.ready = ready;
        seen.unmet = unmet.to_vec();
        report(TrackStep::Stage {
            stage,
            ready,
            unmet: unmet.to_vec(),
        });
    }

    fn rebooted(&mut self, report: &mut impl FnMut(TrackStep)) {
        if !self.seen.rebooted {
            self.seen.rebooted = true;
            self.begun();
            // What was seen was of the boot before.
            self.seen.stage = None;
            self.seen.ready = false;
            self.seen.unmet.clear();
            report(TrackStep::Rebooted);
        }
    }

    /// Takes in that a look has reached the node, with its boot id, if it may be read.
    pub(super) fn reached(&mut self, boot: Option<String>, report: &mut impl FnMut(TrackStep)) {
        self.misses = 0;
        self.misses_by_endpoint = 0;
        if !std::mem::replace(&mut self.seen.reachable, true) {
            report(TrackStep::Reachable);
        }
        if let (Some(before), Some(now)) = (&self.boot_before, &boot)
            && before != now
        {
            self.rebooted(report);
        }
        self.boot_now = boot;
        self.quiet += 1;
    }

    /// Takes in that a look has failed.
    pub(super) fn missed(&mut self, failure: Error, report: &mut impl FnMut(TrackStep)) {
        self.misses += 1;
        self.quiet = 0;
        if failure.origin() == Origin::Endpoint {
            self.misses_by_endpoint += 1;
        }
        self.seen.failure = Some(failure);
        if std::mem::replace(&mut self.seen.reachable, false) {
            report(TrackStep::Unreachable);
        }
    }

    /// Whether the node is as it should be.
    pub(super) fn is_over(&self) -> bool {
        let seen = &self.seen;
        match self.goal {
            Goal::Back => self.runs_again(),
            Goal::BackOrMaintenance => {
                self.runs_again() || seen.rebooted && seen.stage == Some(MachineStage::Maintenance)
            }
            Goal::Off => {
                let gone = if self.going_down || self.halted || self.accepted {
                    self.misses
                } else {
                    // Only a machine that can be reached itself tells a node that is off from a network that is.
                    self.misses_by_endpoint
                };
                gone >= MISSES || seen.rebooted
            }
        }
    }

    fn runs_again(&self) -> bool {
        self.seen.rebooted
            && self.seen.reachable
            && self.seen.stage == Some(MachineStage::Running)
            && self.seen.ready
    }

    /// Whether the node has run for a while as if nothing had been asked of it.
    pub(super) fn shows_nothing(&self) -> bool {
        !self.seen.begun && self.quiet >= PATIENCE
    }

    /// Whether it may be worth a look whether the node waits for a configuration.
    pub(super) fn may_be_in_maintenance(&self) -> bool {
        self.goal == Goal::BackOrMaintenance && !self.seen.reachable
    }
}

#[cfg(test)]
mod tests {
    use talos_proto::{common, machine as proto};

    use super::*;

    fn event(actor: &str, name: &str, message: &impl prost::Message) -> Event {
        Event::new(proto::Event {
            metadata: None,
            data: Some(prost_types::Any {
                type_url: format!("talos/runtime/machine.{name}"),
                value: message.encode_to_vec(),
            }),
            id: String::new(),
            actor_id: actor.to_owned(),
        })
    }

    fn sequence(actor: &str, name: &str, action: i32, failure: Option<(i32, &str)>) -> Event {
        let error = failure.map(|(code, message)| common::Error {
            code,
            message: message.to_owned(),
            details: Vec::new(),
        });
        let message = proto::SequenceEvent {
            sequence: name.to_owned(),
            action,
            error,
        };
        event(actor, "SequenceEvent", &message)
    }

    fn status(stage: i32, ready: bool) -> Event {
        let message = proto::MachineStatusEvent {
            stage,
            status: Some(proto::machine_status_event::MachineStatus {
                ready,
                unmet_conditions: Vec::new(),
            }),
        };
        event("", "MachineStatusEvent", &message)
    }

    fn accepted(action: Action, goal: Goal) -> Evidence {
        let mut evidence = Evidence::new(action, goal);
        evidence.boot_before = Some("one".to_owned());
        evidence.accepted(actor("me"));
        evidence
    }

    fn actor(id: &str) -> Option<ActorId> {
        crate::api::machine::Accepted::new(id.to_owned()).actor_id
    }

    fn tell(evidence: &mut Evidence, event: &Event) -> Told {
        evidence.event(event, &mut |_| {})
    }

    fn failure(origin: Origin) -> Error {
        Error::new(crate::ErrorKind::Unavailable, origin)
    }

    #[test]
    fn running_and_ready_count_only_in_another_boot() {
        let mut evidence = accepted(Action::Reboot, Goal::Back);
        assert_eq!(tell(&mut evidence, &status(4, true)), Told::Look);
        evidence.reached(Some("one".to_owned()), &mut |_| {});
        assert!(!evidence.is_over(), "the old boot");
        evidence.missed(failure(Origin::Local), &mut |_| {});
        evidence.reached(Some("two".to_owned()), &mut |_| {});
        assert!(!evidence.is_over(), "the stage was that of the old boot");
        tell(&mut evidence, &status(4, false));
        assert!(!evidence.is_over(), "not ready");
        tell(&mut evidence, &status(4, true));
        assert!(evidence.is_over());
        assert_eq!(evidence.percent(), 90);
    }

    #[test]
    fn without_a_boot_id_the_events_of_the_new_boot_are_the_proof() {
        let mut evidence = accepted(Action::Reboot, Goal::Back);
        evidence.boot_before = None;
        tell(&mut evidence, &sequence("", "initialize", 1, None));
        tell(&mut evidence, &status(4, true));
        assert!(evidence.is_over());
    }

    #[test]
    fn a_sequence_that_is_locked_is_ours_only_if_ours_has_not_begun() {
        let locked = sequence("", "reboot", 0, Some((1, "sequence not started: locked")));
        let mut evidence = accepted(Action::Reboot, Goal::Back);
        let other = sequence("", "upgrade", 0, Some((1, "locked")));
        assert_eq!(tell(&mut evidence, &other), Told::Nothing);
        assert!(matches!(tell(&mut evidence, &locked), Told::Busy(_)));
        let mut evidence = accepted(Action::Reboot, Goal::Back);
        tell(&mut evidence, &sequence("me", "reboot", 1, None));
        assert_eq!(tell(&mut evidence, &locked), Told::Nothing);
    }

    #[test]
    fn the_end_of_a_machine_is_no_failure_and_other_failures_are() {
        let mut evidence = accepted(Action::Reset, Goal::Off);
        let end = sequence(
            "me",
            "reset",
            0,
            Some((0, "task 1/1: failed, unix.Reboot(4321fedc)")),
        );
        assert_eq!(tell(&mut evidence, &end), Told::Nothing);
        let broken = sequence("me", "reset", 0, Some((0, "no such disk")));
        assert!(matches!(
            tell(&mut evidence, &broken),
            Told::Failed(SequenceFailureKind::Fatal, _)
        ));
        let foreign = sequence("other", "reset", 0, Some((0, "no such disk")));
        assert_eq!(tell(&mut evidence, &foreign), Told::Nothing);
    }

    #[test]
    fn an_action_without_an_answer_has_not_begun_when_many_looks_in_a_row_show_nothing() {
        let mut doubted = Evidence::new(Action::Reboot, Goal::Back);
        doubted.boot_before = Some("one".to_owned());
        let quiet = |evidence: &mut Evidence| evidence.reached(Some("one".to_owned()), &mut |_| {});
        for _ in 1..PATIENCE {
            quiet(&mut doubted);
        }
        assert!(!doubted.shows_nothing(), "one look is missing");
        doubted.missed(failure(Origin::Local), &mut |_| {});
        quiet(&mut doubted);
        assert!(!doubted.shows_nothing(), "it may have been on its way down");
        for _ in 1..PATIENCE {
            quiet(&mut doubted);
        }
        assert!(doubted.shows_nothing());
        tell(&mut doubted, &sequence("somebody", "reboot", 1, None));
        assert!(!doubted.shows_nothing(), "it has begun");
    }

    #[test]
    fn a_node_is_off_when_it_was_told_to_and_cannot_be_reached_for_a_while() {
        let mut evidence = accepted(Action::Shutdown, Goal::Off);
        for _ in 0..2 {
            evidence.missed(failure(Origin::Local), &mut |_| {});
        }
        assert!(!evidence.is_over(), "bad luck");
        evidence.missed(failure(Origin::Local), &mut |_| {});
        assert!(evidence.is_over());

        let mut doubted = Evidence::new(Action::Shutdown, Goal::Off);
        for _ in 0..9 {
            doubted.missed(failure(Origin::Local), &mut |_| {});
        }
        assert!(!doubted.is_over(), "the network may be away");
        for _ in 0..3 {
            doubted.missed(failure(Origin::Endpoint), &mut |_| {});
        }
        assert!(doubted.is_over());
    }
}
