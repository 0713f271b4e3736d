//! Reports of how far a merge is, sent as it goes on.
//!
//! Must never: go backwards inside one run, or show more done than there is.

use std::sync::Arc;

use tokio::sync::watch;

use crate::model::{Progress, ProgressReport};

/// Where a merge reports its progress. Clones report to the same place.
#[derive(Debug, Clone)]
pub struct ProgressSink(Arc<watch::Sender<ProgressReport>>);

impl Default for ProgressSink {
    fn default() -> Self {
        Self::new()
    }
}

impl From<watch::Sender<ProgressReport>> for ProgressSink {
    fn from(sender: watch::Sender<ProgressReport>) -> Self {
        Self(Arc::new(sender))
    }
}

impl ProgressSink {
    /// A sink that only its holder reads.
    pub fn new() -> Self {
        watch::Sender::default().into()
    }

    /// Rows and bytes of the inputs, done and in total. Done never exceeds the total.
    pub fn snapshot(&self) -> Progress {
        self.0.borrow().progress
    }

    /// Grows with every step of the merge and never falls: a value that stays the same for long means that the merge is
    /// stuck.
    pub fn beat(&self) -> u64 {
        self.0.borrow().beat
    }

    pub(super) fn start(&self, total_rows: u64, total_bytes: u64) {
        self.report(|progress| *progress = Progress { total_rows, total_bytes, ..Progress::default() });
    }

    pub(super) fn alive(&self) {
        self.report(|_| {});
    }

    /// Everything is done; shares that were rounded down add up to a little less.
    pub(super) fn complete(&self) {
        self.report(|progress| {
            progress.done_rows = progress.total_rows;
            progress.done_bytes = progress.total_bytes;
        });
    }

    pub(super) fn add_rows(&self, rows: u64) {
        self.report(|progress| progress.done_rows = progress.done_rows.saturating_add(rows).min(progress.total_rows));
    }

    pub(super) fn add_bytes(&self, bytes: u64) {
        self.report(|progress| {
            progress.done_bytes = progress.done_bytes.saturating_add(bytes).min(progress.total_bytes);
        });
    }

    /// Reports follow each other under the channel's lock, so none is overtaken by an older one. Called for each object
    /// and step of work, never for each row.
    fn report(&self, change: impl FnOnce(&mut Progress)) {
        self.0.send_modify(|report| {
            change(&mut report.progress);
            report.beat += 1;
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starting_again_clears_the_counts_but_not_the_beat() {
        let sink = ProgressSink::new();
        sink.start(10, 100);
        sink.add_rows(4);
        sink.add_bytes(40);
        let beat = sink.beat();
        assert_eq!(sink.snapshot(), Progress { total_rows: 10, done_rows: 4, total_bytes: 100, done_bytes: 40 });
        sink.start(7, 70);
        assert_eq!(sink.snapshot(), Progress { total_rows: 7, done_rows: 0, total_bytes: 70, done_bytes: 0 });
        assert!(sink.beat() > beat);
    }

    #[test]
    fn reports_reach_the_receiver_and_never_exceed_the_total() {
        let (sender, receiver) = watch::channel(ProgressReport::default());
        let sink = ProgressSink::from(sender);
        sink.start(2, 3);
        sink.add_rows(5);
        sink.add_bytes(u64::MAX);
        let report = *receiver.borrow();
        assert_eq!(report.progress, Progress { total_rows: 2, done_rows: 2, total_bytes: 3, done_bytes: 3 });
        assert_eq!(report.beat, 3);
    }
}
