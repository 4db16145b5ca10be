//! When which endpoint is dialled: in rounds, for calls that wait; in the background, to come back or to be there.
//!
//! A round is a staggered race. Each endpoint has the field to itself for [`race::DELAY`], then the next is dialled
//! beside it, or at once if it failed. The round ends with the first connection; attempts that are still under way go on
//! and end as they end. It fails when every endpoint it could try has failed once. While it waits for the last of them,
//! those that failed are tried again when their time is over, as they are without a round.
//!
//! An attempt that was under way before the round and is refused is made again, so that no call fails because of what was
//! before it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::pick::PickPolicy;
use super::state::{Command, Core, Id};
use crate::race;

/// See the module.
#[derive(Debug)]
pub(crate) struct Round {
    pub(super) number: u64,
    began: Instant,
    /// When the next endpoint is dialled.
    pub(super) next_at: Instant,
    dialled: usize,
    /// Endpoints whose first attempt of this round is under way.
    pub(super) awaited: BTreeSet<Id>,
    /// Endpoints that the call that began the round tries last.
    avoid: Vec<Id>,
    /// Whether an attempt was lost and is made again.
    pub(super) lost: bool,
}

impl Core {
    /// The number of the round under way, which is begun if there is none.
    pub(super) fn join_round(&mut self, avoid: &[Id], now: Instant) -> u64 {
        if let Some(round) = &self.round {
            return round.number;
        }
        self.rounds += 1;
        self.round = Some(Round {
            number: self.rounds,
            began: now,
            next_at: now,
            dialled: 0,
            awaited: self.dialling.clone(),
            avoid: avoid.to_vec(),
            lost: false,
        });
        self.rounds
    }

    /// Asks for a connection to every endpoint.
    pub(crate) fn warm_up(&mut self, now: Instant) {
        self.used(now);
        self.wanted = self.idle.iter().map(|(_, id)| *id).collect();
        self.wanted.extend(self.ejected.iter().map(|(_, id)| *id));
        self.advance(now);
    }

    /// Does what is due.
    pub(crate) fn advance(&mut self, now: Instant) {
        self.advance_round(now);
        self.background(now);
        self.drop_spares(now);
    }

    /// When there will be something to do, if nothing happens before.
    pub(crate) fn next_wakeup(&self, now: Instant) -> Option<Instant> {
        let round = self.round.as_ref().and_then(|round| {
            let open = self.may_dial(round) && self.candidate(round).is_some();
            open.then_some(round.next_at)
        });
        let room = self.dialling.len() < BACKGROUND_DIALS;
        let probe = self.ejected.first().map(|(until, _)| *until);
        let probe = probe.filter(|until| room && self.in_use(now.max(*until)));
        let missing = room && self.in_use(now) && self.missing().is_some();
        let missing = (missing || room && !self.wanted.is_empty()).then_some(now);
        let spare = self.spares().map(|(_, until)| until).min();
        round.into_iter().chain(probe).chain(missing).chain(spare).min()
    }

    /// Whether an attempt that fails now says too little for the round: it was begun before there was one, and what it found
    /// then may have passed. Only those that fail quickly cost so little that they are made again.
    pub(super) fn is_outdated(&self, id: Id, now: Instant) -> bool {
        let round = self.round.as_ref();
        round.zip(self.endpoint(id)).is_some_and(|(round, state)| {
            let begun = state.since();
            begun < round.began && now.saturating_duration_since(begun) < REPEATED
        })
    }

    fn may_dial(&self, round: &Round) -> bool {
        self.dialling.len() < ROUND_WIDTH && round.dialled < ROUND_LIMIT
    }

    fn advance_round(&mut self, now: Instant) {
        while let Some(round) = self
            .round
            .as_ref()
            .filter(|round| now >= round.next_at && self.may_dial(round))
            && let Some(id) = self.candidate(round)
        {
            self.dial(id, now);
            if let Some(round) = &mut self.round {
                round.dialled += 1;
                round.next_at = now + race::DELAY;
            }
        }
        self.conclude_round();
    }

    /// Ends a round that has nothing left to try and nothing to wait for. If there is a connection, it was only to be
    /// avoided, and there is nothing better than it: that fails no call.
    pub(super) fn conclude_round(&mut self) {
        let Some(round) = &self.round else {
            return;
        };
        let exhausted = round.dialled >= ROUND_LIMIT || self.candidate(round).is_none();
        if round.awaited.is_empty() && exhausted {
            let number = round.number;
            self.round = None;
            if self.ready.is_empty() {
                self.failed_round = number;
                self.command(Command::RoundFailed(number));
            } else {
                self.fruitless_round = number;
            }
            self.wake();
        }
    }

    /// The endpoint a round dials next: the one that worked last, then idle ones, then ejected ones, first those that
    /// may come back soonest. While there is a connection, even one to be avoided, ejected endpoints are left alone.
    fn candidate(&self, round: &Round) -> Option<Id> {
        let untried = |id: &Id| self.slots.get(id).is_some_and(|slot| slot.tried != round.number);
        let is_idle = |id: &Id| {
            let rank = self.slots.get(id).map(|slot| slot.rank);
            rank.is_some_and(|rank| self.idle.contains(&(rank, *id)))
        };
        let welcome = |id: &Id| untried(id) && !round.avoid.contains(id);
        let sticky = self.policy == PickPolicy::StickyWithFailover;
        let current = self.current.filter(|_| sticky).filter(is_idle);
        let mut idle = current.into_iter().chain(self.idle.iter().map(|(_, id)| *id));
        if let Some(id) = idle.find(welcome) {
            return Some(id);
        }
        if !self.ready.is_empty() {
            return None;
        }
        let mut ejected = self.ejected.iter().map(|(_, id)| *id);
        ejected.find(welcome).or_else(|| {
            round
                .avoid
                .iter()
                .copied()
                .find(|id| untried(id) && self.may_be_dialled(*id))
        })
    }

    fn may_be_dialled(&self, id: Id) -> bool {
        self.endpoint(id)
            .is_some_and(|state| state.dialling().is_none() && state.connection().is_none())
    }

    /// Dials what is asked for, what round robin wants to have, and ejected endpoints whose time is over.
    pub(super) fn background(&mut self, now: Instant) {
        while self.dialling.len() < BACKGROUND_DIALS {
            let Some(id) = self.next_in_background(now) else {
                return;
            };
            self.dial(id, now);
        }
    }

    fn next_in_background(&mut self, now: Instant) -> Option<Id> {
        while let Some(id) = self.wanted.pop_front() {
            if self.may_be_dialled(id) {
                return Some(id);
            }
        }
        if !self.in_use(now) {
            return None;
        }
        self.missing().or_else(|| {
            let (until, id) = self.ejected.first()?;
            (*until <= now).then_some(*id)
        })
    }

    /// An idle endpoint that round robin wants connected. Before there is a connection calls wait, and their round
    /// decides.
    fn missing(&self) -> Option<Id> {
        let all = self.policy == PickPolicy::RoundRobin && !self.ready.is_empty();
        self.idle.first().filter(|_| all).map(|(_, id)| *id)
    }

    /// Sticky calls need one connection; others are let go when they have not been used for a while.
    fn drop_spares(&mut self, now: Instant) {
        let spares: Vec<Id> = self
            .spares()
            .filter(|(_, until)| *until <= now)
            .map(|(id, _)| id)
            .collect();
        for id in spares {
            if let Some(attempt) = self.endpoint(id).and_then(|state| state.connection()) {
                self.retired(id, attempt, now);
            }
        }
    }

    fn spares(&self) -> impl Iterator<Item = (Id, Instant)> + '_ {
        let connected: &[Id] = match self.policy {
            PickPolicy::StickyWithFailover => &self.ready,
            PickPolicy::RoundRobin => &[],
        };
        connected
            .iter()
            .filter(|id| Some(**id) != self.current)
            .filter_map(|id| Some((*id, self.endpoint(*id)?)))
            .filter(|(_, state)| state.in_flight() == 0)
            .map(|(id, state)| (id, state.last_used() + SPARE_LIFE))
    }
}

/// How many attempts a round has under way at most.
pub(super) const ROUND_WIDTH: usize = 16;
/// How many endpoints are tried at most before calls fail; the next round goes on with others.
pub(super) const ROUND_LIMIT: usize = 64;
/// How many attempts are under way at most when one is begun in the background.
pub(super) const BACKGROUND_DIALS: usize = 8;
/// An attempt that was begun before a round and failed within this time is made again for the round.
const REPEATED: Duration = Duration::from_secs(1);
/// How long a connection that sticky calls do not use is kept.
pub(super) const SPARE_LIFE: Duration = Duration::from_secs(60);
