//! The history of jobs, newest first, in pages.
//!
//! Reads the job book in small steps; never holds its lock for a whole history.

use std::collections::HashSet;

use crate::{
    coordinator::{Coordinator, JobView},
    model::{CollectionId, Job, JobCounts, JobId, JobState, Trigger},
};

/// Jobs looked at under one lock.
const STEP: usize = 256;

/// Which jobs to list. The default lists all.
#[derive(Debug, Clone, Default)]
pub struct JobFilter {
    pub collections: Option<HashSet<CollectionId>>,
    pub state: Option<JobState>,
    pub trigger: Option<Trigger>,
    /// Made at this time or later, milliseconds since 1970,
    pub created_from_ms: Option<u64>,
    /// and before this time.
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

impl Coordinator {
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
}
