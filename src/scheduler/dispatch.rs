//! The only loop: takes plans from the queue into free slots, runs them, watches them, and tells the sink how they ended.
//!
//! All state ([`SchedulerState`]) is behind one lock that is never held across an await. The loop sleeps until something is
//! due or has changed. An execution is one task (`attempt`), and only that task speaks to the sink about its plan. To stop
//! one (cancelled, stuck, shutting down) is to note the reason and fire its token: a result that comes after the note is
//! refused.
//!
//! Must never: hold the lock while it calls the sink or the worker's future.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::JoinSet, time};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span, warn};

use super::{
    JobSink, Worker,
    attempt::{Executor, STOP_GRACE},
    queue::{QueueHold, Ticket},
    retry::RetryPolicy,
    state::{SchedulerState, Stats},
};
use crate::{
    clock::Clock,
    config::WorkerConfig,
    model::{JobId, Plan, PlanId, Progress, Trigger},
};

/// Handle to the queue and its executions; cheap to clone. [`Scheduler::run`] has to be running for anything to happen.
#[derive(Clone)]
pub struct Scheduler {
    shared: Arc<Executor>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Scheduler {
    pub fn new(config: &WorkerConfig, clock: Arc<dyn Clock>, sink: Arc<dyn JobSink>, worker: Arc<dyn Worker>) -> Self {
        let state = SchedulerState::new(config);
        let retry = RetryPolicy::of(config);
        Self {
            shared: Arc::new(Executor { clock, sink, worker, retry, state: Mutex::new(state), changed: Notify::new() }),
        }
    }

    /// Queues a plan that is durable as Queued, unless it waits or executes already. Among a collection's plans of the
    /// same class, higher priority comes first.
    pub fn enqueue(&self, plan: &Plan, trigger: Trigger, priority: i32) {
        let mut state = self.shared.state.lock();
        if !state.executes(plan.id) {
            state.queue.push(Ticket::of(plan, trigger, priority));
        }
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Takes a plan out of the queue or stops its execution, and returns when nothing of it runs any more: at most a
    /// second later. The sink is not told; the caller records the end.
    ///
    /// False if it neither waited nor executed, or if its execution came to another end first, which the sink knows.
    pub async fn cancel(&self, plan: PlanId) -> bool {
        !self.cancel_where(|t| t.plan == plan, Some(plan)).await.is_empty()
    }

    /// The same for all plans of a job. Returns those that were cancelled, ascending.
    pub async fn cancel_job(&self, job: JobId) -> Vec<PlanId> {
        self.cancel_where(|t| t.job == job, None).await
    }

    /// From now on no execution of these plans begins. All others may, and executions that have begun go on.
    pub fn hold(&self, held: QueueHold) {
        self.shared.state.lock().queue.hold(held);
        self.shared.changed.notify_one();
    }

    /// How far an executing plan is; none if it is not executing. All zero before its first row.
    pub fn progress(&self, plan: PlanId) -> Option<Progress> {
        self.shared.state.lock().progress(plan)
    }

    pub fn stats(&self) -> Stats {
        self.shared.state.lock().stats()
    }

    /// Runs until `stop` fires. Then nothing new begins, executions are stopped without a report, and it returns when
    /// none is left: their plans are still durable as Executing and begin again at the next start.
    pub async fn run(&self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        loop {
            while let Some(ticket) = self.shared.begin() {
                let span = info_span!(
                    "plan",
                    plan_id = %ticket.plan,
                    kind = ticket.kind.as_str(),
                    attempt = ticket.attempts,
                );
                tasks.spawn(Arc::clone(&self.shared).execute(ticket).instrument(span));
            }
            let wake = self.shared.next_wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = self.shared.changed.notified() => {}
                Some(_) = tasks.join_next() => {}
                () = sleep_until_due(wake) => {}
            }
            let now = self.shared.clock.monotonic();
            self.shared.state.lock().stop_stalled(now);
        }
        self.shared.state.lock().shut_down();
        while tasks.join_next().await.is_some() {}
        if time::timeout(STOP_GRACE, self.shared.worker.rest_ended()).await.is_err() {
            warn!("a stopped merge still runs; what it writes is garbage");
        }
    }

    /// Has the loop look at the clock again.
    #[cfg(test)]
    pub(super) fn wake(&self) {
        self.shared.changed.notify_one();
    }

    async fn cancel_where(&self, which: impl Fn(&Ticket) -> bool, only: Option<PlanId>) -> Vec<PlanId> {
        let mut cancelled = BTreeSet::new();
        loop {
            let ending = self.shared.state.lock().begin_cancel(&which, only, &mut cancelled);
            if ending.is_empty() {
                return cancelled.into_iter().collect();
            }
            for ended in ending {
                ended.cancelled().await;
            }
            // An execution that could not be stopped any more may have failed and gone back to the queue.
        }
    }
}

impl Executor {
    fn begin(&self) -> Option<Ticket> {
        let now_ms = self.clock.now_ms();
        self.state.lock().begin(now_ms)
    }

    fn next_wake(&self) -> Option<Duration> {
        let now_ms = self.clock.now_ms();
        self.state.lock().next_wake(now_ms)
    }
}

#[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
async fn sleep_until_due(wake: Option<Duration>) {
    match wake {
        Some(pause) => time::sleep(pause).await,
        None => std::future::pending().await,
    }
}
