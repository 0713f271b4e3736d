//! Pins: segments whose files must stay, because a reader has them open (P5).
//!
//! A pin is a count in memory. It must never be asked to bring a file back: pin first, then look whether the segment is
//! live.

use std::{collections::HashMap, iter, sync::Arc};

use super::{CollectionCell, hand_over::ReadSegment, segments::SegmentTable, sync::Mutex};
use crate::{
    fault::{self, Planted},
    model::SegmentId,
};

/// Segments that are pinned or released under one lock.
const AT_ONCE: usize = 256;

/// How many readers hold each segment.
#[derive(Debug, Default, Clone)]
pub(super) struct Pins {
    counts: Arc<Mutex<HashMap<SegmentId, u32>>>,
}

impl Pins {
    /// Keeps the files of these segments from being collected until the guard is dropped.
    pub(super) fn pin(&self, segments: impl IntoIterator<Item = SegmentId>) -> PinGuard {
        let held = segments.into_iter().filter(|_| !fault::planted(Planted::ReaderNotPinned));
        let guard = PinGuard { ids: held.collect(), pins: self.clone() };
        for ids in guard.ids.chunks(AT_ONCE) {
            let mut counts = self.counts.lock();
            for id in ids {
                *counts.entry(*id).or_default() += 1;
            }
        }
        guard
    }

    /// The segments of one moment that a read opens, pinned: no live one can lose its files while the guard lives.
    pub(super) fn list(&self, cell: &CollectionCell, choose: impl Fn(&SegmentTable) -> Vec<ReadSegment>) -> PinnedList {
        loop {
            let table = cell.segments();
            let read = choose(&table);
            let guard =
                self.pin(read.iter().flat_map(|read| iter::once(&read.segment).chain(&read.merged_into)).map(|s| s.id));
            // The table is the same before and after, so every live segment of the list was live when the last one was
            // pinned. A commit takes longer than this check, so there are few rounds.
            if Arc::ptr_eq(&table, &cell.segments()) {
                return PinnedList { read, table, guard };
            }
        }
    }

    pub(super) fn is_pinned(&self, id: SegmentId) -> bool {
        self.counts.lock().contains_key(&id)
    }
}

/// The segments of a collection as of one moment.
#[derive(Debug)]
pub(crate) struct PinnedList {
    /// Ascending by id.
    pub(crate) read: Vec<ReadSegment>,
    table: Arc<SegmentTable>,
    pub(crate) guard: PinGuard,
}

impl PinnedList {
    /// True of the segments that the catalog had in any state. A later look at the collection does not answer this: rows
    /// that were flushed in between are in no list then.
    pub(crate) fn knows(&self, id: SegmentId) -> bool {
        self.table.knows(id)
    }
}

/// While it lives, the files of its segments are not collected.
#[derive(Debug)]
pub struct PinGuard {
    ids: Vec<SegmentId>,
    pins: Pins,
}

impl Drop for PinGuard {
    fn drop(&mut self) {
        for ids in self.ids.chunks(AT_ONCE) {
            let mut counts = self.pins.counts.lock();
            for id in ids {
                if let Some(count) = counts.get_mut(id) {
                    *count -= 1;
                    if *count == 0 {
                        counts.remove(id);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{super::tests::definition, *};
    use crate::kit::model;

    #[test]
    fn a_list_is_of_one_moment() {
        let group = Arc::new(model::group_of_shard_0(1, 2));
        let cell = CollectionCell::new(definition(1, "c", &[]));
        cell.fold([model::segment(10, &group)]);
        let list = Pins::default().list(&cell, SegmentTable::for_query);
        cell.fold([model::segment(11, &group)]);
        assert!(cell.is_known(SegmentId(11)));
        assert_eq!((list.read.len(), list.knows(SegmentId(10)), list.knows(SegmentId(11))), (1, true, false));
    }
}
