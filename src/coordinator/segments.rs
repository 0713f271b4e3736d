//! The segments of one collection as of one moment.
//!
//! A table never changes: a commit makes the next one out of it, and readers keep the one they have. So no reader waits
//! for another one's work, however many segments there are, and each reader sees one moment (P1).

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use rustc_hash::FxHashSet;

use crate::model::{Group, Lsn, PartitionId, Segment, SegmentId, SegmentLevel, SegmentState};

/// Ascending by id, no id twice.
type SegmentList = Arc<[Segment]>;

/// The segments that the catalog knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct SegmentTable {
    /// Live segments; no list is empty.
    groups: BTreeMap<Arc<Group>, SegmentList>,
    dropped: SegmentList,
    /// Ids of all of them. Lets a look-up over all collections reject an absent id cheaply.
    known: FxHashSet<SegmentId>,
    sums: Sums,
}

/// Sums over the segments of one state and level.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct StateSum {
    pub(super) segments: u64,
    pub(super) rows: u64,
    pub(super) insert_bytes: u64,
    pub(super) delta_rows: u64,
}

/// Kept up with the lists, so that a look at the gauges costs nothing per segment. By level: live and dropped ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sums {
    live: [StateSum; 3],
    dropped: [StateSum; 3],
}

impl Sums {
    pub(super) fn of(&self, state: SegmentState, level: SegmentLevel) -> StateSum {
        let levels = if state == SegmentState::Dropped { &self.dropped } else { &self.live };
        match level {
            SegmentLevel::L0 => levels[0],
            SegmentLevel::L1 => levels[1],
            SegmentLevel::L2 => levels[2],
        }
    }

    fn sum_of(&mut self, segment: &Segment) -> &mut StateSum {
        let levels = if segment.state == SegmentState::Dropped { &mut self.dropped } else { &mut self.live };
        match segment.level {
            SegmentLevel::L0 => &mut levels[0],
            SegmentLevel::L1 => &mut levels[1],
            SegmentLevel::L2 => &mut levels[2],
        }
    }

    fn add(&mut self, segment: &Segment) {
        let sum = self.sum_of(segment);
        sum.segments += 1;
        sum.rows += segment.rows;
        sum.insert_bytes += segment.insert_bytes;
        sum.delta_rows += segment.delta_rows;
    }

    fn take(&mut self, segment: &Segment) {
        let sum = self.sum_of(segment);
        sum.segments -= 1;
        sum.rows -= segment.rows;
        sum.insert_bytes -= segment.insert_bytes;
        sum.delta_rows -= segment.delta_rows;
    }
}

impl SegmentTable {
    /// All segments of a collection, no id twice, in any order; the list is empty afterwards. Takes exactly the memory
    /// that it keeps: at a start there are millions of them.
    pub(super) fn of(segments: &mut Vec<Segment>) -> Self {
        let mut table = Self { known: segments.iter().map(|s| s.id).collect(), ..Self::default() };
        segments.iter().for_each(|s| table.sums.add(s));
        if !segments.is_sorted_by_key(|s| s.id) {
            segments.sort_unstable_by_key(|s| s.id);
        }
        let gone = segments.iter().filter(|s| s.state == SegmentState::Dropped).count();
        let mut dropped = Vec::with_capacity(gone);
        let mut live = Vec::with_capacity(segments.len() - gone);
        for segment in segments.drain(..) {
            if segment.state == SegmentState::Dropped { dropped.push(segment) } else { live.push(segment) }
        }
        table.dropped = dropped.into();
        // Most collections have one group. The sort keeps the order of ids.
        if !live.is_sorted_by(|a, b| a.group <= b.group) {
            live.sort_by(|a, b| a.group.cmp(&b.group));
        }
        let groups: Vec<_> =
            live.chunk_by(|a, b| a.group == b.group).map(|of| (Arc::clone(&of[0].group), of.len())).collect();
        let mut live = live.into_iter();
        for (group, count) in groups {
            table.groups.insert(group, live.by_ref().take(count).collect());
        }
        table
    }

    pub(super) fn sums(&self) -> &Sums {
        &self.sums
    }

    pub(super) fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.keys()
    }

    pub(super) fn has_group(&self, group: &Group) -> bool {
        self.groups.contains_key(group)
    }

    pub(super) fn live_in(&self, group: &Group) -> SegmentList {
        self.groups.get(group).map(Arc::clone).unwrap_or_default()
    }

    /// Live segments, ascending by id.
    pub(super) fn live(&self) -> Vec<Segment> {
        let mut live: Vec<_> = self.groups.values().flat_map(|list| list.iter().cloned()).collect();
        live.sort_by_key(|s| s.id);
        live
    }

    pub(super) fn dropped(&self) -> &SegmentList {
        &self.dropped
    }

    /// The newest position of the log that any of them was flushed up to.
    pub(crate) fn end_lsn(&self) -> Lsn {
        let live = self.groups.values().flat_map(|list| list.iter());
        live.chain(self.dropped.iter()).map(|s| s.end_lsn).max().unwrap_or_default()
    }

    pub(crate) fn knows(&self, id: SegmentId) -> bool {
        self.known.contains(&id)
    }

    /// A segment in any state.
    pub(super) fn find(&self, id: SegmentId) -> Option<&Segment> {
        if !self.knows(id) {
            return None;
        }
        self.groups.values().find_map(|list| find(list, id)).or_else(|| find(&self.dropped, id))
    }

    /// Rows of live segments, dead ones included.
    pub(super) fn rows(&self, partition: Option<PartitionId>) -> u64 {
        let wanted = self.groups.iter().filter(|(g, _)| partition.is_none_or(|p| g.partition == p));
        wanted.flat_map(|(_, list)| list.iter()).map(|s| s.rows).sum()
    }

    /// Takes over segments as committed: a live one replaces its earlier record, a dropped one moves.
    pub(super) fn fold(&mut self, changed: impl IntoIterator<Item = Segment>) {
        let mut live: BTreeMap<Arc<Group>, Changes> = BTreeMap::new();
        let mut dropped = Changes::new();
        for segment in changed {
            let (id, group) = (segment.id, Arc::clone(&segment.group));
            self.known.insert(id);
            let is_dropped = segment.state == SegmentState::Dropped;
            let segment = if is_dropped {
                dropped.insert(id, Some(segment));
                None
            } else {
                Some(segment)
            };
            live.entry(group).or_default().insert(id, segment);
        }
        for (group, changes) in live {
            match self.groups.entry(group) {
                Entry::Occupied(mut entry) => {
                    let list = merged(entry.get(), changes, &mut self.sums);
                    if list.is_empty() {
                        entry.remove();
                    } else {
                        entry.insert(list);
                    }
                }
                Entry::Vacant(entry) => {
                    let list = merged(&[], changes, &mut self.sums);
                    if !list.is_empty() {
                        entry.insert(list);
                    }
                }
            }
        }
        if !dropped.is_empty() {
            self.dropped = merged(&self.dropped, dropped, &mut self.sums);
        }
    }

    /// Forgets dropped segments.
    pub(super) fn forget(&mut self, ids: &[SegmentId]) {
        for id in ids {
            self.known.remove(id);
        }
        let changes = ids.iter().map(|id| (*id, None)).collect();
        self.dropped = merged(&self.dropped, changes, &mut self.sums);
    }
}

/// The next value of changed segments; None removes one.
type Changes = BTreeMap<SegmentId, Option<Segment>>;

fn find(list: &[Segment], id: SegmentId) -> Option<&Segment> {
    list.binary_search_by_key(&id, |s| s.id).ok().and_then(|at| list.get(at))
}

fn merged(list: &[Segment], changes: Changes, sums: &mut Sums) -> SegmentList {
    let mut next = Vec::with_capacity(list.len() + changes.len());
    let mut old = list.iter().peekable();
    for (id, change) in changes {
        while let Some(before) = old.next_if(|s| s.id < id) {
            next.push(before.clone());
        }
        if let Some(replaced) = old.next_if(|s| s.id == id) {
            sums.take(replaced);
        }
        if let Some(segment) = change {
            sums.add(&segment);
            next.push(segment);
        }
    }
    next.extend(old.cloned());
    next.into()
}

#[cfg(test)]
mod tests;
