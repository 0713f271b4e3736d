//! Jobs and plans in memory: what the state calls read and what planning reserves.
//!
//! Follows the catalog: a job or plan is here only after it is durable there (P7). Holds no history that the catalog
//! does not hold.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
};

use parking_lot::RwLock;
use tokio::sync::broadcast;

use crate::model::{CollectionId, Job, JobCounts, JobId, Plan, PlanId, PlanState, SegmentId};

/// Changes that a listener may be behind by before it misses some: enough for a job of a thousand plans.
const CHANGES: usize = 4096;

/// All jobs and plans that are kept.
#[derive(Debug)]
pub struct JobBook {
    inner: RwLock<Inner>,
    changes: broadcast::Sender<PlanId>,
}

impl Default for JobBook {
    fn default() -> Self {
        Self { inner: RwLock::default(), changes: broadcast::Sender::new(CHANGES) }
    }
}

#[derive(Debug, Default)]
struct Inner {
    jobs: BTreeMap<JobId, Job>,
    plans: HashMap<PlanId, Plan>,
    /// Plans that are queued or executing: few, beside the history.
    unfinished: BTreeSet<PlanId>,
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

/// What one look into the history found.
#[derive(Debug)]
pub(super) struct Scan {
    /// Newest first.
    pub(super) found: Vec<JobView>,
    /// The last job looked at; none: the oldest job has been reached.
    pub(super) reached: Option<JobId>,
}

impl JobBook {
    /// Adds a job with those of its plans that are new.
    pub fn add(&self, job: Job, plans: Vec<Plan>) {
        let ids: Vec<PlanId> = plans.iter().map(|p| p.id).collect();
        let mut inner = self.inner.write();
        for plan in plans {
            inner.put_plan(plan);
        }
        inner.jobs.insert(job.id, job);
        drop(inner);
        self.announce(ids);
    }

    /// Replaces a plan by its next state.
    pub fn update(&self, plan: Plan) {
        let id = plan.id;
        self.inner.write().put_plan(plan);
        self.announce([id]);
    }

    /// Replaces the record of a job that is kept.
    pub(super) fn update_job(&self, job: Job) {
        self.inner.write().jobs.insert(job.id, job);
    }

    /// Ids of plans that are new or have changed, from now on. Whoever falls behind is told so, and looks again.
    pub fn changes(&self) -> broadcast::Receiver<PlanId> {
        self.changes.subscribe()
    }

    /// Has everybody who follows these plans look at them.
    pub(super) fn announce(&self, plans: impl IntoIterator<Item = PlanId>) {
        for plan in plans {
            // An error means that nobody listens.
            let _ = self.changes.send(plan);
        }
    }

    /// Looks at no more than `look` jobs older than `before` (none: all), newest first, and returns those that `which`
    /// picks, at most `find`. Bounded, so that the lock is never held for long.
    pub(super) fn scan(
        &self,
        before: Option<JobId>,
        look: usize,
        find: usize,
        which: impl Fn(&Job, &JobCounts) -> bool,
    ) -> Scan {
        let inner = self.inner.read();
        let end = before.map_or(Bound::Unbounded, Bound::Excluded);
        let mut scan = Scan { found: Vec::new(), reached: None };
        let mut jobs = inner.jobs.range((Bound::Unbounded, end)).rev();
        for (id, job) in jobs.by_ref().take(look) {
            let plans = || job.plans.iter().filter_map(|p| inner.plans.get(p));
            if which(job, &JobCounts::of(plans().map(|p| &p.state))) {
                scan.found.push(JobView { job: job.clone(), plans: plans().cloned().collect() });
            }
            scan.reached = Some(*id);
            if scan.found.len() >= find {
                break;
            }
        }
        if jobs.next().is_none() {
            scan.reached = None;
        }
        scan
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
        inner.unfinished.iter().filter_map(|id| inner.plans.get(id).cloned()).collect()
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
        if plan.state.is_terminal() {
            self.unfinished.remove(&plan.id);
        } else {
            self.unfinished.insert(plan.id);
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
