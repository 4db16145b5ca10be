//! The life of one endpoint: idle, connecting, ready, ejected, probing.
//!
//! Each event is a function with the time passed in. An event that does not fit the phase, because it is about an attempt
//! that was given up or a connection that was replaced, changes nothing.

use std::time::{Duration, Instant};

/// Names one attempt to connect, and the connection that came of it. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Attempt(pub(super) u64);

/// Where an endpoint is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Not connected, and nothing speaks against trying.
    Idle,
    /// The first attempt, or the first after a connection ended, is under way.
    Connecting { attempt: Attempt },
    /// Connected. `proven` says that the endpoint has answered a call on this connection.
    Ready { attempt: Attempt, proven: bool },
    /// Failed; not dialled before this time unless there is no other endpoint left.
    Ejected { until: Instant },
    /// An attempt to come back is under way.
    Probing { attempt: Attempt },
}

/// One endpoint.
#[derive(Debug)]
pub(crate) struct EndpointState {
    phase: Phase,
    /// When the phase began.
    since: Instant,
    /// Failures since the last answered call.
    failures: u32,
    /// Calls under way.
    in_flight: u32,
    /// When it was last picked or a call on it ended.
    last_used: Instant,
    /// When the last attempt ended.
    last_tried: Option<Instant>,
}

impl EndpointState {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Idle,
            since: now,
            failures: 0,
            in_flight: 0,
            last_used: now,
            last_tried: None,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    pub(crate) fn since(&self) -> Instant {
        self.since
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether an attempt has come to an end since then.
    pub(super) fn tried_since(&self, time: Instant) -> bool {
        self.last_tried.is_some_and(|tried| tried >= time)
    }

    pub(super) fn last_used(&self) -> Instant {
        self.last_used
    }

    /// The attempt under way.
    pub(super) fn dialling(&self) -> Option<Attempt> {
        match self.phase {
            Phase::Connecting { attempt } | Phase::Probing { attempt } => Some(attempt),
            Phase::Idle | Phase::Ready { .. } | Phase::Ejected { .. } => None,
        }
    }

    /// The connection calls may use.
    pub(super) fn connection(&self) -> Option<Attempt> {
        match self.phase {
            Phase::Ready { attempt, .. } => Some(attempt),
            _ => None,
        }
    }

    /// Idle → connecting, ejected → probing. Says whether the attempt is to be made.
    pub(super) fn dial(&mut self, attempt: Attempt, now: Instant) -> bool {
        match self.phase {
            Phase::Idle => self.enter(Phase::Connecting { attempt }, now),
            Phase::Ejected { .. } => self.enter(Phase::Probing { attempt }, now),
            Phase::Connecting { .. } | Phase::Ready { .. } | Phase::Probing { .. } => return false,
        }
        true
    }

    /// Connecting, probing → ready.
    pub(super) fn connected(&mut self, attempt: Attempt, now: Instant) -> bool {
        let expected = self.dialling() == Some(attempt);
        if expected {
            self.last_tried = Some(now);
            self.last_used = now;
            let proven = false;
            self.enter(Phase::Ready { attempt, proven }, now);
        }
        expected
    }

    /// Connecting, probing → ejected.
    pub(super) fn failed(&mut self, attempt: Attempt, now: Instant, time_out: Duration) -> bool {
        let expected = self.dialling() == Some(attempt);
        if expected {
            self.last_tried = Some(now);
            self.eject(now, time_out);
        }
        expected
    }

    /// Connecting, probing → idle: the attempt came to nothing, for reasons that are not the endpoint's.
    pub(super) fn given_up(&mut self, attempt: Attempt, now: Instant) -> bool {
        let expected = self.dialling() == Some(attempt);
        if expected {
            self.enter(Phase::Idle, now);
        }
        expected
    }

    /// A call was answered: the endpoint works. Says whether that is news.
    pub(super) fn answered(&mut self, attempt: Attempt) -> bool {
        match &mut self.phase {
            Phase::Ready { attempt: own, proven } if *own == attempt => {
                let news = !*proven || self.failures > 0;
                *proven = true;
                self.failures = 0;
                news
            }
            _ => false,
        }
    }

    /// A call failed because the connection broke. Ready → idle if the endpoint had worked: it may just have been
    /// restarted. Ready → ejected if it accepts connections and then answers nothing on them.
    pub(super) fn broke(&mut self, attempt: Attempt, now: Instant, time_out: Duration) -> bool {
        match self.phase {
            Phase::Ready { attempt: own, proven } if own == attempt => {
                if proven {
                    self.failures = self.failures.saturating_add(1);
                    self.enter(Phase::Idle, now);
                } else {
                    self.eject(now, time_out);
                }
                true
            }
            _ => false,
        }
    }

    /// What answers shows that nothing useful is behind it. Ready → ejected.
    pub(super) fn ill(&mut self, attempt: Attempt, now: Instant, time_out: Duration) -> bool {
        let expected = self.connection() == Some(attempt);
        if expected {
            self.eject(now, time_out);
        }
        expected
    }

    /// The connection takes no new calls, and that is nobody's fault. Ready → idle.
    pub(super) fn retired(&mut self, attempt: Attempt, now: Instant) -> bool {
        let expected = self.connection() == Some(attempt);
        if expected {
            self.enter(Phase::Idle, now);
        }
        expected
    }

    /// Ejected → idle: what made it fail has changed.
    pub(super) fn pardoned(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Ejected { .. }) {
            self.enter(Phase::Idle, now);
        }
    }

    pub(super) fn call_began(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_add(1);
        self.last_used = now;
    }

    pub(super) fn call_ended(&mut self, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.last_used = now;
    }

    fn eject(&mut self, now: Instant, time_out: Duration) {
        self.failures = self.failures.saturating_add(1);
        let until = now + time_out.min(FAR_FUTURE);
        self.enter(Phase::Ejected { until }, now);
    }

    fn enter(&mut self, phase: Phase, now: Instant) {
        self.phase = phase;
        self.since = now;
    }
}

/// So that no setting overflows the clock: about a century.
const FAR_FUTURE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
