//! The order in which the scrubber takes segments, and the time of each turn.
//!
//! A value and a time argument; must never read an object.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use super::CollectionCell;
use crate::model::{CollectionId, Segment, SegmentId};

/// Added to the bytes of a segment: the cost of opening its objects.
const SEGMENT_BYTES: u64 = 64 << 10;

/// The scrubber between two looks.
#[derive(Debug, Default)]
pub(super) struct Scrubber {
    pub(super) round: tokio::sync::Mutex<Round>,
}

/// A segment and the weight of reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ScrubTurn {
    pub(super) collection: CollectionId,
    pub(super) segment: SegmentId,
    weight: u64,
}

/// Where a round is.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// Milliseconds since 1970; None: it has not begun.
    began_ms: Option<u64>,
    /// Weight of all segments when it began, and of those that had their turn.
    total: u64,
    done: u64,
    /// The collection whose segments are in the queue, or were.
    collection: Option<CollectionId>,
    queue: VecDeque<ScrubTurn>,
}

fn weight(segment: &Segment) -> u64 {
    segment.insert_bytes.saturating_add(segment.delta_bytes).saturating_add(SEGMENT_BYTES)
}

impl Round {
    /// The next segment, if its turn has come. `cells` are all collections, ascending by id.
    pub(super) fn next(&mut self, cells: &[Arc<CollectionCell>], interval: Duration, now_ms: u64) -> Option<ScrubTurn> {
        let interval_ms = interval.as_millis() as u64;
        let is_over = self.began_ms.is_none_or(|began| now_ms >= began.saturating_add(interval_ms));
        if !self.fill(cells) {
            if !is_over {
                return None;
            }
            let total = cells.iter().flat_map(|cell| cell.live()).map(|segment| weight(&segment)).sum();
            *self = Self { began_ms: Some(now_ms), total, ..Self::default() };
            if !self.fill(cells) {
                return None;
            }
        }
        let due = due_ms(self.began_ms.unwrap_or(now_ms), interval_ms, self.done, self.total);
        if now_ms < due {
            return None;
        }
        let turn = self.queue.pop_front()?;
        self.done = self.done.saturating_add(turn.weight);
        Some(turn)
    }

    /// Has a segment in the queue, unless all collections had their turn or no round has begun.
    fn fill(&mut self, cells: &[Arc<CollectionCell>]) -> bool {
        while self.queue.is_empty() {
            if self.began_ms.is_none() {
                return false;
            }
            let after = cells.partition_point(|cell| self.collection.is_some_and(|last| cell.id <= last));
            let Some(cell) = cells.get(after) else { return false };
            self.collection = Some(cell.id);
            let turn = |s: Segment| ScrubTurn { collection: cell.id, segment: s.id, weight: weight(&s) };
            self.queue = cell.live().into_iter().map(turn).collect();
        }
        true
    }
}

/// When a segment has its turn, given the segments before it.
fn due_ms(began_ms: u64, interval_ms: u64, done: u64, total: u64) -> u64 {
    let part = u128::from(interval_ms) * u128::from(done.min(total)) / u128::from(total.max(1));
    began_ms.saturating_add(u64::try_from(part).unwrap_or(interval_ms))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn turns_are_spread_over_the_interval(
            began in 0u64..1 << 42, interval in 1u64..1 << 36, done in 0u64..1 << 50, total in 0u64..1 << 50, more in 0u64..1 << 40,
        ) {
            let due = |done| due_ms(began, interval, done, total);
            prop_assert_eq!(due(0), began);
            prop_assert!(due(done) <= due(done.saturating_add(more)));
            prop_assert!(due(done) <= began + interval);
        }
    }
}
