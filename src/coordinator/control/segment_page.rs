//! The segments of a collection in pages: a collection may have a million of them.

use crate::{
    coordinator::{CollectionCell, Coordinator},
    model::{Segment, SegmentId},
};

/// One page of segments.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentPage {
    /// Ascending by id.
    pub segments: Vec<Segment>,
    /// The next page has the segments with greater ids; none: there is no next page.
    pub next: Option<SegmentId>,
    /// On all pages together.
    pub total: u64,
}

impl Coordinator {
    /// At most `most` segments with an id above `after`, from any state but, unless `with_dropped`, that one. A segment
    /// that is made between two pages is on a later one or on none.
    pub fn segment_page(
        &self,
        cell: &CollectionCell,
        after: Option<SegmentId>,
        most: usize,
        with_dropped: bool,
    ) -> SegmentPage {
        let mut in_memory = self.unflushed_segments(cell);
        let table = cell.segments();
        let mut lists: Vec<_> = table.groups().map(|group| table.live_in(group)).collect();
        if with_dropped {
            lists.push(table.dropped().clone());
        }
        let total = in_memory.len() + lists.iter().map(|list| list.len()).sum::<usize>();
        in_memory.retain(|segment| after.is_none_or(|after| segment.id > after));
        let mut found: Vec<&Segment> = in_memory.iter().collect();
        for list in &lists {
            let from = after.map_or(0, |after| list.partition_point(|segment| segment.id <= after));
            found.extend(list.iter().skip(from).take(most + 1));
        }
        found.sort_unstable_by_key(|segment| segment.id);
        let is_last = found.len() <= most;
        found.truncate(most);
        SegmentPage {
            next: found.last().filter(|_| !is_last).map(|last| last.id),
            segments: found.into_iter().cloned().collect(),
            total: total as u64,
        }
    }
}
