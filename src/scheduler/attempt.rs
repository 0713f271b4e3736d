//! One attempt at a plan, from its slot to its report: prepare, execute, claim, complete or report.
//!
//! Must never: speak to the sink about a plan after its attempt was stopped, or lose a slot to a panic.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    time,
};
use tokio_util::sync::CancellationToken;

use super::{
    Attempt, AttemptFailure, JobSink, RunningTask, TaskOutcome, Worker, WorkerError,
    queue::Ticket,
    retry::RetryPolicy,
    state::{AttemptEnd, SchedulerState, Stop},
};
use crate::{clock::Clock, error::ErrorKind, model::ProgressReport};

/// How long a stopped execution may take to clean up before it is dropped.
pub(super) const STOP_GRACE: Duration = Duration::from_millis(800);

/// The parts that the loop and its executions share.
pub(super) struct Executor {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) sink: Arc<dyn JobSink>,
    pub(super) worker: Arc<dyn Worker>,
    pub(super) retry: RetryPolicy,
    pub(super) state: Mutex<SchedulerState>,
    /// Wakes the loop.
    pub(super) changed: Notify,
}

impl Executor {
    /// One execution, from slot to report. A panic below is a failed attempt, not a lost slot. An execution that died or
    /// hung is repeated while attempts are left.
    pub(super) async fn execute(self: Arc<Self>, ticket: Ticket) {
        let attempt = Attempt { plan: ticket.plan, number: ticket.attempts };
        let verdict = AssertUnwindSafe(self.attempt(attempt)).catch_unwind().await;
        let verdict = verdict.unwrap_or_else(|panic| {
            self.claim(attempt, || {
                let text = panic.downcast_ref::<&str>().copied();
                let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                AttemptEnd::Died(format!("panicked: {}", text.unwrap_or("without a message")))
            })
        });
        let now_ms = self.clock.now_ms();
        let retry_at_ms = match &verdict {
            AttemptEnd::Failed(error) => self.retry.next_ms(error.kind, attempt.number, now_ms),
            AttemptEnd::Died(_) | AttemptEnd::Stopped(Stop::Stalled { .. }) => {
                self.retry.again_ms(attempt.number, now_ms)
            }
            AttemptEnd::Completed | AttemptEnd::Ended | AttemptEnd::Stopped(Stop::Cancelled | Stop::Shutdown) => None,
        };
        // The panic hook has printed a panic in the sink. The next start settles the plan's durable state.
        let _ = AssertUnwindSafe(self.report(attempt, &verdict, retry_at_ms)).catch_unwind().await;
        self.end(ticket, &verdict, retry_at_ms);
    }

    async fn report(&self, attempt: Attempt, verdict: &AttemptEnd, retry_at_ms: Option<u64>) {
        match verdict {
            AttemptEnd::Failed(WorkerError { kind, message }) => {
                let failure = AttemptFailure { kind: *kind, message: message.clone(), retry_at_ms };
                self.sink.failed(attempt, failure).await;
            }
            AttemptEnd::Died(message) => {
                let failure = AttemptFailure { kind: ErrorKind::Internal, message: message.clone(), retry_at_ms };
                self.sink.failed(attempt, failure).await;
            }
            AttemptEnd::Stopped(Stop::Stalled { idle }) => {
                let message = format!("no progress for {} s in attempt {}", idle.as_secs(), attempt.number);
                match retry_at_ms {
                    // A hang may pass: it is the plan's end only when the attempts are used up.
                    Some(_) => {
                        self.sink
                            .failed(attempt, AttemptFailure { kind: ErrorKind::Transient, message, retry_at_ms })
                            .await;
                    }
                    None => self.sink.timed_out(attempt, message).await,
                }
            }
            AttemptEnd::Completed | AttemptEnd::Ended | AttemptEnd::Stopped(Stop::Cancelled | Stop::Shutdown) => {}
        }
    }

    async fn attempt(&self, attempt: Attempt) -> AttemptEnd {
        if self.retry.is_used_up(attempt.number) {
            let message = format!("begun {} times without an end", attempt.number - 1);
            return self.claim(attempt, || AttemptEnd::failed(ErrorKind::Internal, message));
        }
        let task = match self.sink.prepare(attempt).await {
            Ok(task) => task,
            Err(refusal) => return self.claim(attempt, || refusal.into()),
        };
        let Some(cancel) = self.state.lock().token(attempt.plan) else { return AttemptEnd::Ended };
        if cancel.is_cancelled() {
            return self.claim(attempt, || AttemptEnd::Ended);
        }
        let (sender, reports) = watch::channel(ProgressReport::default());
        let RunningTask { done } = self.worker.start(task, sender, cancel.clone());
        self.watch(attempt, reports);
        let result = run_until_stopped(done, &cancel).await;
        let mut outcome = None;
        let verdict = self.claim(attempt, || match result {
            Some(Ok(done)) => {
                outcome = Some(done);
                AttemptEnd::Completed
            }
            Some(Err(error)) => AttemptEnd::Failed(error),
            None => AttemptEnd::Ended,
        });
        match outcome {
            Some(outcome) => match self.sink.completed(attempt, outcome).await {
                Ok(()) => verdict,
                Err(refusal) => refusal.into(),
            },
            None => verdict,
        }
    }

    fn watch(&self, attempt: Attempt, reports: watch::Receiver<ProgressReport>) {
        let now = self.clock.monotonic();
        self.state.lock().watch(attempt.plan, reports, now);
        // The loop may be asleep without a deadline.
        self.changed.notify_one();
    }

    fn claim(&self, attempt: Attempt, result: impl FnOnce() -> AttemptEnd) -> AttemptEnd {
        self.state.lock().claim(attempt, result)
    }

    /// Frees the slot, queues a retry and wakes all callers that wait for the end.
    fn end(&self, ticket: Ticket, verdict: &AttemptEnd, retry_at_ms: Option<u64>) {
        let ended = self.state.lock().end(ticket, verdict, retry_at_ms);
        if let Some(ended) = ended {
            ended.cancel();
        }
        self.changed.notify_one();
    }
}

/// Drives an execution to its end. After the token fires it gets a moment to clean up; then it is dropped, and there is
/// no result.
async fn run_until_stopped(
    mut done: BoxFuture<'static, Result<TaskOutcome, WorkerError>>,
    cancel: &CancellationToken,
) -> Option<Result<TaskOutcome, WorkerError>> {
    tokio::select! {
        biased;
        result = &mut done => Some(result),
        () = cancel.cancelled() => time::timeout(STOP_GRACE, done).await.ok(),
    }
}
