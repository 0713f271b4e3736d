//! The scheduler's calls about a plan: every step becomes durable here before the scheduler goes on.
//!
//! Must never: let an attempt begin without ids of its own, which garbage collection spares (P5), or report an end that the
//! plan's record does not have.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tracing::{info, warn};

use super::{CoordinatorError, Core};
use crate::{
    compactor::{CompactionInput, CompactionTask, IndexTask, ids_to_reserve},
    error::{Classify, ErrorKind},
    fault::{self, Point},
    model::{FailureKind, Plan, PlanId, PlanKind, RequestError, Segment, SegmentId},
    planner::Violation,
    scheduler::{Attempt, AttemptFailure, Event, JobSink, SinkRefusal, Task, TaskOutcome},
};

#[async_trait]
impl JobSink for Arc<Core> {
    async fn prepare(&self, attempt: Attempt) -> Result<Task, SinkRefusal> {
        self.step(attempt, Event::Begin { at_ms: self.clock.now_ms() }).await?;
        fault::reached(Point::PlanBegun);
        let plan = self.current(attempt)?;
        let waited_ms = self.clock.now_ms().saturating_sub(plan.created_at_ms);
        self.metrics.plan_began(Duration::from_millis(waited_ms));
        info!(plan = %plan.id, job = %plan.job, attempt = attempt.number, group = %plan.group, "plan executing");
        if plan.kind == PlanKind::Index {
            return self.index_task(plan).await.map(|task| Task::Index(Box::new(task))).map_err(refusal);
        }
        self.task(plan).await.map(Task::Compaction).map_err(refusal)
    }

    async fn completed(&self, attempt: Attempt, outcome: TaskOutcome) -> Result<(), SinkRefusal> {
        let plan = self.current(attempt)?;
        fault::reached(Point::MergeWritten);
        match outcome {
            TaskOutcome::Compaction(outcome) => self.commit_compaction(&plan, outcome).await.map_err(refusal),
            TaskOutcome::Index(outcome) => self.commit_index(&plan, outcome).await.map_err(refusal),
        }
    }

    async fn failed(&self, attempt: Attempt, failure: AttemptFailure) {
        warn!(plan = %attempt.plan, attempt = attempt.number, kind = failure.kind.as_str(), retry_at_ms = failure.retry_at_ms, message = %failure.message, "plan attempt failed");
        self.metrics.compaction.failures.with([failure.kind.as_str()]).inc();
        let at_ms = self.clock.now_ms();
        let event = match failure.retry_at_ms {
            Some(not_before_ms) => Event::Retry { not_before_ms },
            None => {
                let kind = kind_of(failure.kind);
                self.remember_failure(attempt.plan, kind, &failure.message);
                Event::Fail { kind, message: failure.message, at_ms }
            }
        };
        self.record(attempt, event).await;
    }

    async fn timed_out(&self, attempt: Attempt, message: String) {
        warn!(plan = %attempt.plan, attempt = attempt.number, %message, "plan timed out");
        // Otherwise every tick would make the same plan again, to hang for as long.
        self.remember_failure(attempt.plan, FailureKind::Exhausted, &message);
        self.record(attempt, Event::TimeOut { message, at_ms: self.clock.now_ms() }).await;
    }
}

impl Core {
    /// The plan, if this is still its attempt.
    fn current(&self, attempt: Attempt) -> Result<Plan, SinkRefusal> {
        self.jobs
            .plan(attempt.plan)
            .filter(|p| !p.state.is_terminal() && p.attempts == attempt.number)
            .ok_or(SinkRefusal::Ended)
    }

    /// Takes a plan to its next state, durably.
    async fn step(self: &Arc<Self>, attempt: Attempt, event: Event) -> Result<(), SinkRefusal> {
        let plan = self.jobs.plan(attempt.plan).filter(|p| !p.state.is_terminal()).ok_or(SinkRefusal::Ended)?;
        self.move_plan(Plan { attempts: attempt.number, ..plan }, event).await.map_err(refusal)
    }

    /// Records the end of an attempt, and gives its outputs up.
    async fn record(self: &Arc<Self>, attempt: Attempt, event: Event) {
        self.outputs_in_flight.release(attempt.plan);
        if let Err(SinkRefusal::Failed { message, .. }) = self.step(attempt, event).await {
            // The plan stays as it was in the store; the next start queues it again.
            warn!(plan = %attempt.plan, %message, "the end of an attempt could not be recorded");
        }
    }

    /// An outdated plan is planned again at once. Inputs that failed otherwise are left alone, for a time or until they
    /// change.
    fn remember_failure(&self, plan: PlanId, kind: FailureKind, message: &str) {
        let Some(plan) = self.jobs.plan(plan) else { return };
        if kind == FailureKind::Outdated {
            self.flush_events.raise(plan.group);
            return;
        }
        if let Some(build) = plan.builds() {
            // Merges may go on with the segment.
            self.index_failures.note(build, kind, message, self.clock.now_ms());
            return;
        }
        if let Ok(cell) = self.collections.by_id(plan.group.collection) {
            let inputs: Vec<_> = plan.input_ids().filter_map(|id| cell.segment(id)).collect();
            self.failures.note(&inputs, kind, self.clock.now_ms());
        }
    }

    /// Loads the inputs of a build, and has garbage collection spare its objects.
    async fn index_task(&self, plan: Plan) -> Result<IndexTask, CoordinatorError> {
        let cell = self.collections.by_id(plan.group.collection)?;
        let (id, index) = plan.builds().ok_or_else(|| CoordinatorError::Internal("a build of nothing".to_owned()))?;
        let segment = cell.segment(id).filter(Segment::is_live).ok_or_else(|| outdated(id, "it is gone"))?;
        let shape = self.shape_of(&cell, index);
        let (field, shape) = shape.ok_or_else(|| outdated(id, "the definition of its index is gone"))?;
        let logs = self.catalog.segment_logs(&segment.group, id).await?;
        self.outputs_in_flight.reserve(plan.id, 0..0);
        Ok(IndexTask { schema: Arc::clone(&cell.meta().schema), plan, segment, logs, index, field, shape })
    }

    /// Loads the merge's inputs, checks them against the rules that they were proposed by, and reserves ids for the
    /// outputs.
    async fn task(&self, plan: Plan) -> Result<CompactionTask, CoordinatorError> {
        let cell = self.collections.by_id(plan.group.collection)?;
        self.check_terms_of(&plan, &cell)?;
        let live = cell.live_in(&plan.group);
        self.check_plan(&plan, &live)?;
        let mut inputs = Vec::with_capacity(plan.inputs.len());
        for id in plan.input_ids() {
            let segment = live.iter().find(|s| s.id == id).ok_or_else(|| outdated(id, "it is gone"))?;
            let logs = self.catalog.segment_logs(&segment.group, id).await?;
            inputs.push(CompactionInput { segment: segment.clone(), logs });
        }
        let schema = Arc::clone(&cell.meta().schema);
        let count = ids_to_reserve(&plan, &schema, &inputs, &self.config.binlog, &self.config.worker);
        let ids = self.ids.alloc(count).await?;
        self.outputs_in_flight.reserve(plan.id, ids.clone());
        let max_outputs = self.commit_limit().outputs(inputs.len());
        Ok(CompactionTask { plan, schema, inputs, now_ms: self.clock.now_ms(), ids, max_outputs })
    }
}

/// A missing object does not outdate a plan. Its segment is live, so the same plan would be made again at once, for ever.
/// The object may come back, for example with a folder that was not mounted.
fn kind_of(failure: ErrorKind) -> FailureKind {
    match failure {
        ErrorKind::NotFound => FailureKind::Exhausted,
        kind => FailureKind::from(kind),
    }
}

fn refusal(error: CoordinatorError) -> SinkRefusal {
    use CoordinatorError as E;
    // A plan whose inputs or collection are gone is outdated: another attempt can't succeed, and the group is planned anew.
    // Only the catalog decides that, not a missing object or record.
    let kind = match &error {
        E::Request(
            RequestError::CollectionIdNotFound(_) | RequestError::PartitionNotFound(_) | RequestError::PlanNotFound(_),
        )
        | E::Violation(Violation::Missing { .. }) => ErrorKind::Precondition,
        other => other.kind(),
    };
    SinkRefusal::Failed { kind, message: error.to_string() }
}

fn outdated(segment: SegmentId, why: &str) -> CoordinatorError {
    CoordinatorError::Rejected(format!("input segment {segment}: {why}"))
}
