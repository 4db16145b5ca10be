//! A fault that has been injected.

use std::fmt;
use std::sync::Arc;

use super::book::Rule;
use crate::network::Network;

/// A fault that has been injected. Dropping the handle leaves the fault where it is.
#[derive(Clone)]
pub struct FaultHandle {
    pub(crate) network: Arc<Network>,
    pub(crate) rule: Arc<Rule>,
}

impl FaultHandle {
    /// How many calls, or connections, the fault has hit.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.rule.hits()
    }

    /// How many calls, or connections, matched the fault's place, node and methods, hit or not.
    #[must_use]
    pub fn seen(&self) -> u64 {
        self.rule.seen()
    }

    /// Waits until the fault has hit `count` calls or connections.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn wait_for_hits(&self, count: u64) {
        let mut matches = self.network.faults.matches.subscribe();
        loop {
            matches.mark_unchanged();
            if self.hits() >= count {
                return;
            }
            if matches.changed().await.is_err() {
                // The sender lives in the network, so this is not reached.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Takes the fault away. Calls that it has hit already stay hit; silenced connections speak again.
    pub fn remove(&self) {
        self.network.faults.remove(&self.rule);
        self.network.apply_faults();
    }
}

impl fmt::Debug for FaultHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultHandle")
            .field("rule", &self.rule)
            .finish_non_exhaustive()
    }
}
