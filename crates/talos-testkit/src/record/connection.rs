//! Connections that the simulated cluster received.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;

use super::{Log, Recorder};
use crate::roles::Roles;
use crate::sync::Guarded;

/// One TCP connection to an endpoint.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RecordedConnection {
    /// Number of the connection; the first has number 1.
    pub number: u64,
    /// Node name of the endpoint.
    pub endpoint: String,
    /// The client's socket.
    pub peer: SocketAddr,
    /// When it was accepted.
    pub accepted: Instant,
    /// Whether the TLS handshake was completed, by a client with an acceptable certificate.
    pub established: bool,
    /// Roles in the client's certificate, sorted; empty before the handshake is done.
    pub roles: Vec<String>,
    /// Why the handshake failed, or why the connection ended other than well.
    pub error: Option<String>,
    /// Whether it has ended.
    pub closed: bool,
}

#[derive(Debug, Default)]
pub(super) struct Connections {
    kept: Guarded<Vec<RecordedConnection>>,
    changes: watch::Sender<u64>,
}

impl Connections {
    pub(super) fn clear(&self) {
        self.kept.lock().clear();
    }

    fn changed(&self) {
        self.changes.send_modify(|state| *state = state.wrapping_add(1));
    }
}

impl Recorder {
    /// All connections, oldest first; those that faults refuse are not among them, as nobody accepts them.
    #[must_use]
    pub fn connections(&self) -> Vec<RecordedConnection> {
        self.log.connections.kept.lock().clone()
    }

    /// Waits until a connection satisfies `wanted` and returns the first that does; connections of the past
    /// count. The predicate is asked again whenever a connection begins, ends, or completes its handshake.
    ///
    /// Waits forever if no such connection comes.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn wait_for_connection(
        &self,
        wanted: impl FnMut(&RecordedConnection) -> bool,
    ) -> RecordedConnection {
        let mut wanted = wanted;
        let connections = &self.log.connections;
        let mut changes = connections.changes.subscribe();
        loop {
            changes.mark_unchanged();
            if let Some(found) = connections.kept.lock().iter().find(|one| wanted(one)) {
                return found.clone();
            }
            if changes.changed().await.is_err() {
                // The sender lives in `self`, so this is not reached.
                std::future::pending::<()>().await;
            }
        }
    }

    pub(crate) fn connected(&self, number: u64, endpoint: &str, peer: SocketAddr) -> ConnectionEntry {
        if self.enabled {
            self.log.connections.kept.lock().push(RecordedConnection {
                number,
                endpoint: endpoint.to_owned(),
                peer,
                accepted: Instant::now(),
                established: false,
                roles: Vec::new(),
                error: None,
                closed: false,
            });
            self.log.connections.changed();
        }
        ConnectionEntry {
            log: self.enabled.then(|| Arc::clone(&self.log)),
            number,
        }
    }
}

/// Write access to the record of one connection, which ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionEntry {
    log: Option<Arc<Log>>,
    number: u64,
}

impl ConnectionEntry {
    pub(crate) fn handshake_done(&self, roles: &Roles) {
        self.update(|connection| {
            connection.established = true;
            connection.roles = roles.iter().map(str::to_owned).collect();
        });
    }

    pub(crate) fn handshake_failed(&self, error: &dyn Error) {
        self.broken(&error.to_string());
    }

    pub(crate) fn broken(&self, error: &str) {
        self.update(|connection| connection.error = Some(error.to_owned()));
    }

    fn update(&self, change: impl FnOnce(&mut RecordedConnection)) {
        let Some(log) = &self.log else { return };
        let mut kept = log.connections.kept.lock();
        if let Some(found) = kept.iter_mut().rev().find(|one| one.number == self.number) {
            change(found);
        }
        drop(kept);
        log.connections.changed();
    }
}

impl Drop for ConnectionEntry {
    fn drop(&mut self) {
        self.update(|connection| connection.closed = true);
    }
}
