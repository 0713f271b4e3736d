//! The background loop over points in time: windows open and close, deadlines pass.

use std::{sync::Arc, time::Duration};

use tracing::{info, warn};

use super::{CancelTarget, pause::apply_controls};
use crate::{coordinator::Coordinator, model::JobId};

/// Longest sleep, because the wall clock may be moved meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// The name under which a job is cancelled at its deadline.
const BY_DEADLINE: &str = "the deadline of its request";

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
                biased;
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
