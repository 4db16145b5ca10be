//! Which endpoint a call goes to.

use std::time::Instant;

use super::endpoint_state::Attempt;
use super::state::{Core, Id};

/// How the calls of a channel are spread over its endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum PickPolicy {
    /// All calls go to one endpoint while it works, so that what a client reads comes from one machine; then to another
    /// one, and stay there. The default.
    #[default]
    StickyWithFailover,
    /// Calls take turns over all connected endpoints, and every endpoint is kept connected while the channel is in use.
    RoundRobin,
}

/// What a call that wants a connection is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pick {
    /// Use this connection. The call counts as begun.
    Use(Id, Attempt),
    /// Look again when there is news; connections are being made in this round.
    Wait { round: u64 },
    /// The round waited for failed, and so does the call.
    Failed,
}

impl Core {
    /// Looks for a connection for a call, elsewhere than at the endpoints to `avoid` if possible.
    ///
    /// `waited` is the round the call was told to wait for. A call that is not `patient` takes an endpoint it wanted to
    /// avoid rather than wait any longer.
    pub(crate) fn pick(&mut self, avoid: &[Id], waited: Option<u64>, patient: bool, now: Instant) -> Pick {
        self.used(now);
        if let Some(picked) = self.use_ready(avoid, now) {
            return picked;
        }
        // If there is a connection at all, it is to be avoided.
        let failed = waited.is_some_and(|round| self.failed_round >= round);
        let fruitless = waited.is_some_and(|round| self.fruitless_round >= round);
        if (failed || fruitless || !patient)
            && let Some(picked) = self.use_ready(&[], now)
        {
            return picked;
        }
        if failed {
            return Pick::Failed;
        }
        let round = self.join_round(avoid, now);
        self.advance(now);
        if self.failed_round >= round || self.fruitless_round >= round {
            return self.use_ready(&[], now).unwrap_or(Pick::Failed);
        }
        Pick::Wait { round }
    }

    fn use_ready(&mut self, avoid: &[Id], now: Instant) -> Option<Pick> {
        let id = self.choose(avoid)?;
        let attempt = self.endpoint(id)?.connection()?;
        self.call_began(id, now);
        Some(Pick::Use(id, attempt))
    }

    /// The next connected endpoint by the policy.
    fn choose(&mut self, avoid: &[Id]) -> Option<Id> {
        match self.policy {
            PickPolicy::StickyWithFailover => {
                let current = self.current.filter(|id| self.is_ready(*id));
                if let Some(id) = current.filter(|id| !avoid.contains(id)) {
                    return Some(id);
                }
                let id = *self.ready.iter().find(|id| !avoid.contains(id))?;
                if current.is_none() {
                    self.current = Some(id);
                }
                Some(id)
            }
            PickPolicy::RoundRobin => {
                let count = self.ready.len();
                let at = (0..count)
                    .map(|step| (self.turn + step) % count)
                    .find(|at| !avoid.contains(&self.ready[*at]))?;
                self.turn = at + 1;
                Some(self.ready[at])
            }
        }
    }
}
