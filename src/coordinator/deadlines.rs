//! The deadlines of unfinished jobs. A loop (`control::timers`) ends the jobs that are due.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::{Job, JobId};

/// Deadlines of jobs, earliest first.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// Milliseconds since 1970.
    waiting: Mutex<BTreeSet<(u64, JobId)>>,
    /// A deadline came in that may be earlier than all others.
    pub(super) earlier: Notify,
}

impl Deadlines {
    pub(super) fn add(&self, job: &Job) {
        if let Some(at_ms) = job.terms.deadline_ms {
            self.waiting.lock().insert((at_ms, job.id));
            self.earlier.notify_one();
        }
    }

    /// Milliseconds since 1970.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.waiting.lock().first().map(|(at_ms, _)| *at_ms)
    }

    pub(super) fn take_due(&self, now_ms: u64) -> Vec<JobId> {
        let mut waiting = self.waiting.lock();
        let later = waiting.split_off(&(now_ms.saturating_add(1), JobId(i64::MIN)));
        std::mem::replace(&mut *waiting, later).into_iter().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CollectionId, Terms, Trigger};

    #[test]
    fn due_jobs_come_once_and_in_order() {
        let deadlines = Deadlines::default();
        for (id, deadline_ms) in [(1, Some(30)), (2, Some(10)), (3, None), (4, Some(20))] {
            deadlines.add(&Job {
                id: JobId(id),
                trigger: Trigger::Manual,
                collection: CollectionId(1),
                created_at_ms: 0,
                plans: vec![],
                nothing_to_do: None,
                terms: Terms { deadline_ms, ..Terms::default() },
            });
        }
        assert_eq!(deadlines.next_ms(), Some(10));
        assert_eq!(deadlines.take_due(20), [JobId(2), JobId(4)]);
        assert_eq!((deadlines.take_due(29), deadlines.next_ms()), (vec![], Some(30)));
        assert_eq!(deadlines.take_due(30), [JobId(1)]);
    }
}
