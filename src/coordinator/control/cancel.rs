//! Cancelling: ends plans for good, by plan or by job.
//!
//! The order is: stop the plan's execution, record its end durably, free its inputs. A result that was accepted before
//! the call wins: such a plan is completed, and the answer says so. A stopped merge removes its files; garbage
//! collection removes the files that it did not get to.

use std::sync::Arc;

use tracing::info;

use crate::{
    coordinator::{Coordinator, CoordinatorError, plans::Moved},
    fault::{self, Planted},
    model::{CollectionId, JobId, Plan, PlanId, RequestError},
    scheduler::Event,
};

/// The work to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelTarget {
    /// All plans that this job made. Plans that it only shares belong to the job that made them: they go on, and this
    /// job stops waiting for them.
    Job(JobId),
    Plan(PlanId),
}

/// The effect of a cancellation. Repeating it changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Ended by this call, ascending.
    pub cancelled: Vec<PlanId>,
    /// Had ended before, in any way, ascending.
    pub ended_before: Vec<PlanId>,
    /// Plans of other jobs that go on without this one, ascending.
    pub left_to_others: Vec<PlanId>,
}

impl Coordinator {
    /// Ends the plans of `target` that have not ended. `by` is kept as the reason. Durable when it returns, which is
    /// within a second: a merge gets that long to stop.
    ///
    /// # Errors
    /// `JobNotFound`, `PlanNotFound`; failures of the catalog. After such a failure the plans without a recorded end are
    /// still unfinished, and the call can be repeated.
    pub async fn cancel_compaction(
        self: &Arc<Self>,
        target: CancelTarget,
        by: &str,
    ) -> Result<Cancelled, CoordinatorError> {
        let collection = match target {
            CancelTarget::Plan(id) => {
                let plan = self.core.jobs.plan(id).ok_or(RequestError::PlanNotFound(id))?;
                plan.group.collection
            }
            CancelTarget::Job(id) => {
                let view = self.core.jobs.job(id).ok_or(RequestError::JobNotFound(id))?;
                view.job.collection
            }
        };
        // Planning holds this turn until its plans are queued, so every plan that is found here can be stopped.
        let cell = self.core.collections.by_id(collection).ok();
        let turn = match &cell {
            Some(cell) => Some(cell.planning_turn().await),
            None => None,
        };
        let (this, by) = (Arc::clone(self), by.to_owned());
        let cancel = async move {
            let _turn = turn;
            this.cancel_now(collection, target, &by).await
        };
        self.core.catalog.run(cancel).await
    }

    /// The steps of cancelling, in order. The caller must run them to their end: a plan that was stopped without a
    /// recorded end would hold its segments until a restart.
    async fn cancel_now(
        &self,
        collection: CollectionId,
        target: CancelTarget,
        by: &str,
    ) -> Result<Cancelled, CoordinatorError> {
        let mut answer = Cancelled::default();
        if let CancelTarget::Job(id) = target {
            answer.left_to_others = self.leave_shared_plans(id, by).await?;
        }
        let targets: Vec<Plan> = match target {
            CancelTarget::Plan(id) => self.core.jobs.plan(id).into_iter().collect(),
            CancelTarget::Job(id) => {
                let view = self.core.jobs.job(id).ok_or(RequestError::JobNotFound(id))?;
                view.plans.into_iter().filter(|p| p.job == id).collect()
            }
        };
        let (ended, unfinished): (Vec<Plan>, Vec<Plan>) = targets.into_iter().partition(|p| p.state.is_terminal());
        answer.ended_before = ended.into_iter().map(|p| p.id).collect();
        match target {
            CancelTarget::Plan(id) if !unfinished.is_empty() => {
                self.scheduler.cancel(id).await;
            }
            CancelTarget::Job(id) if !unfinished.is_empty() => {
                self.scheduler.cancel_job(id).await;
            }
            _ => {}
        }
        let unfinished: Vec<PlanId> = unfinished.into_iter().map(|p| p.id).collect();
        // Nothing executes them any more, or they have come to another end first.
        let event = Event::Cancel { by: by.to_owned(), at_ms: self.core.clock.now_ms() };
        let Moved { moved, ended_before } = self.core.move_plans(&unfinished, &event).await?;
        answer.cancelled.extend(moved);
        answer.ended_before.extend(ended_before);
        if fault::planted(Planted::EndedIsCancelled) {
            answer.cancelled.append(&mut answer.ended_before);
        }
        answer.cancelled.sort_unstable();
        answer.ended_before.sort_unstable();
        self.note_cancelled(collection, target, by, &answer);
        Ok(answer)
    }

    /// Removes unfinished plans of other jobs from a job's list, durably.
    async fn leave_shared_plans(&self, id: JobId, by: &str) -> Result<Vec<PlanId>, CoordinatorError> {
        let view = self.core.jobs.job(id).ok_or(RequestError::JobNotFound(id))?;
        let shared = view.plans.iter().filter(|p| p.job != id && !p.state.is_terminal());
        let mut left: Vec<PlanId> = shared.map(|p| p.id).collect();
        if left.is_empty() {
            return Ok(left);
        }
        left.sort_unstable();
        let mut job = view.job;
        job.plans.retain(|p| left.binary_search(p).is_err());
        if job.plans.is_empty() {
            job.nothing_to_do = Some(format!("cancelled by {by}; its segments are in plans of other jobs"));
        }
        let mut txn = self.core.catalog.txn();
        txn.put_job(&job);
        let core = Arc::clone(&self.core);
        self.core.catalog.commit(txn, (), move || core.jobs.update_job(job)).await?;
        Ok(left)
    }

    fn note_cancelled(&self, collection: CollectionId, target: CancelTarget, by: &str, answer: &Cancelled) {
        let (job, plan) = match target {
            CancelTarget::Job(id) => (Some(id.0), None),
            CancelTarget::Plan(id) => (None, Some(id.0)),
        };
        let (cancelled, before) = (answer.cancelled.len(), answer.ended_before.len());
        info!(%collection, job, plan, cancelled, ended_before = before, by, "compaction cancelled");
    }
}
