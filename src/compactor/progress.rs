//! How far a running plan is, readable from any thread while it runs.
//!
//! Must never: go backwards inside one execution, or show more done than there is.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crate::model::Progress;

/// Counters of one execution, shared by its clones. The worker adds, everybody else reads.
#[derive(Debug, Clone, Default)]
pub struct ProgressCell(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    total_rows: AtomicU64,
    done_rows: AtomicU64,
    total_bytes: AtomicU64,
    done_bytes: AtomicU64,
    beat: AtomicU64,
}

impl ProgressCell {
    pub fn new() -> Self {
        Self::default()
    }

    /// Rows and bytes of the inputs, done and in total. Done never exceeds the total.
    pub fn snapshot(&self) -> Progress {
        // Done is read first: it can't pass the total that is read after it.
        let (done_rows, done_bytes) = (self.0.done_rows.load(Relaxed), self.0.done_bytes.load(Relaxed));
        let (total_rows, total_bytes) = (self.0.total_rows.load(Relaxed), self.0.total_bytes.load(Relaxed));
        Progress {
            total_rows,
            done_rows: done_rows.min(total_rows),
            total_bytes,
            done_bytes: done_bytes.min(total_bytes),
        }
    }

    /// Grows with every batch of rows that was read or written and never falls, also when an execution starts anew:
    /// a value that stays the same for long means that the plan is stuck.
    pub fn beat(&self) -> u64 {
        self.0.beat.load(Relaxed)
    }

    pub(super) fn start(&self, total_rows: u64, total_bytes: u64) {
        self.0.done_rows.store(0, Relaxed);
        self.0.done_bytes.store(0, Relaxed);
        self.0.total_rows.store(total_rows, Relaxed);
        self.0.total_bytes.store(total_bytes, Relaxed);
        self.alive();
    }

    pub(super) fn alive(&self) {
        self.0.beat.fetch_add(1, Relaxed);
    }

    /// Everything is done; shares that were rounded down add up to a little less.
    pub(super) fn complete(&self) {
        self.0.done_rows.store(self.0.total_rows.load(Relaxed), Relaxed);
        self.0.done_bytes.store(self.0.total_bytes.load(Relaxed), Relaxed);
        self.alive();
    }

    pub(super) fn add_rows(&self, rows: u64) {
        self.0.done_rows.fetch_add(rows, Relaxed);
        self.alive();
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.0.done_bytes.fetch_add(bytes, Relaxed);
        self.alive();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_again_clears_the_counts_but_not_the_beat() {
        let cell = ProgressCell::new();
        cell.start(10, 100);
        cell.add_rows(4);
        cell.add_bytes(40);
        let beat = cell.beat();
        assert_eq!(cell.snapshot(), Progress { total_rows: 10, done_rows: 4, total_bytes: 100, done_bytes: 40 });
        cell.start(7, 70);
        assert_eq!(cell.snapshot(), Progress { total_rows: 7, done_rows: 0, total_bytes: 70, done_bytes: 0 });
        assert!(cell.beat() > beat);
    }
}
