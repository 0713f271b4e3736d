//! Pins: segments whose files must stay, because a reader has them open (P5).
//!
//! A pin is a count in memory. It must never be asked to bring a file back: pin first, then look whether the segment is
//! live.

use std::{collections::HashMap, sync::Arc};

use super::{CollectionCell, sync::Mutex};
use crate::{
    fault::{self, Planted},
    model::{Segment, SegmentId},
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

    /// Live segments, pinned in the same moment: none of them can lose its files while the guard lives.
    pub(super) fn live_pinned(&self, cell: &CollectionCell) -> (Vec<Segment>, PinGuard) {
        loop {
            let table = cell.segments();
            let live = table.live();
            let guard = self.pin(live.iter().map(|s| s.id));
            // The table is the same before and after, so every segment of the list was live when the last one was
            // pinned. A commit takes longer than this check, so there are few rounds.
            if Arc::ptr_eq(&table, &cell.segments()) {
                return (live, guard);
            }
        }
    }

    pub(super) fn is_pinned(&self, id: SegmentId) -> bool {
        self.counts.lock().contains_key(&id)
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
