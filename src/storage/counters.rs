//! What the store has been asked and how much went through it: plain numbers, for metrics to read.

use std::sync::atomic::{AtomicU64, Ordering};

/// One kind of operation. A retried request counts once, its attempts are in `retries`.
#[derive(Debug, Default)]
pub struct OperationCounters {
    pub requests: AtomicU64,
    /// Bytes of objects, of requests that succeeded.
    pub bytes: AtomicU64,
    /// Attempts after the first.
    pub retries: AtomicU64,
    /// Requests that failed in the end, objects that were not found included.
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

/// Counters of a store by operation. A put of many objects is as many requests as it has batches.
#[derive(Debug, Default)]
pub struct StorageCounters {
    pub get: OperationCounters,
    pub put: OperationCounters,
    pub copy: OperationCounters,
    pub delete: OperationCounters,
    pub list: OperationCounters,
}
