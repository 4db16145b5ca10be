//! Calls whose request is a stream that goes on.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tonic::{CancellationHandle, Request};

/// Resets a call when dropped, its request included.
///
/// Dropping the response alone does not do so once its headers are there: the request would go on being sent.
#[derive(Default)]
pub(crate) struct CancelOnDrop(CancelSlot);

/// Where a [`CancelOnDrop`] finds its call.
#[derive(Clone, Default)]
pub(crate) struct CancelSlot(Arc<Mutex<Option<CancellationHandle>>>);

impl CancelOnDrop {
    /// For the call to be put into.
    pub(crate) fn slot(&self) -> CancelSlot {
        self.0.clone()
    }
}

impl CancelSlot {
    /// The call of this request is the one.
    pub(crate) fn watch<M>(&self, mut request: Request<M>) -> Request<M> {
        let handle = request.cancellation_handle();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(handle);
        request
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let handle = self.0.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(handle) = handle {
            handle.cancel();
        }
    }
}

impl fmt::Debug for CancelOnDrop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelOnDrop").finish_non_exhaustive()
    }
}
