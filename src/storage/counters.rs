//! Counts the requests to a store and their bytes. Plain numbers; the metrics read them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one operation. A retried request counts once in `requests`.
#[derive(Debug, Default)]
pub struct OperationCounters {
    pub requests: AtomicU64,
    /// Bytes of the objects of successful requests.
    pub bytes: AtomicU64,
    /// Attempts after the first.
    pub retries: AtomicU64,
    /// Requests that failed in the end; a missing object counts as a failure.
    pub failures: AtomicU64,
}

impl OperationCounters {
    pub(super) fn requested(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn succeeded(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn retried(&self) {
        self.retries.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counters of a store by operation. A put of many objects counts one request per batch.
#[derive(Debug, Default)]
pub struct StorageCounters {
    pub get: OperationCounters,
    pub put: OperationCounters,
    pub copy: OperationCounters,
    pub delete: OperationCounters,
    pub list: OperationCounters,
}
