//! The scheduler's state as a value: waiting plans, running plans, and counts of their ends. Times are arguments.
//!
//! Must never: call the sink or the worker, or wait. It is behind a lock.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Attempt, SinkRefusal, WorkerError,
    liveness::Liveness,
    queue::{ByClass, FairQueue, Slots, Ticket},
};
use crate::{
    config::WorkerConfig,
    error::ErrorKind,
    fault::{self, Planted},
    model::{PlanId, Progress, ProgressReport},
};

/// Why an execution has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    Cancelled,
    Stalled { idle: Duration },
    Shutdown,
}

/// How an attempt has ended.
pub(super) enum AttemptEnd {
    Completed,
    /// The plan ended without us.
    Ended,
    Failed(WorkerError),
    /// It panicked instead of answering.
    Died(String),
    Stopped(Stop),
}

impl AttemptEnd {
    pub(super) fn failed(kind: ErrorKind, message: String) -> Self {
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

pub(super) struct SchedulerState {
    pub(super) queue: FairQueue,
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

impl SchedulerState {
    pub(super) fn new(config: &WorkerConfig) -> Self {
        Self {
            queue: FairQueue::default(),
            slots: Slots::new(config.max_concurrency),
            liveness: Liveness::new(config.progress_timeout),
            running: BTreeMap::new(),
            stopping: false,
            totals: Totals::default(),
        }
    }

    pub(super) fn executes(&self, plan: PlanId) -> bool {
        self.running.contains_key(&plan)
    }

    /// How far an executing plan is; none if it is not executing.
    pub(super) fn progress(&self, plan: PlanId) -> Option<Progress> {
        let running = self.running.get(&plan)?;
        Some(running.reports.as_ref().map_or_else(Progress::default, |r| r.borrow().progress))
    }

    pub(super) fn stats(&self) -> Stats {
        let mut executing = ByClass::default();
        for running in self.running.values() {
            *executing.of(running.ticket.class) += 1;
        }
        Stats {
            queued: self.queue.waiting(),
            executing,
            slots: self.slots.limit(),
            paused: self.queue.held().everything,
            totals: self.totals,
        }
    }

    /// Moves the next plan from the queue into a slot; none if no plan is due or no slot is free.
    pub(super) fn begin(&mut self, now_ms: u64) -> Option<Ticket> {
        if self.stopping || !self.slots.has_free() {
            return None;
        }
        let mut ticket = self.queue.pop(now_ms)?;
        self.slots.take();
        self.totals.started += 1;
        ticket.attempts += if fault::planted(Planted::AttemptCountsTwice) { 2 } else { 1 };
        let running = Running {
            ticket: ticket.clone(),
            cancel: CancellationToken::new(),
            stop: None,
            claimed: false,
            reports: None,
            ended: CancellationToken::new(),
        };
        self.running.insert(ticket.plan, running);
        Some(ticket)
    }

    /// Removes waiting plans from the queue and tells executing ones to stop. Returns the tokens to wait for.
    pub(super) fn begin_cancel(
        &mut self,
        which: impl Fn(&Ticket) -> bool,
        only: Option<PlanId>,
        cancelled: &mut BTreeSet<PlanId>,
    ) -> Vec<CancellationToken> {
        let dequeued = match only {
            Some(plan) => self.queue.remove(plan).map(|t| t.plan).into_iter().collect(),
            None => self.queue.remove_where(&which),
        };
        self.totals.cancelled += dequeued.len() as u64;
        cancelled.extend(dequeued);
        let mut ending = Vec::new();
        for (plan, running) in self.running.iter_mut().filter(|(_, r)| which(&r.ticket)) {
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
    pub(super) fn next_wake(&self, now_ms: u64) -> Option<Duration> {
        let can_begin = !self.stopping && self.slots.has_free();
        let due = self.queue.next_due_ms().filter(|_| can_begin);
        // At least a millisecond: everything that is due now was just taken, so a shorter pause means two clocks differ.
        let due = due.map(|ms| Duration::from_millis(ms.saturating_sub(now_ms).max(1)));
        let look = (!self.liveness.is_idle()).then(|| self.liveness.interval());
        due.into_iter().chain(look).min()
    }

    /// The token that ends an execution; none if it is not executing.
    pub(super) fn token(&self, plan: PlanId) -> Option<CancellationToken> {
        self.running.get(&plan).map(|r| r.cancel.clone())
    }

    /// Takes the reports of an execution that has begun. `now` is of the monotonic clock.
    pub(super) fn watch(&mut self, plan: PlanId, reports: watch::Receiver<ProgressReport>, now: Duration) {
        let beat = reports.borrow().beat;
        self.liveness.begin(plan, beat, now);
        if let Some(running) = self.running.get_mut(&plan) {
            running.reports = Some(reports);
        }
    }

    /// Accepts the result of an attempt, unless the attempt was stopped or is not the current one: from here on it can't
    /// be stopped any more.
    pub(super) fn claim(&mut self, attempt: Attempt, result: impl FnOnce() -> AttemptEnd) -> AttemptEnd {
        self.liveness.end(attempt.plan);
        match self.running.get_mut(&attempt.plan) {
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

    /// Frees the slot and queues a retry. Returns the token of the callers that wait for the end.
    pub(super) fn end(
        &mut self,
        mut ticket: Ticket,
        verdict: &AttemptEnd,
        retry_at_ms: Option<u64>,
    ) -> Option<CancellationToken> {
        self.liveness.end(ticket.plan);
        let totals = &mut self.totals;
        match verdict {
            AttemptEnd::Completed => totals.completed += 1,
            _ if retry_at_ms.is_some() => totals.retried += 1,
            AttemptEnd::Failed(_) | AttemptEnd::Died(_) => totals.failed += 1,
            AttemptEnd::Stopped(Stop::Stalled { .. }) => totals.timed_out += 1,
            AttemptEnd::Stopped(Stop::Cancelled) => totals.cancelled += 1,
            AttemptEnd::Stopped(Stop::Shutdown) | AttemptEnd::Ended => {}
        }
        self.slots.give_back();
        let running = self.running.remove(&ticket.plan);
        if let Some(not_before_ms) = retry_at_ms {
            ticket.not_before_ms = not_before_ms;
            self.queue.push(ticket);
        }
        running.map(|running| running.ended)
    }

    /// Stops executions without progress. `now` is of the monotonic clock.
    pub(super) fn stop_stalled(&mut self, now: Duration) {
        let Self { running, liveness, .. } = self;
        for (plan, running) in running.iter_mut().filter(|(_, r)| r.stop.is_none() && !r.claimed) {
            let Some(reports) = &running.reports else { continue };
            let beat = reports.borrow().beat;
            if let Some(idle) = liveness.observe(*plan, beat, now) {
                running.stop = Some(Stop::Stalled { idle });
                running.cancel.cancel();
            }
        }
    }

    /// Begins nothing any more, and stops everything.
    pub(super) fn shut_down(&mut self) {
        self.stopping = true;
        for running in self.running.values_mut().filter(|r| !r.claimed) {
            running.stop.get_or_insert(Stop::Shutdown);
            running.cancel.cancel();
        }
    }
}
