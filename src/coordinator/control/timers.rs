//! The background loop over points in time: windows open and close, deadlines pass.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::{CancelTarget, pause::apply_controls};
use crate::{
    coordinator::Coordinator,
    model::{Job, JobId},
};

/// Longest sleep, because the wall clock may be moved meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The name under which a job is cancelled at its deadline.
const BY_DEADLINE: &str = "the deadline of its request";

/// Deadlines of jobs, earliest first.
#[derive(Debug, Default)]
pub(in crate::coordinator) struct Deadlines {
    /// Milliseconds since 1970.
    waiting: Mutex<BTreeSet<(u64, JobId)>>,
    earlier: Notify,
}

impl Deadlines {
    pub(in crate::coordinator) fn add(&self, job: &Job) {
        if let Some(at_ms) = job.terms.deadline_ms {
            self.waiting.lock().insert((at_ms, job.id));
            self.earlier.notify_one();
        }
    }

    fn next_ms(&self) -> Option<u64> {
        self.waiting.lock().first().map(|(at_ms, _)| *at_ms)
    }

    fn take_due(&self, now_ms: u64) -> Vec<JobId> {
        let mut waiting = self.waiting.lock();
        let later = waiting.split_off(&(now_ms.saturating_add(1), JobId(i64::MIN)));
        std::mem::replace(&mut *waiting, later).into_iter().map(|(_, id)| id).collect()
    }
}

impl Coordinator {
    /// The background loop behind windows and deadlines.
    #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
    pub(in crate::coordinator) async fn run_timers(self: Arc<Self>) {
        let windows = &self.core.config.compaction.windows;
        let mut was_open = windows.is_open(self.core.clock.now_ms());
        loop {
            let now_ms = self.core.clock.now_ms();
            let next_ms = self.core.deadlines.next_ms().into_iter().chain(windows.next_change_ms(now_ms)).min();
            let sleep = next_ms.map(|ms| Duration::from_millis(ms.saturating_sub(now_ms)));
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = self.core.deadlines.earlier.notified() => {}
                () = tokio::time::sleep(sleep.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP)) => {}
            }
            let now_ms = self.core.clock.now_ms();
            let is_open = windows.is_open(now_ms);
            if is_open != was_open {
                was_open = is_open;
                info!(is_open, %windows, "window of automatic work");
                apply_controls(&self.core, &self.scheduler);
                self.core.look_again.notify_one();
            }
            for job in self.core.deadlines.take_due(now_ms) {
                self.end_at_deadline(job).await;
            }
        }
    }

    async fn end_at_deadline(self: &Arc<Self>, job: JobId) {
        if self.core.jobs.counts(job).is_none_or(|counts| counts.is_finished()) {
            return;
        }
        if let Err(error) = self.cancel_compaction(CancelTarget::Job(job), BY_DEADLINE).await {
            warn!(%job, %error, "a job could not be ended at its deadline; it goes on");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CollectionId, Terms, Trigger};

    #[test]
    fn due_jobs_come_once_and_in_order() {
        let deadlines = Deadlines::default();
        for (id, deadline_ms) in [(1, Some(30)), (2, Some(10)), (3, None), (4, Some(20))] {
            deadlines.add(&Job {
                id: JobId(id),
                trigger: Trigger::Manual,
                collection: CollectionId(1),
                created_at_ms: 0,
                plans: vec![],
                nothing_to_do: None,
                terms: Terms { deadline_ms, ..Terms::default() },
            });
        }
        assert_eq!(deadlines.next_ms(), Some(10));
        assert_eq!(deadlines.take_due(20), [JobId(2), JobId(4)]);
        assert_eq!((deadlines.take_due(29), deadlines.next_ms()), (vec![], Some(30)));
        assert_eq!(deadlines.take_due(30), [JobId(1)]);
    }
}
