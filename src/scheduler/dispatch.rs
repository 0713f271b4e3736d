//! The only loop: takes plans from the queue into free slots, runs them, watches them, and tells the sink how they ended.
//!
//! All state is behind one lock that is never held across an await. The loop sleeps until something is due or has
//! changed. An execution is one task, and only that task speaks to the sink about its plan. To stop one (cancelled,
//! stuck, shutting down) is to note the reason and fire its token: a result that comes after the note is refused.
//!
//! Must never: hold the lock while it calls the sink or the worker's future.

use std::{
    collections::{BTreeMap, BTreeSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use parking_lot::Mutex;
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span, warn};

use super::{
    Attempt, AttemptFailure, Execution, JobSink, SinkRefusal, TaskOutcome, Worker, WorkerError,
    liveness::Liveness,
    queue::{ByClass, FairQueue, QueueHold, Slots, Ticket},
    retry::RetryPolicy,
};
use crate::{
    clock::Clock,
    config::WorkerConfig,
    error::ErrorKind,
    fault::{self, Planted},
    model::{JobId, Plan, PlanId, Progress, ProgressReport, Trigger},
};

/// How long a stopped execution may take to clean up before it is dropped.
const STOP_GRACE: Duration = Duration::from_millis(800);

/// Handle to the queue and its executions; cheap to clone. [`Scheduler::run`] has to be running for anything to happen.
#[derive(Clone)]
pub struct Scheduler {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scheduler").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

struct Shared {
    clock: Arc<dyn Clock>,
    sink: Arc<dyn JobSink>,
    worker: Arc<dyn Worker>,
    retry: RetryPolicy,
    state: Mutex<SchedulerState>,
    /// Wakes the loop.
    changed: Notify,
}

struct SchedulerState {
    queue: FairQueue,
    slots: Slots,
    liveness: Liveness,
    /// Ordered, so that a replay stops plans in the same order.
    running: BTreeMap<PlanId, Running>,
    /// No new executions, for good.
    stopping: bool,
    totals: Totals,
}

struct Running {
    ticket: Ticket,
    cancel: CancellationToken,
    /// Why it has to end. The first reason stays.
    stop: Option<Stop>,
    /// Its result was accepted: too late to stop it.
    claimed: bool,
    /// None while it is being prepared.
    reports: Option<watch::Receiver<ProgressReport>>,
    /// Fires when nothing of it is left.
    ended: CancellationToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Cancelled,
    Stalled { idle: Duration },
    Shutdown,
}

enum AttemptEnd {
    Completed,
    /// The plan ended without us.
    Ended,
    Failed(WorkerError),
    /// It panicked instead of answering.
    Died(String),
    Stopped(Stop),
}

/// Counts since the process began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Executions, retries included.
    pub started: u64,
    pub completed: u64,
    pub retried: u64,
    /// Failed for good.
    pub failed: u64,
    pub timed_out: u64,
    /// Cancelled in the queue or while executing.
    pub cancelled: u64,
}

/// The queue and the slots at this moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub queued: ByClass,
    pub executing: ByClass,
    pub slots: usize,
    pub paused: bool,
    pub totals: Totals,
}

impl Scheduler {
    pub fn new(config: &WorkerConfig, clock: Arc<dyn Clock>, sink: Arc<dyn JobSink>, worker: Arc<dyn Worker>) -> Self {
        let state = SchedulerState {
            queue: FairQueue::default(),
            slots: Slots::new(config.max_concurrency),
            liveness: Liveness::new(config.progress_timeout),
            running: BTreeMap::new(),
            stopping: false,
            totals: Totals::default(),
        };
        let retry = RetryPolicy::of(config);
        Self {
            shared: Arc::new(Shared { clock, sink, worker, retry, state: Mutex::new(state), changed: Notify::new() }),
        }
    }

    /// Queues a plan that is durable as Queued, unless it waits or executes already. Among a collection's plans of the
    /// same class, higher priority comes first.
    pub fn enqueue(&self, plan: &Plan, trigger: Trigger, priority: i32) {
        let mut state = self.shared.state.lock();
        if !state.running.contains_key(&plan.id) {
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

    /// From now on begins no execution of these, but of all others. Executions that have begun go on.
    pub fn hold(&self, held: QueueHold) {
        self.shared.state.lock().queue.hold(held);
        self.shared.changed.notify_one();
    }

    /// How far an executing plan is; none if it is not executing. All zero before its first row.
    pub fn progress(&self, plan: PlanId) -> Option<Progress> {
        let state = self.shared.state.lock();
        let running = state.running.get(&plan)?;
        Some(running.reports.as_ref().map_or_else(Progress::default, |r| r.borrow().progress))
    }

    pub fn stats(&self) -> Stats {
        let state = self.shared.state.lock();
        let mut executing = ByClass::default();
        for running in state.running.values() {
            *executing.of(running.ticket.class) += 1;
        }
        Stats {
            queued: state.queue.waiting(),
            executing,
            slots: state.slots.limit(),
            paused: state.queue.held().everything,
            totals: state.totals,
        }
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
            self.shared.stop_stalled();
        }
        self.shared.shut_down();
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
            let ending = self.shared.begin_cancel(&which, only, &mut cancelled);
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

impl Shared {
    /// Moves the next plan from the queue into a slot; none if no plan is due or no slot is free.
    fn begin(&self) -> Option<Ticket> {
        let mut state = self.state.lock();
        if state.stopping || !state.slots.has_free() {
            return None;
        }
        let mut ticket = state.queue.pop(self.clock.now_ms())?;
        state.slots.take();
        state.totals.started += 1;
        ticket.attempts += if fault::planted(Planted::AttemptCountsTwice) { 2 } else { 1 };
        let running = Running {
            ticket: ticket.clone(),
            cancel: CancellationToken::new(),
            stop: None,
            claimed: false,
            reports: None,
            ended: CancellationToken::new(),
        };
        state.running.insert(ticket.plan, running);
        Some(ticket)
    }

    /// Removes waiting plans from the queue and tells executing ones to stop. Returns the tokens to wait for.
    fn begin_cancel(
        &self,
        which: impl Fn(&Ticket) -> bool,
        only: Option<PlanId>,
        cancelled: &mut BTreeSet<PlanId>,
    ) -> Vec<CancellationToken> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let dequeued = match only {
            Some(plan) => state.queue.remove(plan).map(|t| t.plan).into_iter().collect(),
            None => state.queue.remove_where(&which),
        };
        state.totals.cancelled += dequeued.len() as u64;
        cancelled.extend(dequeued);
        let mut ending = Vec::new();
        for (plan, running) in state.running.iter_mut().filter(|(_, r)| which(&r.ticket)) {
            if !running.claimed && !matches!(running.stop, Some(Stop::Stalled { .. })) {
                running.stop = Some(Stop::Cancelled);
                running.cancel.cancel();
                cancelled.insert(*plan);
            }
            ending.push(running.ended.clone());
        }
        ending
    }

    /// How long the loop may sleep; none: until it is woken.
    fn next_wake(&self) -> Option<Duration> {
        let state = self.state.lock();
        let can_begin = !state.stopping && state.slots.has_free();
        let due = state.queue.next_due_ms().filter(|_| can_begin);
        // At least a millisecond: everything that is due now was just taken, so a shorter pause means two clocks differ.
        let due = due.map(|ms| Duration::from_millis(ms.saturating_sub(self.clock.now_ms()).max(1)));
        let look = (!state.liveness.is_idle()).then(|| state.liveness.interval());
        due.into_iter().chain(look).min()
    }

    /// One execution, from slot to report. A panic below is a failed attempt, not a lost slot. An execution that died or
    /// hung is repeated while attempts are left.
    async fn execute(self: Arc<Self>, ticket: Ticket) {
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
        let Some(cancel) = self.token(attempt) else { return AttemptEnd::Ended };
        if cancel.is_cancelled() {
            return self.claim(attempt, || AttemptEnd::Ended);
        }
        let (sender, reports) = watch::channel(ProgressReport::default());
        let Execution { done } = self.worker.start(task, sender, cancel.clone());
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

    fn token(&self, attempt: Attempt) -> Option<CancellationToken> {
        self.state.lock().running.get(&attempt.plan).map(|r| r.cancel.clone())
    }

    fn watch(&self, attempt: Attempt, reports: watch::Receiver<ProgressReport>) {
        let mut state = self.state.lock();
        let beat = reports.borrow().beat;
        state.liveness.begin(attempt.plan, beat, self.clock.monotonic());
        if let Some(running) = state.running.get_mut(&attempt.plan) {
            running.reports = Some(reports);
        }
        drop(state);
        // The loop may be asleep without a deadline.
        self.changed.notify_one();
    }

    /// Accepts the result of an attempt, unless the attempt was stopped or is not the current one: from here on it can't
    /// be stopped any more.
    fn claim(&self, attempt: Attempt, result: impl FnOnce() -> AttemptEnd) -> AttemptEnd {
        let mut state = self.state.lock();
        state.liveness.end(attempt.plan);
        match state.running.get_mut(&attempt.plan) {
            Some(running) if running.ticket.attempts == attempt.number => {
                match running.stop.filter(|_| !fault::planted(Planted::LateResultAccepted)) {
                    Some(stop) => AttemptEnd::Stopped(stop),
                    None => {
                        running.claimed = true;
                        result()
                    }
                }
            }
            _ => AttemptEnd::Ended,
        }
    }

    /// Frees the slot, queues a retry and wakes all callers that wait for the end.
    fn end(&self, mut ticket: Ticket, verdict: &AttemptEnd, retry_at_ms: Option<u64>) {
        let mut state = self.state.lock();
        state.liveness.end(ticket.plan);
        let totals = &mut state.totals;
        match verdict {
            AttemptEnd::Completed => totals.completed += 1,
            _ if retry_at_ms.is_some() => totals.retried += 1,
            AttemptEnd::Failed(_) | AttemptEnd::Died(_) => totals.failed += 1,
            AttemptEnd::Stopped(Stop::Stalled { .. }) => totals.timed_out += 1,
            AttemptEnd::Stopped(Stop::Cancelled) => totals.cancelled += 1,
            AttemptEnd::Stopped(Stop::Shutdown) | AttemptEnd::Ended => {}
        }
        state.slots.give_back();
        let running = state.running.remove(&ticket.plan);
        if let Some(not_before_ms) = retry_at_ms {
            ticket.not_before_ms = not_before_ms;
            state.queue.push(ticket);
        }
        drop(state);
        if let Some(running) = running {
            running.ended.cancel();
        }
        self.changed.notify_one();
    }

    fn stop_stalled(&self) {
        let now = self.clock.monotonic();
        let mut state = self.state.lock();
        let SchedulerState { running, liveness, .. } = &mut *state;
        for (plan, running) in running.iter_mut().filter(|(_, r)| r.stop.is_none() && !r.claimed) {
            let Some(reports) = &running.reports else { continue };
            let beat = reports.borrow().beat;
            if let Some(idle) = liveness.observe(*plan, beat, now) {
                running.stop = Some(Stop::Stalled { idle });
                running.cancel.cancel();
            }
        }
    }

    fn shut_down(&self) {
        let mut state = self.state.lock();
        state.stopping = true;
        for running in state.running.values_mut().filter(|r| !r.claimed) {
            running.stop.get_or_insert(Stop::Shutdown);
            running.cancel.cancel();
        }
    }
}

impl AttemptEnd {
    fn failed(kind: ErrorKind, message: String) -> Self {
        Self::Failed(WorkerError { kind, message })
    }
}

impl From<SinkRefusal> for AttemptEnd {
    fn from(refusal: SinkRefusal) -> Self {
        match refusal {
            SinkRefusal::Ended => Self::Ended,
            SinkRefusal::Failed { kind, message } => Self::failed(kind, message),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
async fn sleep_until_due(wake: Option<Duration>) {
    match wake {
        Some(pause) => time::sleep(pause).await,
        None => std::future::pending().await,
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
