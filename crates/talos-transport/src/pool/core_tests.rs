//! The core in a simulated world: arbitrary events in arbitrary order, with a clock that is a number.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::backoff::Backoff;
use super::endpoint_state::{Attempt, Phase};
use super::pick::{Pick, PickPolicy};
use super::round::{BACKGROUND_DIALS, ROUND_LIMIT, ROUND_WIDTH, SPARE_LIFE};
use super::state::{Command, Core, IN_USE, Id};
use crate::race;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(30);

/// Everything outside the core: attempts that are under way, connections that are open, calls on them.
struct World {
    core: Core,
    now: Instant,
    pending: Vec<(Id, Attempt)>,
    open: Vec<(Id, Attempt)>,
    calls: Vec<(Id, Attempt)>,
    ids: Vec<Id>,
    failed_rounds: Vec<u64>,
    woken: bool,
}

impl World {
    fn new(policy: PickPolicy, endpoints: u64) -> Self {
        let mut world = Self {
            core: Core::new(policy, Backoff::new(FIRST, LONGEST, 1)),
            now: Instant::now(),
            pending: Vec::new(),
            open: Vec::new(),
            calls: Vec::new(),
            ids: Vec::new(),
            failed_rounds: Vec::new(),
            woken: false,
        };
        world.replace((0..endpoints).map(Id).collect());
        world
    }

    fn replace(&mut self, ids: Vec<Id>) {
        self.core.replace(&ids, self.now);
        self.ids = ids;
        self.settle();
    }

    /// Carries out what the core asks for, and checks that it makes sense.
    fn settle(&mut self) {
        let effects = self.core.take_effects();
        self.woken |= effects.wake;
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
        self.check();
    }

    /// What holds at every moment.
    fn check(&self) {
        let core = &self.core;
        assert_eq!(core.slots.len(), self.ids.len());
        let dialling: BTreeSet<Id> = self.pending.iter().map(|(id, _)| *id).collect();
        let open: BTreeSet<Id> = self.open.iter().map(|(id, _)| *id).collect();
        assert_eq!(core.dialling, dialling.len());
        assert_eq!(core.ready.iter().copied().collect::<BTreeSet<_>>(), open);
        assert_eq!(core.ready.len(), open.len());
        assert_eq!(
            core.idle.len() + core.ejected.len() + core.ready.len() + core.dialling,
            core.slots.len()
        );
        for (_, id) in &core.idle {
            assert_eq!(core.endpoint(*id).unwrap().phase(), Phase::Idle);
        }
        for (at, id) in &core.ejected {
            assert_eq!(core.endpoint(*id).unwrap().phase(), Phase::Ejected { until: *at });
            assert!(*at <= self.now + LONGEST * 6 / 5, "{id:?} is out for too long");
        }
        assert!(core.dialling <= ROUND_WIDTH);
        assert!(core.current.is_none_or(|id| core.slots.contains_key(&id)));
        assert!(core.wanted.len() <= core.slots.len() + self.ids.len());
    }

    fn pick(&mut self, avoid: &[Id], waited: Option<u64>, patient: bool) -> Pick {
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
                assert!(!self.core.failed_round.gt(&round));
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

    fn finish(&mut self, nth: usize, outcome: Outcome) {
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

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.core.advance(self.now);
        self.settle();
    }

    /// Lets time pass until something is due.
    fn pass_until_due(&mut self) -> bool {
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

    fn act(&mut self, event: &Event) {
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
enum Outcome {
    Connects,
    Fails,
    IsLost,
}

#[derive(Debug, Clone, Copy)]
enum Fate {
    Retired,
    Broke,
    Ill,
    Answered,
}

#[derive(Debug, Clone)]
enum Event {
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

fn event() -> impl Strategy<Value = Event> {
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

fn policy() -> impl Strategy<Value = PickPolicy> {
    prop_oneof![Just(PickPolicy::StickyWithFailover), Just(PickPolicy::RoundRobin)]
}

fn history() -> impl Strategy<Value = (PickPolicy, u64, Vec<Event>)> {
    (policy(), 1_u64..12, prop::collection::vec(event(), 0..120))
}

fn after(policy: PickPolicy, endpoints: u64, events: &[Event]) -> World {
    let mut world = World::new(policy, endpoints);
    for event in events {
        world.act(event);
    }
    world
}

fn nth_of<T: Copy>(items: &[T], nth: usize) -> Option<T> {
    items.get(nth % items.len().max(1)).copied()
}

fn take<T: PartialEq + std::fmt::Debug>(items: &mut Vec<T>, item: T) {
    let at = items.iter().position(|other| *other == item);
    items.swap_remove(at.unwrap_or_else(|| panic!("there is no {item:?} in {items:?}")));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// The checks are in the world itself.
    #[test]
    fn no_order_of_events_breaks_the_rules((policy, endpoints, events) in history()) {
        after(policy, endpoints, &events);
    }

    #[test]
    fn every_endpoint_comes_back_once_it_answers((policy, endpoints, events) in history()) {
        let mut world = after(policy, endpoints, &events);
        let begin = world.now;
        // A call that stays keeps the channel in use.
        while !matches!(world.pick(&[], None, true), Pick::Use(..)) {
            match world.pending.len() {
                0 => assert!(world.pass_until_due()),
                _ => world.finish(0, Outcome::Connects),
            }
        }
        loop {
            while !world.pending.is_empty() {
                world.finish(0, Outcome::Connects);
            }
            if world.now > begin + LONGEST * 2 || !world.pass_until_due() {
                break;
            }
        }
        prop_assert!(world.core.ejected.is_empty(), "{:?}", world.core.ejected);
        if policy == PickPolicy::RoundRobin {
            prop_assert_eq!(world.open.len(), world.ids.len());
            let mut counts = std::collections::BTreeMap::new();
            for _ in 0..10 * world.ids.len() {
                let Pick::Use(id, _) = world.pick(&[], None, true) else { panic!("nothing to use") };
                *counts.entry(id).or_insert(0) += 1;
            }
            prop_assert_eq!(counts.len(), world.ids.len());
            prop_assert!(counts.values().all(|count| *count == 10), "{:?}", counts);
        } else {
            let Pick::Use(first, _) = world.pick(&[], None, true) else { panic!("nothing to use") };
            for _ in 0..10 {
                prop_assert!(matches!(world.pick(&[], None, true), Pick::Use(id, _) if id == first));
            }
        }
    }

    #[test]
    fn a_waiting_call_fails_only_after_everything_was_tried((policy, endpoints, events) in history()) {
        let mut world = after(policy, endpoints, &events);
        while let Some((id, attempt)) = world.open.first().copied() {
            world.core.retired(id, attempt, world.now);
            world.settle();
        }
        let mut tried: BTreeSet<Id> = world.pending.iter().map(|(id, _)| *id).collect();
        let mut waited = None;
        loop {
            match world.pick(&[], waited, true) {
                Pick::Use(..) => panic!("there is nothing to use"),
                Pick::Failed => break,
                Pick::Wait { round } => waited = Some(round),
            }
            tried.extend(world.pending.iter().map(|(id, _)| *id));
            if world.pending.is_empty() {
                prop_assert!(world.pass_until_due());
            }
            world.finish(0, Outcome::Fails);
            tried.extend(world.pending.iter().map(|(id, _)| *id));
        }
        // A round that was under way may have tried the others before the call came.
        for id in &world.ids {
            let state = world.core.endpoint(*id).unwrap();
            prop_assert!(tried.contains(id) || matches!(state.phase(), Phase::Ejected { .. }), "{:?}", id);
        }
    }

    #[test]
    fn an_unused_channel_comes_to_rest((policy, endpoints, events) in history()) {
        let mut world = after(policy, endpoints, &events);
        while !world.calls.is_empty() {
            world.act(&Event::EndCall(0));
        }
        for _ in 0..10_000 {
            while !world.pending.is_empty() {
                world.finish(0, Outcome::Fails);
            }
            if !world.pass_until_due() {
                break;
            }
        }
        prop_assert_eq!(world.core.next_wakeup(world.now), None);
        prop_assert!(world.pending.is_empty());
    }
}

#[test]
fn a_black_hole_delays_one_call_once() {
    let mut world = World::new(PickPolicy::StickyWithFailover, 3);
    let Pick::Wait { .. } = world.pick(&[], None, true) else {
        panic!()
    };
    assert_eq!(world.pending.len(), 1);
    world.pass(race::DELAY - Duration::from_millis(1));
    assert_eq!(world.pending.len(), 1);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.pending.len(), 2);
    world.finish(1, Outcome::Connects);
    let Pick::Use(used, attempt) = world.pick(&[], None, true) else {
        panic!()
    };
    // That one breaks as well: the hole is still being dialled, and does not count as an attempt of the next round.
    world.core.answered(used, attempt);
    world.core.broke(used, attempt, world.now);
    world.settle();
    let Pick::Wait { .. } = world.pick(&[], None, true) else {
        panic!()
    };
    assert_eq!(world.pending.last().unwrap().0, used);
    world.finish(1, Outcome::Fails);
    assert_eq!(world.pending.len(), 2, "the third is dialled at once");
}

#[test]
fn failures_lengthen_the_time_out_and_an_answer_ends_that() {
    let mut world = World::new(PickPolicy::RoundRobin, 2);
    let Pick::Wait { .. } = world.pick(&[], None, true) else {
        panic!()
    };
    let bad = world.pending[0].0;
    world.finish(0, Outcome::Fails);
    world.finish(0, Outcome::Connects);
    let Pick::Use(..) = world.pick(&[], None, true) else {
        panic!()
    };
    let mut last = Duration::ZERO;
    for _ in 0..5 {
        let Phase::Ejected { until } = world.core.endpoint(bad).unwrap().phase() else {
            panic!()
        };
        let time_out = until - world.now;
        assert!(time_out > last, "{time_out:?} after {last:?}");
        last = time_out;
        while world.pending.is_empty() {
            assert!(world.pass_until_due());
        }
        assert!(matches!(
            world.core.endpoint(bad).unwrap().phase(),
            Phase::Probing { .. }
        ));
        world.finish(0, Outcome::Fails);
    }
    assert!(world.pass_until_due());
    world.finish(0, Outcome::Connects);
    let (id, attempt) = *world.open.last().unwrap();
    assert_eq!(
        world.core.endpoint(id).unwrap().failures(),
        6,
        "connecting alone proves nothing"
    );
    world.core.answered(id, attempt);
    assert_eq!(world.core.endpoint(id).unwrap().failures(), 0);
}

#[test]
fn an_endpoint_that_connects_and_never_answers_is_ejected() {
    let mut world = World::new(PickPolicy::StickyWithFailover, 2);
    world.pick(&[], None, true);
    world.finish(0, Outcome::Connects);
    let Pick::Use(id, attempt) = world.pick(&[], None, true) else {
        panic!()
    };
    world.core.broke(id, attempt, world.now);
    world.settle();
    assert!(matches!(
        world.core.endpoint(id).unwrap().phase(),
        Phase::Ejected { .. }
    ));
    world.pick(&[], None, true);
    assert_ne!(world.pending[0].0, id);
}

#[test]
fn a_sick_endpoint_is_left_unless_it_is_the_only_one() {
    for (endpoints, leaves) in [(1, false), (2, true)] {
        let mut world = World::new(PickPolicy::StickyWithFailover, endpoints);
        world.pick(&[], None, true);
        world.finish(0, Outcome::Connects);
        let Pick::Use(id, attempt) = world.pick(&[], None, true) else {
            panic!()
        };
        assert_eq!(world.core.ill(id, attempt, world.now), leaves);
        world.settle();
        assert_eq!(world.open.is_empty(), leaves);
    }
}

#[test]
fn avoiding_makes_a_second_connection_that_ends_when_it_is_not_used() {
    let mut world = World::new(PickPolicy::StickyWithFailover, 3);
    world.pick(&[], None, true);
    world.finish(0, Outcome::Connects);
    let Pick::Use(first, _) = world.pick(&[], None, true) else {
        panic!()
    };
    let Pick::Wait { .. } = world.pick(&[first], None, true) else {
        panic!()
    };
    world.finish(0, Outcome::Connects);
    let Pick::Use(second, _) = world.pick(&[first], None, true) else {
        panic!()
    };
    assert_ne!(first, second);
    assert!(
        matches!(world.pick(&[], None, true), Pick::Use(id, _) if id == first),
        "still sticky"
    );
    world.pass(SPARE_LIFE * 2);
    assert_eq!(world.open.len(), 2, "a call is under way on each");
    while !world.calls.is_empty() {
        world.act(&Event::EndCall(0));
    }
    assert!(world.pass_until_due());
    assert_eq!(world.open.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [first]);
}

#[test]
fn nothing_ejected_is_waited_for_while_an_avoided_endpoint_is_connected() {
    let mut world = World::new(PickPolicy::StickyWithFailover, 2);
    world.pick(&[], None, true);
    world.finish(0, Outcome::Fails);
    world.finish(0, Outcome::Connects);
    let Pick::Use(id, _) = world.pick(&[], None, true) else {
        panic!()
    };
    assert!(matches!(world.pick(&[id], None, true), Pick::Use(used, _) if used == id));
}

#[test]
fn thousands_of_endpoints_are_tried_a_few_at_a_time() {
    let mut world = World::new(PickPolicy::RoundRobin, 5000);
    let Pick::Wait { round } = world.pick(&[], None, true) else {
        panic!()
    };
    let mut tried = 0;
    while world.failed_rounds.is_empty() {
        world.finish(0, Outcome::Fails);
        tried += 1;
    }
    assert_eq!((tried, world.failed_rounds[0]), (ROUND_LIMIT, round));
    assert_eq!(world.pick(&[], Some(round), true), Pick::Failed);
    // The next call goes on where this one ended.
    world.pick(&[], None, true);
    assert_eq!(world.core.ejected.len(), ROUND_LIMIT);
    world.finish(0, Outcome::Connects);
    assert_eq!(world.pending.len(), BACKGROUND_DIALS);
    while world.open.len() < 5000 - ROUND_LIMIT {
        world.finish(0, Outcome::Connects);
        assert!(world.pending.len() <= BACKGROUND_DIALS);
    }
}
