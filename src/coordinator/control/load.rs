//! The work that is left: plans that have not ended, and how long they take at the measured rate.

use std::sync::atomic::Ordering;

use crate::{coordinator::Coordinator, model::PlanState};

/// Plans that have not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct UnfinishedWork {
    pub queued: u64,
    pub executing: u64,
    /// Plans that run at once.
    pub slots: u64,
    /// Of inputs, not merged yet.
    pub rows: u64,
    pub bytes: u64,
    /// Of inputs, as completed plans have run, in all slots that have work; none until something was measured.
    pub bytes_per_second: Option<f64>,
}

impl UnfinishedWork {
    /// None until something was measured.
    pub fn eta_seconds(&self) -> Option<f64> {
        self.bytes_per_second.filter(|rate| *rate > 0.0).map(|rate| self.bytes as f64 / rate)
    }
}

impl Coordinator {
    pub fn unfinished_work(&self) -> UnfinishedWork {
        let slots = self.core.config.worker.max_concurrency.max(1) as u64;
        let mut work = UnfinishedWork { slots, ..UnfinishedWork::default() };
        for plan in self.core.jobs.unfinished() {
            match plan.state {
                PlanState::Executing { .. } => work.executing += 1,
                _ => work.queued += 1,
            }
            // A plan that has just begun has not reported its totals.
            let progress = self.plan_progress(&plan);
            work.rows += plan.input_rows().saturating_sub(progress.done_rows);
            work.bytes += plan.input_bytes().saturating_sub(progress.done_bytes);
        }
        let busy = (work.queued + work.executing).clamp(1, slots);
        work.bytes_per_second = self.core.merge_rate.bytes_per_second().map(|rate| rate * busy as f64);
        work
    }

    /// When the global timer looks at all groups, milliseconds since 1970; none: never.
    pub fn next_global_look_ms(&self) -> Option<u64> {
        let at = self.core.next_tick_ms.load(Ordering::Relaxed);
        let config = &self.core.config.compaction;
        (at > 0 && config.enabled && config.auto_enabled).then_some(at)
    }

    /// Bytes below which a segment is small.
    pub fn small_below_bytes(&self) -> u64 {
        crate::coordinator::shape::small_below(&self.core.config.compaction)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_that_of_the_bytes_at_the_rate() {
        let work = UnfinishedWork { bytes: 1000, ..UnfinishedWork::default() };
        assert_eq!(work.eta_seconds(), None);
        assert_eq!(UnfinishedWork { bytes_per_second: Some(250.0), ..work }.eta_seconds(), Some(4.0));
        assert_eq!(UnfinishedWork { bytes_per_second: Some(0.0), ..work }.eta_seconds(), None);
    }
}
