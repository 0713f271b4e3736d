//! Inputs of plans that failed for good: automatic planning leaves them alone until they change.
//!
//! Without this a segment with a damaged object would get a new job at every tick. In memory only: after a restart each
//! is tried once more.

use std::collections::HashMap;

use super::sync::Mutex;
use crate::model::{FailureKind, Segment, SegmentId};

#[derive(Debug, Default)]
pub(super) struct Failures {
    by_segment: Mutex<HashMap<SegmentId, (u64, FailureKind)>>,
}

impl Failures {
    /// A plan over these segments, as they are now, has failed for good.
    pub(super) fn note<'a>(&self, segments: impl IntoIterator<Item = &'a Segment>, kind: FailureKind) {
        let mut failed = self.by_segment.lock();
        for segment in segments {
            failed.insert(segment.id, (segment.version, kind));
        }
    }

    /// How the last plan over this very version of the segment failed.
    pub(super) fn knows(&self, id: SegmentId) -> bool {
        self.by_segment.lock().contains_key(&id)
    }

    pub(super) fn of(&self, segment: &Segment) -> Option<FailureKind> {
        let mut failed = self.by_segment.lock();
        let (version, kind) = *failed.get(&segment.id)?;
        if version != segment.version {
            failed.remove(&segment.id);
            return None;
        }
        Some(kind)
    }

    pub(super) fn forget(&self, ids: &[SegmentId]) {
        let mut failed = self.by_segment.lock();
        for id in ids {
            failed.remove(id);
        }
    }
}
