//! The scheduler's view of the owner of the plans.
//!
//! Must never: let the scheduler see a plan's record.

use async_trait::async_trait;

use super::worker::{Task, TaskOutcome};
use crate::{error::ErrorKind, model::PlanId};

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
    /// Marks the plan as executing, with this attempt counted, checks its inputs and loads the worker's task.
    async fn prepare(&self, attempt: Attempt) -> Result<Task, SinkRefusal>;

    /// Commits the outcome. After an error nothing has changed, and the attempt counts as failed.
    async fn completed(&self, attempt: Attempt, outcome: TaskOutcome) -> Result<(), SinkRefusal>;

    /// Records a failed attempt: back to the queue if it will be retried, else the end of the plan.
    async fn failed(&self, attempt: Attempt, failure: AttemptFailure);

    /// Ends the plan, because its last attempt made no progress for too long. An earlier attempt that did so is reported
    /// by [`Self::failed`].
    async fn timed_out(&self, attempt: Attempt, message: String);
}

/// Why the sink refuses a step of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SinkRefusal {
    /// The plan is unknown or has ended meanwhile, and that is recorded: there is nothing left to do or to report.
    Ended,
    /// The attempt has failed. `kind` decides whether it is retried.
    Failed { kind: ErrorKind, message: String },
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptFailure {
    pub kind: ErrorKind,
    /// Lower case, no full stop.
    pub message: String,
    /// When the plan will be tried again, milliseconds since 1970; none: never.
    pub retry_at_ms: Option<u64>,
}
