//! Jobs and plans in memory, for the state calls, and the reservations of segments, for planning.
//!
//! Follows the catalog: a job or plan is here only after it is durable there (P7). Holds no history that the catalog
//! does not hold.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use tokio::sync::broadcast;

use super::sync::RwLock;
use crate::{
    fault::{self, Planted},
    model::{CollectionId, Job, JobCounts, JobId, Plan, PlanId, PlanReason, PlanState, SegmentId, Terms, Trigger},
};

/// Changes that a listener may lag behind before it misses some: enough for a job of a thousand plans.
const CHANGES: usize = 4096;
/// Records that are read, added or forgotten in one hold of the lock, which bounds the wait of others.
const PAGE: usize = 64;

/// All jobs and plans that are kept.
#[derive(Debug)]
pub struct JobBook {
    inner: RwLock<Records>,
    changes: broadcast::Sender<PlanId>,
}

impl Default for JobBook {
    fn default() -> Self {
        Self { inner: RwLock::default(), changes: broadcast::Sender::new(CHANGES) }
    }
}

/// Trees, because a hash table of a hundred thousand records would block all readers while it grows.
#[derive(Debug, Default)]
struct Records {
    jobs: BTreeMap<JobId, Arc<Job>>,
    of_collections: BTreeSet<(CollectionId, JobId)>,
    plans: BTreeMap<PlanId, Arc<Plan>>,
    /// Plans that are queued or executing: few, beside the history.
    unfinished: BTreeSet<PlanId>,
    /// Segments of unfinished plans that rewrite: a segment is in one such plan at most.
    reserved: BTreeMap<SegmentId, PlanId>,
    /// Unfinished builds by segment and definition. They leave the segment to merges.
    builds: BTreeMap<(SegmentId, i64), PlanId>,
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

/// The records behind a [`JobView`], which is copied after the lock is released.
struct ViewRecords {
    job: Arc<Job>,
    plans: Vec<Arc<Plan>>,
}

impl ViewRecords {
    fn view(&self) -> JobView {
        JobView { job: Job::clone(&self.job), plans: self.plans.iter().map(|p| Plan::clone(p)).collect() }
    }
}

/// The result of one look into the history.
#[derive(Debug)]
pub(super) struct HistoryPage {
    /// Newest first.
    pub(super) found: Vec<JobView>,
    /// The last job looked at; none: the oldest job has been reached.
    pub(super) reached: Option<JobId>,
}

impl JobBook {
    /// The book as a start finds it.
    pub(super) fn recovered(jobs: Vec<Job>, plans: Vec<Plan>) -> Self {
        let mut inner = Records::default();
        plans.iter().for_each(|plan| inner.reserve(plan));
        inner.plans = plans.into_iter().map(|plan| (plan.id, Arc::new(plan))).collect();
        inner.of_collections = jobs.iter().map(|job| (job.collection, job.id)).collect();
        inner.jobs = jobs.into_iter().map(|job| (job.id, Arc::new(job))).collect();
        Self { inner: RwLock::new(inner), ..Self::default() }
    }

    /// Adds a job with its new plans, the plans first, so that a reader that finds the job finds all of its plans.
    pub fn add(&self, job: Job, plans: Vec<Plan>) {
        let ids: Vec<PlanId> = plans.iter().map(|p| p.id).collect();
        let mut plans = plans.into_iter().map(Arc::new);
        loop {
            let page: Vec<_> = plans.by_ref().take(PAGE).collect();
            if page.is_empty() {
                break;
            }
            let mut inner = self.inner.write();
            page.into_iter().for_each(|plan| inner.put_plan(plan));
        }
        self.update_job(job);
        self.announce(ids);
    }

    /// Replaces a plan by its next state.
    pub fn update(&self, plan: Plan) {
        let (id, plan) = (plan.id, Arc::new(plan));
        self.inner.write().put_plan(plan);
        self.announce([id]);
    }

    /// Takes over the record of a job, new or kept.
    pub(super) fn update_job(&self, job: Job) {
        let job = Arc::new(job);
        let mut inner = self.inner.write();
        inner.of_collections.insert((job.collection, job.id));
        inner.jobs.insert(job.id, job);
    }

    /// Ids of plans that are new or have changed, from now on. A receiver that falls behind gets an error and must look
    /// again.
    pub fn changes(&self) -> broadcast::Receiver<PlanId> {
        self.changes.subscribe()
    }

    /// Tells the listeners to look at these plans.
    pub(super) fn announce(&self, plans: impl IntoIterator<Item = PlanId>) {
        for plan in plans {
            // An error means that there is no listener.
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
    ) -> HistoryPage {
        let (mut found, mut reached) = (Vec::new(), None);
        {
            let inner = self.inner.read();
            let end = before.map_or(Bound::Unbounded, Bound::Excluded);
            let mut jobs = inner.jobs.range((Bound::Unbounded, end)).rev();
            for (id, job) in jobs.by_ref().take(look) {
                if which(job, &inner.counts(job)) {
                    found.push(inner.shared(job));
                }
                reached = Some(*id);
                if found.len() >= find {
                    break;
                }
            }
            if jobs.next().is_none() {
                reached = None;
            }
        }
        HistoryPage { found: found.iter().map(ViewRecords::view).collect(), reached }
    }

    pub fn plan(&self, id: PlanId) -> Option<Plan> {
        let plan = self.inner.read().plans.get(&id).map(Arc::clone)?;
        Some(Plan::clone(&plan))
    }

    pub fn job(&self, id: JobId) -> Option<JobView> {
        let shared = {
            let inner = self.inner.read();
            inner.jobs.get(&id).map(|job| inner.shared(job))
        };
        shared.map(|shared| shared.view())
    }

    /// The trigger and the terms of a job.
    pub(super) fn origin(&self, id: JobId) -> Option<(Trigger, Terms)> {
        self.inner.read().jobs.get(&id).map(|job| (job.trigger, job.terms))
    }

    /// Counts of a job's plans without copying them: the state call is the hottest of all.
    pub fn counts(&self, id: JobId) -> Option<JobCounts> {
        let inner = self.inner.read();
        inner.jobs.get(&id).map(|job| inner.counts(job))
    }

    /// The unfinished plan a segment belongs to.
    pub fn reserved_by(&self, segment: SegmentId) -> Option<PlanId> {
        self.inner.read().reserved.get(&segment).copied()
    }

    /// The unfinished build of an index.
    pub fn build_of(&self, segment: SegmentId, index: i64) -> Option<PlanId> {
        self.inner.read().builds.get(&(segment, index)).copied()
    }

    /// An unfinished plan that reads a segment.
    pub fn plan_over(&self, segment: SegmentId) -> Option<PlanId> {
        let inner = self.inner.read();
        let builds = inner.builds.range((segment, i64::MIN)..=(segment, i64::MAX)).next();
        inner.reserved.get(&segment).or(builds.map(|(_, plan)| plan)).copied()
    }

    /// Unfinished builds, ascending by segment.
    pub(super) fn builds(&self) -> Vec<(SegmentId, i64, PlanId)> {
        self.inner.read().builds.iter().map(|((segment, index), plan)| (*segment, *index, *plan)).collect()
    }

    /// Jobs of one collection, newest first.
    pub fn of_collection(&self, collection: CollectionId) -> Vec<JobView> {
        let mut found: Vec<ViewRecords> = Vec::new();
        loop {
            let end = found.last().map_or(Bound::Included((collection, JobId(i64::MAX))), |last| {
                Bound::Excluded((collection, last.job.id))
            });
            let inner = self.inner.read();
            let older = inner.of_collections.range((Bound::Included((collection, JobId(i64::MIN))), end)).rev();
            let before = found.len();
            found.extend(older.take(PAGE).filter_map(|(_, id)| inner.jobs.get(id)).map(|job| inner.shared(job)));
            drop(inner);
            if found.len() == before {
                return found.iter().map(ViewRecords::view).collect();
            }
        }
    }

    /// Segments of a collection that plans for segments of a size have written.
    pub fn targets_of_a_size(&self, collection: CollectionId) -> BTreeSet<SegmentId> {
        let plans = self.of_collection(collection).into_iter().flat_map(|view| view.plans);
        let targets = plans.filter_map(|plan| match (plan.reason, plan.state) {
            (PlanReason::ForceMerge { .. }, PlanState::Completed { targets, .. }) => Some(targets),
            _ => None,
        });
        targets.flatten().collect()
    }

    /// Plans that are queued or executing, oldest first.
    pub fn unfinished(&self) -> Vec<Plan> {
        self.unfinished_shared().iter().map(|plan| Plan::clone(plan)).collect()
    }

    /// The number of jobs with plans that are queued or executing.
    pub(super) fn executing(&self) -> usize {
        self.unfinished_shared().iter().map(|plan| plan.job).collect::<BTreeSet<_>>().len()
    }

    fn unfinished_shared(&self) -> Vec<Arc<Plan>> {
        let mut found: Vec<Arc<Plan>> = Vec::new();
        loop {
            let after = found.last().map_or(Bound::Unbounded, |plan| Bound::Excluded(plan.id));
            let inner = self.inner.read();
            let next = inner.unfinished.range((after, Bound::Unbounded)).take(PAGE);
            let before = found.len();
            found.extend(next.filter_map(|id| inner.plans.get(id).map(Arc::clone)));
            drop(inner);
            if found.len() == before {
                return found;
            }
        }
    }

    pub fn len(&self) -> usize {
        self.inner.read().jobs.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finished jobs that are too old or too many, oldest first, at most `limit`. A job with an unfinished plan is
    /// never among them.
    pub fn surplus(&self, older_than_ms: u64, keep: u64, limit: usize) -> Vec<JobId> {
        let inner = self.inner.read();
        let too_many = inner.jobs.len().saturating_sub(keep as usize);
        inner
            .jobs
            .values()
            .enumerate()
            .take_while(|(at, job)| *at < too_many || job.created_at_ms < older_than_ms)
            .filter(|(_, job)| inner.counts(job).is_finished())
            .map(|(_, job)| job.id)
            .take(limit)
            .collect()
    }

    /// Forgets jobs and the plans that belong to them.
    pub fn forget(&self, jobs: &[JobId]) {
        for page in jobs.chunks(PAGE) {
            let mut inner = self.inner.write();
            // Freed after the lock.
            let _gone: Vec<_> = page.iter().filter_map(|id| inner.forget(*id)).collect();
            drop(inner);
        }
    }
}

impl Records {
    fn shared(&self, job: &Arc<Job>) -> ViewRecords {
        let plans = job.plans.iter().filter_map(|p| self.plans.get(p).map(Arc::clone)).collect();
        ViewRecords { job: Arc::clone(job), plans }
    }

    fn counts(&self, job: &Job) -> JobCounts {
        JobCounts::of(job.plans.iter().filter_map(|p| self.plans.get(p)).map(|p| &p.state))
    }

    fn put_plan(&mut self, plan: Arc<Plan>) {
        self.reserve(&plan);
        self.plans.insert(plan.id, plan);
    }

    /// Takes the inputs of an unfinished plan, gives back those of one that has ended.
    fn reserve(&mut self, plan: &Plan) {
        if let Some(build) = plan.builds() {
            if !plan.state.is_terminal() {
                self.builds.insert(build, plan.id);
                self.unfinished.insert(plan.id);
                return;
            }
            if self.builds.get(&build) == Some(&plan.id) {
                self.builds.remove(&build);
            }
            self.unfinished.remove(&plan.id);
            return;
        }
        if plan.state.is_terminal() {
            for segment in plan.input_ids() {
                if self.reserved.get(&segment) == Some(&plan.id) {
                    self.reserved.remove(&segment);
                }
            }
            self.unfinished.remove(&plan.id);
        } else {
            if !fault::planted(Planted::NotReserved) {
                self.reserved.extend(plan.input_ids().map(|segment| (segment, plan.id)));
            }
            self.unfinished.insert(plan.id);
        }
    }

    fn forget(&mut self, id: JobId) -> Option<ViewRecords> {
        let job = self.jobs.remove(&id)?;
        self.of_collections.remove(&(job.collection, id));
        let mut gone = ViewRecords { plans: Vec::new(), job };
        for plan in &gone.job.plans {
            // A plan that another job adopted belongs to the job that made it.
            if self.plans.get(plan).is_some_and(|p| p.job == id) {
                gone.plans.extend(self.plans.remove(plan));
            }
        }
        Some(gone)
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

#[cfg(test)]
mod tests;
