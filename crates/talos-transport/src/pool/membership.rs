//! Which endpoints there are, and what holds for all of them at once.

use std::collections::HashMap;
use std::time::Instant;

use super::endpoint_state::{Attempt, EndpointState, Phase};
use super::state::{Command, Core, Id, Slot, listed};

impl Core {
    /// Makes these the endpoints, to be tried in this order. Those that are there already keep their state.
    pub(crate) fn replace(&mut self, ids: &[Id], now: Instant) {
        let ranks: HashMap<Id, usize> = ids.iter().enumerate().map(|(rank, id)| (*id, rank)).collect();
        let gone: Vec<Id> = self
            .slots
            .keys()
            .filter(|id| !ranks.contains_key(id))
            .copied()
            .collect();
        // At once, and not one by one, each of which would go through all of them.
        self.ready.retain(|id| ranks.contains_key(id));
        self.wanted.retain(|id| ranks.contains_key(id));
        for id in gone {
            self.remove(id);
        }
        for (id, rank) in ranks {
            match self.slots.get_mut(&id) {
                Some(slot) => {
                    let before = std::mem::replace(&mut slot.rank, rank);
                    if self.idle.remove(&(before, id)) {
                        self.idle.insert((rank, id));
                    }
                }
                None => {
                    let state = EndpointState::new(now);
                    self.slots.insert(
                        id,
                        Slot {
                            state,
                            rank,
                            tried: 0,
                        },
                    );
                    self.idle.insert((rank, id));
                }
            }
        }
        if let Some(round) = &mut self.round {
            round.next_at = now;
        }
        self.conclude_round();
        self.effects.changed = true;
        self.effects.wake = true;
    }

    fn remove(&mut self, id: Id) {
        let Some(slot) = self.slots.remove(&id) else {
            return;
        };
        self.unlist(id, slot.rank, &listed(&slot.state));
        if let Some(attempt) = slot.state.dialling() {
            self.command(Command::Cancel(id, attempt));
        }
        if let Some(attempt) = slot.state.connection() {
            self.command(Command::Drop(id, attempt));
        }
        if self.current == Some(id) {
            self.current = None;
        }
        self.command(Command::Forget(id));
    }

    /// What attempts are made with has changed: those under way are of no use, and what failed may succeed now.
    pub(crate) fn renewed(&mut self, now: Instant) {
        let affected: Vec<(Id, Option<Attempt>)> = self
            .slots
            .iter()
            .filter(|(_, slot)| !matches!(slot.state.phase(), Phase::Idle | Phase::Ready { .. }))
            .map(|(id, slot)| (*id, slot.state.dialling()))
            .collect();
        for (id, attempt) in affected {
            if let Some(attempt) = attempt {
                self.change(id, |state| state.given_up(attempt, now));
                self.command(Command::Cancel(id, attempt));
            }
            self.change(id, |state| {
                state.pardoned(now);
                true
            });
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.tried = 0;
            }
        }
        if let Some(round) = &mut self.round {
            round.next_at = now;
        }
        self.effects.wake = true;
    }
}
