//! Inputs of plans that failed for good: automatic planning leaves them alone, for a time or until they change.
//!
//! Without this a segment with a damaged object would get a new job at every tick. A failure that may pass, like a full
//! disk, holds for a pause, which doubles with each failure in a row up to a limit. Any other failure holds until the
//! segment changes. In memory only: after a restart each segment is tried once more.

use std::{collections::HashMap, time::Duration};

use super::sync::Mutex;
use crate::{
    model::{FailureKind, Segment, SegmentId},
    planner::LastFailure,
};

/// Pause after the first failure that may pass; doubles with each further one up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(960);

#[derive(Debug, Default)]
pub(super) struct Failures {
    by_segment: Mutex<HashMap<SegmentId, KnownFailure>>,
}

#[derive(Debug, Clone, Copy)]
struct KnownFailure {
    /// Of the segment that failed.
    version: u64,
    failure: LastFailure,
    /// Failures in a row that may pass.
    in_a_row: u32,
}

impl Failures {
    /// A plan over these segments, as they are now, has failed for good.
    pub(super) fn note<'a>(&self, segments: impl IntoIterator<Item = &'a Segment>, kind: FailureKind, now_ms: u64) {
        let mut failed = self.by_segment.lock();
        for segment in segments {
            let before = failed.get(&segment.id).map_or(0, |known| known.in_a_row);
            let in_a_row = if kind.may_pass() { before.saturating_add(1) } else { 0 };
            let until_ms = kind.may_pass().then(|| now_ms.saturating_add(pause(in_a_row).as_millis() as u64));
            let known = KnownFailure { version: segment.version, failure: LastFailure { kind, until_ms }, in_a_row };
            failed.insert(segment.id, known);
        }
    }

    pub(super) fn knows(&self, id: SegmentId) -> bool {
        self.by_segment.lock().contains_key(&id)
    }

    /// How the last plan over this segment failed. A failure that can't pass is forgotten once the segment has changed.
    /// The cause of one that may pass lies with the store or the machine: a change of the segment says nothing about
    /// it.
    pub(super) fn of(&self, segment: &Segment) -> Option<LastFailure> {
        let mut failed = self.by_segment.lock();
        let known = *failed.get(&segment.id)?;
        if !known.failure.kind.may_pass() && known.version != segment.version {
            failed.remove(&segment.id);
            return None;
        }
        Some(known.failure)
    }

    pub(super) fn forget(&self, ids: &[SegmentId]) {
        let mut failed = self.by_segment.lock();
        for id in ids {
            failed.remove(id);
        }
    }
}

/// The pause after this many failures in a row, at least one.
fn pause(in_a_row: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << in_a_row.saturating_sub(1).min(16)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{Channel, CollectionId, Group, PartitionId};

    fn segment(version: u64) -> Segment {
        let group = Group { collection: CollectionId(1), partition: PartitionId(2), channel: Channel::new("c_1v0") };
        Segment { version, ..Segment::new(SegmentId(3), Arc::new(group)) }
    }

    #[test]
    fn a_failure_that_may_pass_holds_for_a_pause_that_grows_up_to_a_limit() {
        let failures = Failures::default();
        let mut pauses = Vec::new();
        for round in 0..7 {
            let now_ms = round * 10_000_000;
            // Also if the segment changes meanwhile.
            failures.note(&[segment(round)], FailureKind::Exhausted, now_ms);
            let until_ms = failures.of(&segment(round + 1)).unwrap().until_ms.unwrap();
            pauses.push((until_ms - now_ms) / 1000);
        }
        assert_eq!(pauses, [60, 120, 240, 480, 960, 960, 960]);
        failures.forget(&[SegmentId(3)]);
        assert_eq!(failures.of(&segment(7)), None);
    }

    #[test]
    fn any_other_failure_holds_until_the_segment_changes() {
        for kind in [FailureKind::Corrupt, FailureKind::Internal] {
            let failures = Failures::default();
            failures.note(&[segment(1)], kind, 5);
            assert_eq!(failures.of(&segment(1)), Some(LastFailure { kind, until_ms: None }));
            assert_eq!(failures.of(&segment(2)), None);
            assert!(!failures.knows(SegmentId(3)));
        }
    }
}
