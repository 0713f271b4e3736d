//! Cancelling: ends plans for good, by plan or by job.
//!
//! First nothing of a plan may run any more, then its end is recorded, durably; only then are its inputs free. A result
//! that was accepted before the call wins: such a plan is completed, and the answer says so. Files that a stopped merge
//! left are removed by it, or, if it did not get to that, by garbage collection, which no longer spares them.

use tracing::info;

use crate::{
    coordinator::{Coordinator, CoordinatorError},
    model::{CollectionId, Job, JobId, Plan, PlanId},
    scheduler::{Event, transition},
};

/// What to cancel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelTarget {
    /// All plans that this job made. Plans that it only shares belong to the job that made them: they go on, and this
    /// job stops waiting for them.
    Job(JobId),
    Plan(PlanId),
}

/// What a cancellation did. Doing it again leaves everything as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Ended by this call, ascending.
    pub cancelled: Vec<PlanId>,
    /// Had ended before, in whatever way, ascending.
    pub ended_before: Vec<PlanId>,
    /// Plans of other jobs that go on without this one, ascending.
    pub left_to_others: Vec<PlanId>,
}

impl Coordinator {
    /// Ends the plans of `target` that have not ended. `by` is kept as the reason. Durable when it returns, which is
    /// within a second: a merge gets that long to stop.
    ///
    /// # Errors
    /// `JobNotFound`, `PlanNotFound`; failures of the catalog, after which whatever was not recorded is still going to
    /// run, and the call can be repeated.
    pub async fn cancel_compaction(&self, target: CancelTarget, by: &str) -> Result<Cancelled, CoordinatorError> {
        let (collection, shared) = match target {
            CancelTarget::Plan(id) => {
                let plan = self.core.jobs.plan(id).ok_or(CoordinatorError::PlanNotFound(id))?;
                (plan.group.collection, None)
            }
            CancelTarget::Job(id) => {
                let view = self.core.jobs.job(id).ok_or(CoordinatorError::JobNotFound(id))?;
                (view.job.collection, Some(id))
            }
        };
        // Whoever plans holds this until its plans are in the queue: a plan that we see is where we can stop it.
        let cell = self.core.state.by_id(collection).ok();
        let _planning = match &cell {
            Some(cell) => Some(cell.planning.lock().await),
            None => None,
        };
        let mut answer = Cancelled::default();
        if let Some(id) = shared {
            answer.left_to_others = self.leave_shared_plans(id, by).await?;
        }
        let targets: Vec<Plan> = match target {
            CancelTarget::Plan(id) => self.core.jobs.plan(id).into_iter().collect(),
            CancelTarget::Job(id) => {
                let view = self.core.jobs.job(id).ok_or(CoordinatorError::JobNotFound(id))?;
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
        for chunk in unfinished.chunks(PLANS_PER_TXN) {
            let (cancelled, ended) = self.record_cancelled(chunk, by).await?;
            answer.cancelled.extend(cancelled);
            answer.ended_before.extend(ended);
        }
        answer.cancelled.sort_unstable();
        answer.ended_before.sort_unstable();
        self.note_cancelled(collection, target, by, &answer);
        Ok(answer)
    }

    /// Records the end of plans that nothing executes any more, in one transaction. Returns those it ended, and those
    /// that had come to another end first.
    async fn record_cancelled(
        &self,
        plans: &[PlanId],
        by: &str,
    ) -> Result<(Vec<PlanId>, Vec<PlanId>), CoordinatorError> {
        let at_ms = self.core.clock.now_ms();
        let (mut cancelled, mut ended) = (Vec::new(), Vec::new());
        let mut txn = self.core.catalog.txn();
        for id in plans {
            let mut plan = self.core.jobs.plan(*id).ok_or(CoordinatorError::PlanNotFound(*id))?;
            if plan.state.is_terminal() {
                ended.push(*id);
                continue;
            }
            plan.state = transition(&plan.state, Event::Cancel { by: by.to_owned(), at_ms })?;
            txn.put_plan(&plan);
            cancelled.push(plan);
        }
        if !cancelled.is_empty() {
            txn.commit().await?;
        }
        let ids = cancelled.iter().map(|p| p.id).collect();
        for plan in cancelled {
            self.core.count_ended(&plan);
            self.core.outputs_in_flight.release(plan.id);
            self.core.jobs.update(plan);
        }
        Ok((ids, ended))
    }

    /// Takes unfinished plans of other jobs off a job's list, durably.
    async fn leave_shared_plans(&self, id: JobId, by: &str) -> Result<Vec<PlanId>, CoordinatorError> {
        let view = self.core.jobs.job(id).ok_or(CoordinatorError::JobNotFound(id))?;
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
        txn.commit().await?;
        self.core.jobs.update_job(Job::clone(&job));
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

/// A transaction of etcd has 128 operations at most.
const PLANS_PER_TXN: usize = 100;
