//! The pool without connections, clock or tasks: what is known of the endpoints, and what is to be done.
//!
//! Events come in as functions that take the time; what they ask for is collected and taken out by
//! [`Core::take_effects`]. No event costs more than the logarithm of the number of endpoints, except replacing them.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use super::backoff::Backoff;
use super::endpoint_state::{Attempt, EndpointState, Phase};
use super::pick::PickPolicy;
use super::round::Round;

/// Names an endpoint of the pool. Never used twice, so that whatever is about a removed one is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(super) u64);

/// Something to be done about an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Begin this attempt to connect.
    Dial(Id, Attempt),
    /// Stop this attempt.
    Cancel(Id, Attempt),
    /// Let go of this connection; calls under way on it go on.
    Drop(Id, Attempt),
    /// The endpoint was removed; forget it.
    Forget(Id),
    /// This round ended without a connection.
    RoundFailed(u64),
}

/// What events have led to.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) commands: Vec<Command>,
    /// Calls that wait for a connection should look again.
    pub(crate) wake: bool,
    /// Some endpoint entered another phase.
    pub(crate) changed: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Core {
    pub(super) policy: PickPolicy,
    backoff: Backoff,
    pub(super) slots: HashMap<Id, Slot>,
    /// The idle endpoints, in the order to try them.
    pub(super) idle: BTreeSet<(usize, Id)>,
    /// The ejected endpoints, by when they may come back.
    pub(super) ejected: BTreeSet<(Instant, Id)>,
    /// The connected endpoints, in the order they connected.
    pub(super) ready: Vec<Id>,
    /// The endpoints with an attempt under way.
    pub(super) dialling: BTreeSet<Id>,
    /// The endpoint that sticky calls go to, and that is dialled first after its connection ended.
    pub(super) current: Option<Id>,
    /// Where the next turn of round robin begins.
    pub(super) turn: usize,
    pub(super) round: Option<Round>,
    pub(super) rounds: u64,
    /// The last round that left calls without a connection.
    pub(super) failed_round: u64,
    /// The last round that found nothing better than a connection to be avoided.
    pub(super) fruitless_round: u64,
    /// Endpoints to connect because somebody asked, whatever their state.
    pub(super) wanted: VecDeque<Id>,
    attempts: u64,
    in_flight: usize,
    last_used: Option<Instant>,
    pub(super) effects: Effects,
}

/// An endpoint and what the pool notes about it.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) state: EndpointState,
    /// Its place in the order to try idle endpoints.
    pub(super) rank: usize,
    /// The last round it was tried in.
    pub(super) tried: u64,
}

/// Where an endpoint is listed.
#[derive(PartialEq)]
pub(super) enum Listed {
    Idle,
    Ejected(Instant),
    Ready,
    Dialling,
}

impl Core {
    pub(crate) fn new(policy: PickPolicy, backoff: Backoff) -> Self {
        Self {
            policy,
            backoff,
            slots: HashMap::new(),
            idle: BTreeSet::new(),
            ejected: BTreeSet::new(),
            ready: Vec::new(),
            dialling: BTreeSet::new(),
            current: None,
            turn: 0,
            round: None,
            rounds: 0,
            failed_round: 0,
            fruitless_round: 0,
            wanted: VecDeque::new(),
            attempts: 0,
            in_flight: 0,
            last_used: None,
            effects: Effects::default(),
        }
    }

    pub(crate) fn take_effects(&mut self) -> Effects {
        std::mem::take(&mut self.effects)
    }

    pub(crate) fn endpoint(&self, id: Id) -> Option<&EndpointState> {
        self.slots.get(&id).map(|slot| &slot.state)
    }

    pub(super) fn is_ready(&self, id: Id) -> bool {
        self.endpoint(id)
            .is_some_and(|state| state.connection().is_some())
    }

    /// Begins an attempt, unless the endpoint is connected or being connected.
    pub(super) fn dial(&mut self, id: Id, now: Instant) -> bool {
        self.attempts += 1;
        let attempt = Attempt(self.attempts);
        let begun = self.change(id, |state| state.dial(attempt, now));
        if begun {
            self.command(Command::Dial(id, attempt));
            if let Some(round) = &mut self.round
                && let Some(slot) = self.slots.get_mut(&id)
                && slot.tried != round.number
            {
                slot.tried = round.number;
                round.awaited.insert(id);
            }
        }
        begun
    }

    /// An attempt succeeded. Says whether the connection is wanted.
    pub(crate) fn connected(&mut self, id: Id, attempt: Attempt, now: Instant) -> bool {
        let wanted = self.change(id, |state| state.connected(attempt, now));
        if wanted {
            self.round = None;
            self.effects.wake = true;
            if !self.current.is_some_and(|id| self.is_ready(id)) {
                self.current = Some(id);
            }
            self.background(now);
        }
        wanted
    }

    /// An attempt failed. Returns the round the failure belongs to.
    pub(crate) fn failed(&mut self, id: Id, attempt: Attempt, now: Instant) -> Option<u64> {
        let time_out = self.time_out(id);
        let outdated = self.is_outdated(id, now);
        if !self.change(id, |state| state.failed(attempt, now, time_out)) {
            return None;
        }
        self.tried(id, outdated, now)
    }

    /// An attempt came to nothing because what ran it is gone. A round tries once again what was lost in this way; if it
    /// was, there is no failure, else it belongs to the round returned.
    ///
    /// Dials nothing, for there may be nothing to dial with; [`advance`](Self::advance) does.
    pub(crate) fn lost(&mut self, id: Id, attempt: Attempt, now: Instant) -> Option<u64> {
        self.effects.wake = true;
        if let Some(round) = &mut self.round
            && !round.lost
            && let Some(slot) = self.slots.get_mut(&id)
            && slot.state.dialling() == Some(attempt)
        {
            round.lost = true;
            round.next_at = now;
            slot.tried = 0;
            self.change(id, |state| state.given_up(attempt, now));
            return None;
        }
        let time_out = self.time_out(id);
        let failed = self.change(id, |state| state.failed(attempt, now, time_out));
        let round = self.round.as_mut().filter(|_| failed)?;
        round.next_at = now;
        let number = round.number;
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.tried = number;
        }
        self.conclude_round();
        Some(number)
    }

    fn tried(&mut self, id: Id, outdated: bool, now: Instant) -> Option<u64> {
        let number = self.round.as_mut().map(|round| {
            round.next_at = now;
            round.number
        });
        if let (Some(number), Some(slot)) = (number, self.slots.get_mut(&id))
            && !outdated
        {
            slot.tried = number;
        }
        self.advance(now);
        number
    }

    /// The connection ended or is to take no new calls: outdated, closed, silent. That is not held against the endpoint.
    pub(crate) fn retired(&mut self, id: Id, attempt: Attempt, now: Instant) -> bool {
        let was = self.change(id, |state| state.retired(attempt, now));
        self.let_go(id, attempt, was)
    }

    /// A call found the connection broken.
    pub(crate) fn broke(&mut self, id: Id, attempt: Attempt, now: Instant) -> bool {
        let time_out = self.time_out(id);
        let was = self.change(id, |state| state.broke(attempt, now, time_out));
        self.let_go(id, attempt, was)
    }

    /// An answer showed that nothing useful is behind the endpoint. If there is no other endpoint, a new connection would
    /// not help, and this one stays.
    pub(crate) fn ill(&mut self, id: Id, attempt: Attempt, now: Instant) -> bool {
        if self.slots.len() == 1 {
            return false;
        }
        let time_out = self.time_out(id);
        let was = self.change(id, |state| state.ill(attempt, now, time_out));
        self.let_go(id, attempt, was)
    }

    fn let_go(&mut self, id: Id, attempt: Attempt, was_connected: bool) -> bool {
        if was_connected {
            self.command(Command::Drop(id, attempt));
        }
        was_connected
    }

    /// A call was answered. Says whether that is news.
    pub(crate) fn answered(&mut self, id: Id, attempt: Attempt) -> bool {
        let news = self.change(id, |state| state.answered(attempt));
        self.effects.changed |= news;
        news
    }

    pub(super) fn call_began(&mut self, id: Id, now: Instant) {
        self.in_flight += 1;
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.state.call_began(now);
        }
    }

    /// A call that had been given a connection is over, however it ended.
    pub(crate) fn call_ended(&mut self, id: Id, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.used(now);
        if let Some(slot) = self.slots.get_mut(&id) {
            slot.state.call_ended(now);
        }
    }

    pub(super) fn used(&mut self, now: Instant) {
        self.last_used = self.last_used.max(Some(now));
    }

    /// Whether the channel is in use at that time, given what is known now.
    pub(super) fn in_use(&self, at: Instant) -> bool {
        self.in_flight > 0 || self.last_used.is_some_and(|used| at <= used + IN_USE)
    }

    pub(super) fn command(&mut self, command: Command) {
        self.effects.commands.push(command);
    }

    pub(super) fn wake(&mut self) {
        self.effects.wake = true;
    }

    fn time_out(&mut self, id: Id) -> Duration {
        let failures = self.endpoint(id).map_or(0, EndpointState::failures);
        self.backoff.after(failures.saturating_add(1))
    }

    /// Lets something happen to an endpoint and keeps the lists in step.
    pub(super) fn change(&mut self, id: Id, event: impl FnOnce(&mut EndpointState) -> bool) -> bool {
        let Some(slot) = self.slots.get_mut(&id) else {
            return false;
        };
        let (before, rank) = (listed(&slot.state), slot.rank);
        let happened = event(&mut slot.state);
        let after = listed(&slot.state);
        if before != after {
            self.unlist(id, rank, &before);
            match after {
                Listed::Idle => {
                    self.idle.insert((rank, id));
                }
                Listed::Ejected(until) => {
                    self.ejected.insert((until, id));
                }
                Listed::Ready => self.ready.push(id),
                Listed::Dialling => {
                    self.dialling.insert(id);
                }
            }
            self.effects.changed = true;
        }
        happened
    }

    pub(super) fn unlist(&mut self, id: Id, rank: usize, from: &Listed) {
        match from {
            Listed::Idle => {
                self.idle.remove(&(rank, id));
            }
            Listed::Ejected(until) => {
                self.ejected.remove(&(*until, id));
            }
            Listed::Ready => self.ready.retain(|ready| *ready != id),
            Listed::Dialling => {
                self.dialling.remove(&id);
                if let Some(round) = &mut self.round {
                    round.awaited.remove(&id);
                }
            }
        }
    }
}

pub(super) fn listed(state: &EndpointState) -> Listed {
    match state.phase() {
        Phase::Idle => Listed::Idle,
        Phase::Ejected { until } => Listed::Ejected(until),
        Phase::Ready { .. } => Listed::Ready,
        Phase::Connecting { .. } | Phase::Probing { .. } => Listed::Dialling,
    }
}

/// How long after its last call a channel counts as in use. Nothing is dialled in the background for one that is not.
pub(super) const IN_USE: Duration = Duration::from_secs(5 * 60);
