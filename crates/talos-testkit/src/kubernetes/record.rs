//! The requests that arrived.

use bytes::Bytes;
use tokio::sync::watch;

use crate::sync::Guarded;

/// A request to the Kubernetes API.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct KubeRequest {
    /// Number of the request; the first has number 1.
    pub number: u64,
    /// Address of the control plane node whose API server it came to.
    pub node: String,
    /// Method of HTTP, such as `PATCH`.
    pub method: String,
    /// Path, such as `/api/v1/nodes/sim-worker-1`.
    pub path: String,
    /// What comes after the question mark, as it was sent.
    pub query: String,
    /// Name of the user; empty if the client is nobody.
    pub user: String,
    /// Groups of the user.
    pub groups: Vec<String>,
    /// Type of the body.
    pub content_type: String,
    /// The body.
    pub body: Bytes,
    /// Status of HTTP that was answered; `None` before that, and if the connection was broken instead.
    pub status: Option<u16>,
}

#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Whether requests are kept.
    enabled: bool,
    kept: Guarded<Vec<KubeRequest>>,
    number: Guarded<u64>,
    changes: watch::Sender<u64>,
}

impl Requests {
    pub(super) fn new(enabled: bool) -> Self {
        Self {
            enabled,
            ..Self::default()
        }
    }

    /// Keeps a request, and returns its number.
    pub(super) fn arrived(&self, mut request: KubeRequest) -> u64 {
        let mut number = self.number.lock();
        *number += 1;
        request.number = *number;
        if self.enabled {
            self.kept.lock().push(request);
            self.changed();
        }
        *number
    }

    pub(super) fn answered(&self, number: u64, status: u16) {
        let mut kept = self.kept.lock();
        if let Some(request) = kept.iter_mut().rev().find(|request| request.number == number) {
            request.status = Some(status);
        }
        drop(kept);
        self.changed();
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn all(&self) -> Vec<KubeRequest> {
        self.kept.lock().clone()
    }

    pub(super) fn clear(&self) {
        self.kept.lock().clear();
    }

    /// Waits for a request; those of the past count.
    pub(super) async fn wait_for(&self, mut wanted: impl FnMut(&KubeRequest) -> bool) -> KubeRequest {
        let mut changes = self.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(found) = self.kept.lock().iter().find(|request| wanted(request)) {
                return found.clone();
            }
            if changes.changed().await.is_err() {
                // The sender lives in `self`, so this is not reached.
                std::future::pending::<()>().await;
            }
        }
    }
}
