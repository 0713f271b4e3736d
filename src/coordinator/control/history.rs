//! The history of jobs: listed newest first, in pages, and trimmed by age and number.
//!
//! Reads the job book in small steps; never holds its lock for a whole history.

use std::{collections::HashSet, sync::Arc};

use tracing::warn;

use crate::{
    coordinator::{Coordinator, CoordinatorError, JobView},
    fault::{self, Planted},
    model::{CollectionId, Job, JobCounts, JobId, JobState, Plan, PlanKind, RequestError, Trigger},
};

/// Jobs looked at under one lock.
const STEP: usize = 256;

/// Which jobs to list. The default lists all.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub collections: Option<HashSet<CollectionId>>,
    pub state: Option<JobState>,
    pub trigger: Option<Trigger>,
    /// Earliest time of creation, milliseconds since 1970.
    pub created_from_ms: Option<u64>,
    /// Jobs created at this time or later are left out, milliseconds since 1970.
    pub created_until_ms: Option<u64>,
}

impl JobFilter {
    fn covers(&self, job: &Job, counts: &JobCounts) -> bool {
        self.collections.as_ref().is_none_or(|ids| ids.contains(&job.collection))
            && self.state.is_none_or(|state| state == counts.state())
            && self.trigger.is_none_or(|trigger| trigger == job.trigger)
            && self.created_from_ms.is_none_or(|from| job.created_at_ms >= from)
            && self.created_until_ms.is_none_or(|until| job.created_at_ms < until)
    }
}

/// One page of the history.
#[derive(Debug)]
pub struct JobPage {
    /// Newest first.
    pub jobs: Vec<JobView>,
    /// The next page has the jobs older than this one; none: there is no next page.
    pub next: Option<JobId>,
}

/// Jobs dropped per transaction, if the store takes so many.
const HISTORY_CHUNK: usize = 1000;

impl Coordinator {
    /// A job that is kept, with its plans.
    ///
    /// # Errors
    /// `JobNotFound`.
    pub fn job(&self, id: JobId) -> Result<JobView, CoordinatorError> {
        Ok(self.core.jobs.job(id).ok_or(RequestError::JobNotFound(id))?)
    }

    /// Counts of a job's plans. Refused while compaction is off, as in Milvus.
    ///
    /// # Errors
    /// `CompactionDisabled`, `JobNotFound`.
    pub fn job_counts(&self, id: JobId) -> Result<JobCounts, CoordinatorError> {
        self.check_compaction_enabled()?;
        let counts = self.core.jobs.counts(id);
        let counts = counts.or_else(|| fault::planted(Planted::UnknownIsCompleted).then(JobCounts::default));
        Ok(counts.ok_or(RequestError::JobNotFound(id))?)
    }

    /// Compactions of all jobs of a collection that are kept, newest job first, each plan once. Builds of indexes are none.
    pub fn plans_of_collection(&self, id: CollectionId) -> Vec<Plan> {
        let mut seen = HashSet::new();
        let plans = self.core.jobs.of_collection(id).into_iter().flat_map(|view| view.plans);
        plans.filter(|plan| plan.kind != PlanKind::Index && seen.insert(plan.id)).collect()
    }

    /// Jobs that the filter covers, newest first, from those older than `before` (none: from the newest). A page that
    /// says so has a successor that is not empty.
    pub fn list_jobs(&self, filter: &JobFilter, before: Option<JobId>, page_size: usize) -> JobPage {
        let mut jobs: Vec<JobView> = Vec::new();
        let mut cursor = before;
        loop {
            let missing = page_size + 1 - jobs.len();
            let scan = self.core.jobs.scan(cursor, STEP, missing, |job, counts| filter.covers(job, counts));
            jobs.extend(scan.found);
            if jobs.len() > page_size {
                jobs.truncate(page_size);
                return JobPage { next: jobs.last().map(|view| view.job.id), jobs };
            }
            if scan.reached.is_none() {
                return JobPage { jobs, next: None };
            }
            cursor = scan.reached;
        }
    }

    /// Drops finished jobs that are too old or too many.
    pub(in crate::coordinator) async fn trim_history(&self) {
        let config = &self.core.config.compaction;
        let older_than = self.core.clock.now_ms().saturating_sub(config.history_age.as_millis() as u64);
        // A job is two operations: its record, and the prefix of its plans.
        let at_once = HISTORY_CHUNK.min(self.core.catalog.max_operations() / 2).max(1);
        loop {
            let surplus = self.core.jobs.surplus(older_than, config.history_jobs, at_once);
            if surplus.is_empty() {
                return;
            }
            let mut txn = self.core.catalog.txn();
            for job in &surplus {
                txn.delete_job(*job);
            }
            let core = Arc::clone(&self.core);
            if let Err(error) = self.core.catalog.commit(txn, (), move || core.jobs.forget(&surplus)).await {
                warn!(%error, "old jobs could not be dropped; the next tick tries again");
                return;
            }
        }
    }
}
