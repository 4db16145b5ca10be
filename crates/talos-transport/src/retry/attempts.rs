//! How far a call has come.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http::Request;
use tokio::time::Instant;
use tonic::Status;

/// Request extension: counts the attempts of a call.
///
/// Add a new one to a request to learn, after the call, how many attempts it took; the channel adds one itself otherwise.
/// Clones share the count.
///
/// ```
/// use talos_transport::Attempts;
///
/// let attempts = Attempts::new();
/// let mut request = tonic::Request::new(());
/// request.extensions_mut().insert(attempts.clone());
/// // … make the call …
/// println!("{} attempts", attempts.count());
/// ```
#[derive(Debug, Clone)]
pub struct Attempts(Arc<Log>);

#[derive(Debug)]
struct Log {
    begun: Instant,
    count: AtomicU32,
    /// What the attempt before the present one failed with.
    previous: Mutex<Option<Arc<Status>>>,
}

/// Request extension of each attempt, for layers around attempts: its number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt(pub(crate) u32);

impl Attempts {
    /// None so far.
    pub fn new() -> Self {
        Self(Arc::new(Log {
            begun: Instant::now(),
            count: AtomicU32::new(0),
            previous: Mutex::new(None),
        }))
    }

    /// How many attempts were begun.
    pub fn count(&self) -> u32 {
        self.0.count.load(Ordering::Relaxed)
    }

    /// The one of this request, added if it has none.
    pub(crate) fn of<B>(request: &mut Request<B>) -> Self {
        request.extensions_mut().get_or_insert_default::<Self>().clone()
    }

    pub(crate) fn begin(&self) -> Attempt {
        Attempt(self.0.count.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Notes what the present attempt failed with, before it is followed by another one.
    pub(crate) fn failed(&self, status: &Status) {
        *self.0.previous.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(status.clone()));
    }

    pub(crate) fn previous(&self) -> Option<Arc<Status>> {
        self.0
            .previous
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn begun(&self) -> Instant {
        self.0.begun
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self::new()
    }
}

impl Attempt {
    /// The number: 1 is the first attempt, and everything above is a retry.
    pub const fn number(self) -> u32 {
        self.0
    }
}
