//! A mutex for short critical sections that never contain an `.await`.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A mutex without poisoning: a panic of one test task must not hide the state from the others.
#[derive(Debug, Default)]
pub(crate) struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
