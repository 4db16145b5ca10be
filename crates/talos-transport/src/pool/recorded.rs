//! Tells the metrics facade in which state the endpoints are, whenever that changes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::snapshot::{EndpointSnapshot, EndpointState};
use crate::Endpoint;
use crate::metrics::record_state;

/// What was recorded last; only differences are recorded again. The lock also keeps states in their order.
#[derive(Debug, Default)]
pub(super) struct Recorded(Mutex<HashMap<Endpoint, EndpointState>>);

impl Recorded {
    /// `snapshot` is called with the lock held, so that an older one cannot come later.
    pub(super) fn update(&self, snapshot: impl FnOnce() -> Vec<EndpointSnapshot>) {
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone = std::mem::take(&mut *recorded);
        for EndpointSnapshot { endpoint, state, .. } in snapshot() {
            if gone.remove(&endpoint) != Some(state) {
                record_state(&endpoint, Some(state));
            }
            recorded.insert(endpoint, state);
        }
        for endpoint in gone.keys() {
            record_state(endpoint, None);
        }
    }
}
