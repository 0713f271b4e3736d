//! Jobs and plans in memory: what the state calls read and what planning reserves.
//!
//! Follows the catalog: a job or plan is here only after it is durable there (P7). Holds no history that the catalog
//! does not hold.

use std::collections::{BTreeMap, HashMap};

use parking_lot::RwLock;

use crate::model::{CollectionId, Job, JobCounts, JobId, Plan, PlanId, PlanState, SegmentId};

/// All jobs and plans that are kept.
#[derive(Debug, Default)]
pub struct JobBook {
    inner: RwLock<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    jobs: BTreeMap<JobId, Job>,
    plans: HashMap<PlanId, Plan>,
    /// Segments of unfinished plans: a segment is in one such plan at most.
    reserved: HashMap<SegmentId, PlanId>,
}

/// A job with its plans, as of one moment.
#[derive(Debug, Clone)]
pub struct JobView {
    pub job: Job,
    pub plans: Vec<Plan>,
}

impl JobView {
    pub fn counts(&self) -> JobCounts {
        JobCounts::of(self.plans.iter().map(|p| &p.state))
    }
}

impl JobBook {
    /// Adds a job with those of its plans that are new.
    pub fn add(&self, job: Job, plans: Vec<Plan>) {
        let mut inner = self.inner.write();
        for plan in plans {
            inner.put_plan(plan);
        }
        inner.jobs.insert(job.id, job);
    }

    /// Replaces a plan by its next state.
    pub fn update(&self, plan: Plan) {
        self.inner.write().put_plan(plan);
    }

    pub fn plan(&self, id: PlanId) -> Option<Plan> {
        self.inner.read().plans.get(&id).cloned()
    }

    pub fn job(&self, id: JobId) -> Option<JobView> {
        let inner = self.inner.read();
        let job = inner.jobs.get(&id)?.clone();
        let plans = job.plans.iter().filter_map(|p| inner.plans.get(p).cloned()).collect();
        Some(JobView { job, plans })
    }

    /// Counts of a job's plans without copying them: the state call is the hottest of all.
    pub fn counts(&self, id: JobId) -> Option<JobCounts> {
        let inner = self.inner.read();
        let job = inner.jobs.get(&id)?;
        Some(JobCounts::of(job.plans.iter().filter_map(|p| inner.plans.get(p)).map(|p| &p.state)))
    }

    /// The unfinished plan a segment belongs to.
    pub fn reserved_by(&self, segment: SegmentId) -> Option<PlanId> {
        self.inner.read().reserved.get(&segment).copied()
    }

    /// Jobs of one collection, newest first.
    pub fn of_collection(&self, collection: CollectionId) -> Vec<JobView> {
        let inner = self.inner.read();
        inner
            .jobs
            .values()
            .rev()
            .filter(|j| j.collection == collection)
            .map(|job| JobView {
                job: job.clone(),
                plans: job.plans.iter().filter_map(|p| inner.plans.get(p).cloned()).collect(),
            })
            .collect()
    }

    /// Plans that are queued or executing, oldest first.
    pub fn unfinished(&self) -> Vec<Plan> {
        let inner = self.inner.read();
        let mut plans: Vec<_> = inner.plans.values().filter(|p| !p.state.is_terminal()).cloned().collect();
        plans.sort_by_key(|p| p.id);
        plans
    }

    /// How many plans are in each state, by the state's name.
    pub fn plans_by_state(&self) -> BTreeMap<&'static str, u64> {
        let mut by_state = BTreeMap::new();
        for plan in self.inner.read().plans.values() {
            *by_state.entry(plan.state.as_str()).or_default() += 1;
        }
        by_state
    }

    pub fn len(&self) -> usize {
        self.inner.read().jobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finished jobs that are too old or too many, oldest first. A job with an unfinished plan is never among them.
    pub fn surplus(&self, older_than_ms: u64, keep: u64) -> Vec<JobId> {
        let inner = self.inner.read();
        let too_many = inner.jobs.len().saturating_sub(keep as usize);
        inner
            .jobs
            .values()
            .enumerate()
            .take_while(|(at, job)| *at < too_many || job.created_at_ms < older_than_ms)
            .filter(|(_, job)| job.plans.iter().all(|p| inner.plans.get(p).is_none_or(|p| p.state.is_terminal())))
            .map(|(_, job)| job.id)
            .collect()
    }

    /// Forgets jobs and the plans that belong to them.
    pub fn forget(&self, jobs: &[JobId]) {
        let mut inner = self.inner.write();
        for id in jobs {
            if let Some(job) = inner.jobs.remove(id) {
                for plan in job.plans {
                    // A plan that another job adopted belongs to the job that made it.
                    if inner.plans.get(&plan).is_some_and(|p| p.job == *id) {
                        inner.plans.remove(&plan);
                    }
                }
            }
        }
    }
}

impl Inner {
    fn put_plan(&mut self, plan: Plan) {
        for segment in plan.input_ids() {
            if plan.state.is_terminal() {
                if self.reserved.get(&segment) == Some(&plan.id) {
                    self.reserved.remove(&segment);
                }
            } else {
                self.reserved.insert(segment, plan.id);
            }
        }
        self.plans.insert(plan.id, plan);
    }
}

/// Milliseconds since 1970 at which a terminal state was reached.
pub fn ended_at_ms(state: &PlanState) -> Option<u64> {
    match state {
        PlanState::Queued { .. } | PlanState::Executing { .. } => None,
        PlanState::Completed { ended_at_ms, .. }
        | PlanState::Failed { ended_at_ms, .. }
        | PlanState::TimedOut { ended_at_ms, .. }
        | PlanState::Cancelled { ended_at_ms, .. } => Some(*ended_at_ms),
    }
}
