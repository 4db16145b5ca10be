//! What the core is tested in: attempts and connections without a network, and time without a clock.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::LONGEST;
use crate::pool::backoff::Backoff;
use crate::pool::endpoint_state::{Attempt, Phase};
use crate::pool::pick::{Pick, PickPolicy};
use crate::pool::round::ROUND_WIDTH;
use crate::pool::state::{Command, Core, IN_USE, Id};

/// Everything outside the core: attempts that are under way, connections that are open, calls on them.
pub(super) struct World {
    pub(super) core: Core,
    pub(super) now: Instant,
    pub(super) pending: Vec<(Id, Attempt)>,
    pub(super) open: Vec<(Id, Attempt)>,
    pub(super) calls: Vec<(Id, Attempt)>,
    pub(super) ids: Vec<Id>,
    pub(super) failed_rounds: Vec<u64>,
    /// How many events passed since everything was checked.
    unchecked: usize,
}

impl World {
    pub(super) fn new(policy: PickPolicy, endpoints: u64) -> Self {
        let mut world = Self {
            core: Core::new(policy, Backoff::new(Duration::from_secs(1), LONGEST, 1)),
            now: Instant::now(),
            pending: Vec::new(),
            open: Vec::new(),
            calls: Vec::new(),
            ids: Vec::new(),
            failed_rounds: Vec::new(),
            unchecked: 0,
        };
        world.replace((0..endpoints).map(Id).collect());
        world
    }

    pub(super) fn replace(&mut self, ids: Vec<Id>) {
        self.core.replace(&ids, self.now);
        self.ids = ids;
        self.settle();
    }

    /// Carries out what the core asks for, and checks that it makes sense.
    pub(super) fn settle(&mut self) {
        let effects = self.core.take_effects();
        for command in effects.commands {
            match command {
                Command::Dial(id, attempt) => {
                    assert!(
                        self.pending.iter().all(|(other, _)| *other != id),
                        "{id:?} is dialled twice"
                    );
                    assert!(
                        self.open.iter().all(|(other, _)| *other != id),
                        "{id:?} is connected"
                    );
                    self.pending.push((id, attempt));
                }
                Command::Cancel(id, attempt) => take(&mut self.pending, (id, attempt)),
                Command::Drop(id, attempt) => take(&mut self.open, (id, attempt)),
                Command::Forget(id) => {
                    let all = self.pending.iter().chain(&self.open);
                    assert!(
                        all.into_iter().all(|(other, _)| *other != id),
                        "{id:?} left something behind"
                    );
                }
                Command::RoundFailed(round) => self.failed_rounds.push(round),
            }
        }
        // Going through thousands of endpoints each time would take too long.
        self.unchecked += 1;
        if self.unchecked * 20 >= self.ids.len() {
            self.unchecked = 0;
            self.check();
        }
    }

    /// What holds at every moment.
    fn check(&self) {
        let core = &self.core;
        assert_eq!(core.slots.len(), self.ids.len());
        let dialling: BTreeSet<Id> = self.pending.iter().map(|(id, _)| *id).collect();
        let open: BTreeSet<Id> = self.open.iter().map(|(id, _)| *id).collect();
        assert_eq!(core.dialling, dialling);
        assert_eq!(core.ready.iter().copied().collect::<BTreeSet<_>>(), open);
        assert_eq!(core.ready.len(), open.len());
        assert_eq!(
            core.idle.len() + core.ejected.len() + core.ready.len() + core.dialling.len(),
            core.slots.len()
        );
        for (_, id) in &core.idle {
            assert_eq!(core.endpoint(*id).unwrap().phase(), Phase::Idle);
        }
        for (at, id) in &core.ejected {
            assert_eq!(core.endpoint(*id).unwrap().phase(), Phase::Ejected { until: *at });
            assert!(*at <= self.now + LONGEST * 6 / 5, "{id:?} is out for too long");
        }
        assert!(core.dialling.len() <= ROUND_WIDTH);
        assert!(core.current.is_none_or(|id| core.slots.contains_key(&id)));
        assert!(core.wanted.len() <= core.slots.len());
    }

    pub(super) fn pick(&mut self, avoid: &[Id], waited: Option<u64>, patient: bool) -> Pick {
        let wanted = self.core.ready.iter().any(|id| !avoid.contains(id));
        let any = !self.core.ready.is_empty();
        let pick = self.core.pick(avoid, waited, patient, self.now);
        match pick {
            Pick::Use(id, attempt) => {
                assert!(self.open.contains(&(id, attempt)));
                assert!(!wanted || !avoid.contains(&id), "a better endpoint was connected");
                self.calls.push((id, attempt));
            }
            Pick::Wait { round } => {
                assert!(!wanted && (patient || !any), "a connected endpoint was not used");
                assert!(self.core.failed_round < round && self.core.fruitless_round < round);
            }
            Pick::Failed => assert!(!any),
        }
        self.settle();
        if matches!(pick, Pick::Wait { .. }) {
            let due = self.core.next_wakeup(self.now);
            assert!(
                !self.pending.is_empty() || due.is_some(),
                "a call waits for nothing"
            );
        }
        pick
    }

    pub(super) fn finish(&mut self, nth: usize, outcome: Outcome) {
        let Some((id, attempt)) = nth_of(&self.pending, nth) else {
            return;
        };
        take(&mut self.pending, (id, attempt));
        match outcome {
            Outcome::Connects => {
                self.open.push((id, attempt));
                assert!(self.core.connected(id, attempt, self.now));
            }
            Outcome::Fails => drop(self.core.failed(id, attempt, self.now)),
            Outcome::IsLost => drop(self.core.lost(id, attempt, self.now)),
        }
        self.settle();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        self.core.advance(self.now);
        self.settle();
    }

    /// Lets time pass until something is due.
    pub(super) fn pass_until_due(&mut self) -> bool {
        let Some(due) = self.core.next_wakeup(self.now) else {
            return false;
        };
        self.pass(due.saturating_duration_since(self.now));
        assert!(
            self.core.next_wakeup(self.now).is_none_or(|next| next > self.now),
            "what was due was not done"
        );
        true
    }

    pub(super) fn act(&mut self, event: &Event) {
        match *event {
            Event::Pick { avoid, patient } => {
                let avoid: Vec<Id> = self
                    .ids
                    .iter()
                    .copied()
                    .filter(|id| avoid >> (id.0 % 8) & 1 == 1)
                    .collect();
                self.pick(&avoid, None, patient);
            }
            Event::Finish(nth, outcome) => self.finish(nth, outcome),
            Event::Connection(nth, fate) => {
                let Some((id, attempt)) = nth_of(&self.open, nth) else {
                    return;
                };
                // Letting go of it is asked for by the core.
                match fate {
                    Fate::Retired => drop(self.core.retired(id, attempt, self.now)),
                    Fate::Broke => drop(self.core.broke(id, attempt, self.now)),
                    Fate::Ill => drop(self.core.ill(id, attempt, self.now)),
                    Fate::Answered => drop(self.core.answered(id, attempt)),
                }
                self.settle();
            }
            Event::EndCall(nth) => {
                if let Some(call) = nth_of(&self.calls, nth) {
                    take(&mut self.calls, call);
                    self.core.call_ended(call.0, self.now);
                    self.settle();
                }
            }
            Event::Pass(millis) => self.pass(Duration::from_millis(millis)),
            Event::Replace(mask) => {
                let highest = self.ids.iter().map(|id| id.0).max().unwrap_or(0);
                let mut ids: Vec<Id> = self
                    .ids
                    .iter()
                    .copied()
                    .filter(|id| mask >> (id.0 % 8) & 1 == 1)
                    .collect();
                ids.push(Id(highest + 1));
                self.replace(ids);
            }
            Event::Renew => {
                self.core.renewed(self.now);
                self.settle();
            }
            Event::WarmUp => {
                self.core.warm_up(self.now);
                self.settle();
            }
            Event::Stray(id, attempt, nth) => {
                let (id, attempt) = (Id(id), Attempt(1_000_000 + attempt));
                match nth % 7 {
                    0 => assert!(!self.core.connected(id, attempt, self.now)),
                    1 => assert_eq!(self.core.failed(id, attempt, self.now), None),
                    2 => assert_eq!(self.core.lost(id, attempt, self.now), None),
                    3 => assert!(!self.core.retired(id, attempt, self.now)),
                    4 => assert!(!self.core.broke(id, attempt, self.now)),
                    5 => assert!(!self.core.ill(id, attempt, self.now)),
                    _ => assert!(!self.core.answered(id, attempt)),
                }
                self.settle();
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Connects,
    Fails,
    IsLost,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Retired,
    Broke,
    Ill,
    Answered,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    Pick {
        avoid: u8,
        patient: bool,
    },
    Finish(usize, Outcome),
    Connection(usize, Fate),
    EndCall(usize),
    Pass(u64),
    Replace(u8),
    Renew,
    WarmUp,
    /// An event about an attempt that never was.
    Stray(u64, u64, usize),
}

pub(super) fn event() -> impl Strategy<Value = Event> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Connects),
        4 => Just(Outcome::Fails),
        1 => Just(Outcome::IsLost)
    ];
    let fate = prop_oneof![
        Just(Fate::Retired),
        Just(Fate::Broke),
        Just(Fate::Ill),
        Just(Fate::Answered)
    ];
    let time = prop_oneof![
        0_u64..300,
        0_u64..5_000,
        0_u64..100_000,
        Just(IN_USE.as_millis() as u64 + 1)
    ];
    prop_oneof![
        6 => (prop_oneof![Just(0), any::<u8>()], any::<bool>())
            .prop_map(|(avoid, patient)| Event::Pick { avoid, patient }),
        6 => (any::<usize>(), outcome).prop_map(|(nth, outcome)| Event::Finish(nth, outcome)),
        4 => (any::<usize>(), fate).prop_map(|(nth, fate)| Event::Connection(nth, fate)),
        2 => any::<usize>().prop_map(Event::EndCall),
        6 => time.prop_map(Event::Pass),
        1 => any::<u8>().prop_map(Event::Replace),
        1 => Just(Event::Renew),
        1 => Just(Event::WarmUp),
        1 => (0_u64..9, any::<u32>(), any::<usize>())
            .prop_map(|(id, attempt, nth)| Event::Stray(id, attempt.into(), nth)),
    ]
}

pub(super) fn policy() -> impl Strategy<Value = PickPolicy> {
    prop_oneof![Just(PickPolicy::StickyWithFailover), Just(PickPolicy::RoundRobin)]
}

fn nth_of<T: Copy>(items: &[T], nth: usize) -> Option<T> {
    items.get(nth % items.len().max(1)).copied()
}

fn take<T: PartialEq + std::fmt::Debug>(items: &mut Vec<T>, item: T) {
    let at = items.iter().position(|other| *other == item);
    items.swap_remove(at.unwrap_or_else(|| panic!("there is no {item:?} in {items:?}")));
}
