//! The scheduler's side of a plan's life: every step becomes durable here before the scheduler goes on.

use std::sync::Arc;

use async_trait::async_trait;
use tracing::{info, warn};

use super::{CoordinatorError, Core};
use crate::{
    compactor::{CompactError, CompactionInput, CompactionTask, Outcome, OutputIds},
    error::{Classify, ErrorKind},
    model::{FailureKind, LogId, Plan, PlanId, SegmentId},
    planner::Violation,
    scheduler::{Attempt, Event, Failure, JobSink, Refusal},
};

#[async_trait]
impl JobSink for Arc<Core> {
    async fn prepare(&self, attempt: Attempt) -> Result<CompactionTask, Refusal> {
        self.step(attempt, Event::Begin { at_ms: self.clock.now_ms() }).await?;
        let plan = self.current(attempt)?;
        let waited_ms = self.clock.now_ms().saturating_sub(plan.created_at_ms);
        self.metrics.compaction.wait.observe(waited_ms as f64 / 1000.0);
        info!(plan = %plan.id, job = %plan.job, attempt = attempt.number, group = %plan.group, "plan executing");
        self.task(plan).await.map_err(refusal)
    }

    async fn completed(&self, attempt: Attempt, outcome: Outcome) -> Result<(), Refusal> {
        let plan = self.current(attempt)?;
        let committed = self.commit_compaction(&plan, outcome).await;
        self.outputs_in_flight.release(plan.id);
        committed.map_err(refusal)
    }

    async fn failed(&self, attempt: Attempt, failure: Failure) {
        warn!(plan = %attempt.plan, attempt = attempt.number, kind = failure.kind.as_str(), retry_at_ms = failure.retry_at_ms, message = %failure.message, "plan attempt failed");
        self.metrics.compaction.failures.with([failure.kind.as_str()]).inc();
        self.outputs_in_flight.release(attempt.plan);
        let at_ms = self.clock.now_ms();
        let event = match failure.retry_at_ms {
            Some(not_before_ms) => Event::Retry { not_before_ms },
            None => {
                let kind = kind_of(failure.kind);
                self.remember_failure(attempt.plan, kind);
                Event::Fail { kind, message: failure.message, at_ms }
            }
        };
        self.record(attempt, event).await;
    }

    async fn timed_out(&self, attempt: Attempt, message: String) {
        warn!(plan = %attempt.plan, attempt = attempt.number, %message, "plan timed out");
        self.outputs_in_flight.release(attempt.plan);
        // Or every tick would make the same plan again, to hang for as long.
        self.remember_failure(attempt.plan, FailureKind::Exhausted);
        self.record(attempt, Event::TimeOut { message, at_ms: self.clock.now_ms() }).await;
    }
}

impl Core {
    /// The plan, if this is still its attempt.
    fn current(&self, attempt: Attempt) -> Result<Plan, Refusal> {
        self.jobs
            .plan(attempt.plan)
            .filter(|p| !p.state.is_terminal() && p.attempts == attempt.number)
            .ok_or(Refusal::Ended)
    }

    /// Takes a plan to its next state, durably.
    async fn step(self: &Arc<Self>, attempt: Attempt, event: Event) -> Result<(), Refusal> {
        let plan = self.jobs.plan(attempt.plan).filter(|p| !p.state.is_terminal()).ok_or(Refusal::Ended)?;
        self.move_plan(Plan { attempts: attempt.number, ..plan }, event).await.map_err(refusal)
    }

    async fn record(self: &Arc<Self>, attempt: Attempt, event: Event) {
        if let Err(Refusal::Failed { message, .. }) = self.step(attempt, event).await {
            // The plan stays as it was in the store; the next start queues it again.
            warn!(plan = %attempt.plan, %message, "the end of an attempt could not be recorded");
        }
    }

    /// An outdated plan is planned again at once; inputs that failed otherwise are left alone, for a time or until they
    /// change.
    fn remember_failure(&self, plan: PlanId, kind: FailureKind) {
        let Some(plan) = self.jobs.plan(plan) else { return };
        if kind == FailureKind::Outdated {
            self.flush_events.raise(plan.group);
            return;
        }
        if let Ok(cell) = self.collections.by_id(plan.group.collection) {
            let inputs: Vec<_> = plan.input_ids().filter_map(|id| cell.segment(id)).collect();
            self.failures.note(&inputs, kind, self.clock.now_ms());
        }
    }

    /// Loads what the merge needs, and checks the inputs against the rules that they were proposed by.
    async fn task(&self, plan: Plan) -> Result<CompactionTask, CoordinatorError> {
        let cell = self.collections.by_id(plan.group.collection)?;
        // The commit asks again: here it saves the work of a plan that could not be committed.
        self.check_terms_of(&plan, &cell)?;
        let live = cell.live_in(&plan.group);
        self.check_plan(&plan, &live)?;
        let mut inputs = Vec::with_capacity(plan.inputs.len());
        for id in plan.input_ids() {
            let segment = live.iter().find(|s| s.id == id).ok_or_else(|| outdated(id, "it is gone"))?;
            let logs = self.catalog.segment_logs(&segment.group, id).await?;
            inputs.push(CompactionInput { segment: segment.clone(), logs });
        }
        Ok(CompactionTask { plan, schema: Arc::clone(&cell.meta().schema), inputs, now_ms: self.clock.now_ms() })
    }
}

/// Ids of outputs, remembered until their attempt ends so that garbage collection leaves their objects alone (P5).
impl OutputIds for Core {
    fn next_segment(&self, plan: PlanId) -> Result<SegmentId, CompactError> {
        let id = SegmentId(
            self.ids.next_blocking().map_err(|e| CompactError::Ids { kind: e.kind(), message: e.to_string() })?,
        );
        self.outputs_in_flight.add(id, plan);
        Ok(id)
    }

    fn next_log(&self) -> Result<LogId, CompactError> {
        self.ids.next_blocking().map(LogId).map_err(|e| CompactError::Ids { kind: e.kind(), message: e.to_string() })
    }
}

/// An object that is not there does not outdate a plan: its segment is live, and the same plan would be made at once,
/// for ever. It may be there again, like a folder that is away.
fn kind_of(failure: ErrorKind) -> FailureKind {
    match failure {
        ErrorKind::NotFound => FailureKind::Exhausted,
        kind => FailureKind::from(kind),
    }
}

fn refusal(error: CoordinatorError) -> Refusal {
    use CoordinatorError as E;
    // A plan whose inputs or collection went away is outdated: it can't succeed by being tried again, the group is
    // planned anew. Only the catalog's word counts for that, not an object or a record that should be there.
    let kind = match &error {
        E::CollectionIdNotFound(_)
        | E::PartitionNotFound(_)
        | E::PlanNotFound(_)
        | E::Violation(Violation::Missing { .. }) => ErrorKind::Precondition,
        other => other.kind(),
    };
    Refusal::Failed { kind, message: error.to_string() }
}

fn outdated(segment: SegmentId, why: &str) -> CoordinatorError {
    CoordinatorError::Rejected(format!("input segment {segment}: {why}"))
}
