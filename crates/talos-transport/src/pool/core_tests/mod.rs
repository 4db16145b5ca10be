//! The core in a simulated world: arbitrary events in arbitrary order, with a clock that is a number.

mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use self::world::{Event, Fate, Outcome, World, event, policy};
use super::endpoint_state::Phase;
use super::pick::{Pick, PickPolicy};
use super::round::{BACKGROUND_DIALS, ROUND_LIMIT, SPARE_LIFE};
use super::state::Id;
use crate::race;

const LONGEST: Duration = Duration::from_secs(30);

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
fn what_was_refused_before_a_call_is_tried_again_for_it() {
    for (taking, again) in [
        (Duration::from_millis(999), true),
        (Duration::from_secs(1), false),
    ] {
        let mut world = World::new(PickPolicy::StickyWithFailover, 1);
        let Pick::Wait { .. } = world.pick(&[], None, true) else {
            panic!()
        };
        world.finish(0, Outcome::Fails);
        assert!(world.pass_until_due());
        assert_eq!(world.pending.len(), 1, "the endpoint is probed");
        world.pass(Duration::from_millis(1));
        let Pick::Wait { round } = world.pick(&[], None, true) else {
            panic!()
        };
        world.pass(taking - Duration::from_millis(1));
        world.finish(0, Outcome::Fails);
        assert_eq!(world.pending.len(), usize::from(again), "after {taking:?}");
        if again {
            let waits = world.pick(&[], Some(round), true);
            assert_eq!(waits, Pick::Wait { round });
            world.finish(0, Outcome::Fails);
            assert_eq!(world.pending.len(), 0, "once is enough");
        }
        assert_eq!(world.pick(&[], Some(round), true), Pick::Failed);
    }
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
fn that_there_is_nothing_better_fails_no_call_once_what_there_was_is_gone() {
    // One is ejected, so there is nothing to try instead of the other.
    let mut world = World::new(PickPolicy::StickyWithFailover, 2);
    let Pick::Wait { round } = world.pick(&[], None, true) else {
        panic!()
    };
    world.finish(0, Outcome::Fails);
    world.finish(0, Outcome::Connects);
    let (id, _) = world.open[0];
    assert!(matches!(world.pick(&[id], None, true), Pick::Use(..)));
    world.act(&Event::Connection(0, Fate::Retired));
    // Who waited for the first round looks only now.
    assert!(matches!(world.pick(&[], Some(round), true), Pick::Wait { .. }));

    // One is tried instead of the other, and fails.
    let mut world = World::new(PickPolicy::StickyWithFailover, 2);
    world.pick(&[], None, true);
    world.finish(0, Outcome::Connects);
    let (id, _) = world.open[0];
    let Pick::Wait { round } = world.pick(&[id], None, true) else {
        panic!()
    };
    world.finish(0, Outcome::Fails);
    world.act(&Event::Connection(0, Fate::Retired));
    assert!(matches!(world.pick(&[id], Some(round), true), Pick::Wait { .. }));
    world.finish(0, Outcome::Fails);
    assert_eq!(world.pending.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [id]);
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

#[test]
fn a_round_of_many_black_holes_ends_although_some_may_come_back_meanwhile() {
    let mut world = World::new(PickPolicy::StickyWithFailover, 12);
    let Pick::Wait { round } = world.pick(&[], None, true) else {
        panic!()
    };
    let begin = world.now;
    let mut given_up = Vec::new();
    while world.failed_rounds.is_empty() {
        // Each attempt is over after ten seconds.
        let dialled: Vec<_> = world.pending.iter().map(|(id, _)| (*id, world.now)).collect();
        for (id, at) in dialled {
            if !given_up.iter().any(|(other, _)| *other == id) {
                given_up.push((id, at + Duration::from_secs(10)));
            }
        }
        world.pass(Duration::from_millis(50));
        while let Some(nth) = world
            .pending
            .iter()
            .position(|(id, _)| given_up.iter().any(|(other, at)| other == id && *at <= world.now))
        {
            given_up.retain(|(id, _)| *id != world.pending[nth].0);
            world.finish(nth, Outcome::Fails);
        }
        assert!(
            world.now < begin + Duration::from_secs(14),
            "the round does not end"
        );
    }
    assert_eq!(world.pick(&[], Some(round), true), Pick::Failed);
}
