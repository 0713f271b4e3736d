//! The ids of new segments and objects: a range that was reserved for one attempt, given out one by one.
//!
//! Nothing outside an attempt takes ids from its range, so garbage collection knows by the range alone which segments a
//! running plan may be writing (P5).
//!
//! Must never: give an id twice, or one outside the range.

use std::{
    ops::Range,
    sync::atomic::{AtomicI64, Ordering::Relaxed},
};

use super::CompactError;
use crate::model::{LogId, SegmentId};

/// Gives out the ids of one attempt.
#[derive(Debug)]
pub(super) struct OutputIds {
    next: AtomicI64,
    range: Range<i64>,
}

impl OutputIds {
    pub(super) fn new(range: Range<i64>) -> Self {
        Self { next: AtomicI64::new(range.start), range }
    }

    pub(super) fn next_segment(&self) -> Result<SegmentId, CompactError> {
        self.next().map(SegmentId)
    }

    pub(super) fn next_log(&self) -> Result<LogId, CompactError> {
        self.next().map(LogId)
    }

    fn next(&self) -> Result<i64, CompactError> {
        let next = self.next.fetch_update(Relaxed, Relaxed, |next| (next < self.range.end).then(|| next + 1));
        next.map_err(|_| CompactError::IdsUsedUp { reserved: self.range.end.saturating_sub(self.range.start) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_the_range_is_given_once() {
        let ids = OutputIds::new(7..10);
        assert_eq!(ids.next_segment().unwrap(), SegmentId(7));
        assert_eq!([ids.next_log().unwrap(), ids.next_log().unwrap()], [LogId(8), LogId(9)]);
        for _ in 0..2 {
            let error = ids.next_log().unwrap_err();
            assert_eq!(error.to_string(), "the 3 ids that were reserved for the outputs are used up");
        }
    }

    #[test]
    fn an_empty_range_has_none() {
        assert!(OutputIds::new(0..0).next_segment().is_err());
        #[expect(clippy::reversed_empty_ranges, reason = "the case that is tested")]
        let backwards = 5..3;
        assert!(OutputIds::new(backwards).next_segment().is_err());
    }
}
