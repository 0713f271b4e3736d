//! Why a segment is not being compacted: the planner's last refusal for each segment that it looked at.
//!
//! Bounded by the live segments; a segment that goes into a plan or away loses its entry.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{model::SegmentId, planner::SkipReason};

#[derive(Debug, Default)]
pub(super) struct Verdicts {
    last: Mutex<HashMap<SegmentId, SkipReason>>,
}

impl Verdicts {
    pub(super) fn note(&self, skipped: &[(SegmentId, SkipReason)]) {
        let mut last = self.last.lock();
        for (id, reason) in skipped {
            last.insert(*id, *reason);
        }
    }

    pub(super) fn forget(&self, ids: impl IntoIterator<Item = SegmentId>) {
        let mut last = self.last.lock();
        for id in ids {
            last.remove(&id);
        }
    }

    pub(super) fn of(&self, id: SegmentId) -> Option<SkipReason> {
        self.last.lock().get(&id).copied()
    }
}
