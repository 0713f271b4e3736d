//! Knows since when all requests to a store have failed.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

use super::error::StorageError;

/// A store whose requests fail.
#[derive(Debug, Clone)]
pub struct Outage {
    /// Time since the first request of the unbroken series of failures.
    pub lasted: Duration,
    /// The newest error.
    pub error: String,
}

/// Remembers since when requests fail without one that succeeds.
#[derive(Debug, Default)]
pub(super) struct Outages {
    /// Lets a request that succeeds skip the lock.
    is_out: AtomicBool,
    since: Mutex<Option<(Instant, String)>>,
}

impl Outages {
    pub(super) fn failed(&self, since: Instant, error: &StorageError) {
        let mut known = self.since.lock();
        let since = known.take().map_or(since, |(earlier, _)| earlier.min(since));
        *known = Some((since, error.to_string()));
        self.is_out.store(true, Ordering::Release);
    }

    pub(super) fn current(&self) -> Option<Outage> {
        let known = self.since.lock();
        known.as_ref().map(|(since, error)| Outage { lasted: since.elapsed(), error: error.clone() })
    }

    pub(super) fn answered(&self) {
        if self.is_out.load(Ordering::Acquire) {
            let mut known = self.since.lock();
            *known = None;
            self.is_out.store(false, Ordering::Release);
        }
    }
}

/// Whether an error is about the store as a whole, not about one object or this process.
pub(super) fn is_outage(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Unavailable { .. }
            | StorageError::Refused { .. }
            | StorageError::NoBucket { .. }
            | StorageError::Full { .. }
    )
}
