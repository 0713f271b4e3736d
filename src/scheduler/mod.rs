//! When and where plans run: a fair queue, a bounded number of slots, a watch for executions that are stuck.
//!
//! Knows plans by their id and asks the coordinator, through [`JobSink`], for everything else. Must never write metadata
//! or decide what to compact, and never report one execution twice or after it was stopped.
//!
//! ```text
//!  enqueue ─▶ queue ─▶ slot ─▶ sink.prepare ─▶ worker ─▶ claim ─▶ sink.completed
//!               ▲                    │            │        │
//!               │                    └────┬───────┘        └ stopped: result refused
//!               └── retry, later ◀── sink.failed ◀── hung, attempts left
//!                                                                   │ none left: sink.timed_out
//!                                              who cancels, records it; who stops, resumes at the next start
//! ```
//!
//! `queue`, `slots`, `liveness`, `retry` and `lifecycle` are values with methods and a time argument; `dispatch` is
//! the only loop.
//!
//! Invariants: (1) a plan is in the queue, in one slot, or neither; (2) no more executions than slots; (3) of two
//! collections with work neither waits for more than one plan of the other per free slot; (4) an execution ends in at
//! most one report, and a result that comes after its stop is dropped; (5) after
//! `max_attempts` executions a plan is not retried; (6) an execution that panics, or makes no progress for the timeout, is
//! ended and its plan dispatched again, like one that failed for a passing reason.

pub mod lifecycle;
pub mod worker;

mod dispatch;
mod liveness;
mod queue;
mod retry;
mod slots;

#[cfg(test)]
mod tests;

use async_trait::async_trait;

pub use dispatch::{Scheduler, Stats, Totals};
pub use lifecycle::{Event, IllegalTransition, transition};
pub use queue::{ByClass, Held};
pub use worker::{Execution, LocalWorker, Observe, Worker, WorkerError};

use crate::{
    compactor::{CompactionTask, Outcome},
    error::ErrorKind,
    model::PlanId,
};

/// One execution of a plan. The number tells a late answer of an earlier execution from the answer of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    pub plan: PlanId,
    /// Counts from 1: the value of `Plan::attempts` while it runs.
    pub number: u32,
}

/// Owner of the plans: makes every step durable before it returns. The scheduler waits for each call, and makes at most
/// one at a time for a plan.
#[async_trait]
pub trait JobSink: Send + Sync {
    /// Marks the plan as executing, with this attempt counted, checks its inputs and loads what the merge needs.
    async fn prepare(&self, attempt: Attempt) -> Result<CompactionTask, Refusal>;

    /// Commits the outcome. After an error nothing has changed, and the attempt counts as failed.
    async fn completed(&self, attempt: Attempt, outcome: Outcome) -> Result<(), Refusal>;

    /// Records a failed attempt: back to the queue if it will be retried, else the end of the plan.
    async fn failed(&self, attempt: Attempt, failure: Failure);

    /// Ends the plan: its last attempt made no progress for too long. An earlier one that did is a [`Failure`].
    async fn timed_out(&self, attempt: Attempt, message: String);
}

/// Why the sink does not go along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The plan is unknown or has ended meanwhile, and that is recorded: there is nothing left to do or to report.
    Ended,
    /// The attempt has failed. `kind` decides whether it is retried.
    Failed { kind: ErrorKind, message: String },
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub kind: ErrorKind,
    /// Lower case, no full stop.
    pub message: String,
    /// When the plan will be tried again, milliseconds since 1970; none: never.
    pub retry_at_ms: Option<u64>,
}
