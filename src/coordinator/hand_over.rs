//! Hand-over: the segments that a search reads while the output of a merge has no index yet.
//!
//! A merge takes seconds, the index of its output may take minutes. Until it is there, the sources, which have theirs, are
//! searched in place of the output, with its deletes as well. Their files stay for `dropTolerance`. The commit of the
//! index ends it: the next search reads the output.
//!
//! Must never: read a row twice or not at all. Outputs of one merge are replaced together or not at all.

use std::collections::BTreeSet;

use super::segments::SegmentTable;
use crate::{
    fault::{self, Planted},
    model::{Segment, SegmentId},
};

/// Merges that a search goes back at most, one after the other.
const GENERATIONS: usize = 4;

/// A segment that a read opens.
#[derive(Debug, Clone)]
pub(crate) struct ReadSegment {
    pub(crate) segment: Segment,
    /// The segments that it was merged into, if it stands in for them. Their deletes count for its rows too.
    pub(crate) merged_into: Vec<Segment>,
}

impl From<Segment> for ReadSegment {
    fn from(segment: Segment) -> Self {
        Self { segment, merged_into: Vec::new() }
    }
}

/// Outputs of one merge, and the segments that can be read in their place.
struct StandIns {
    outputs: Vec<Segment>,
    sources: Vec<ReadSegment>,
    /// Rows of the sources that lack an index.
    lacking_rows: u64,
}

impl SegmentTable {
    /// The live segments, ascending by id.
    pub(super) fn for_query(&self) -> Vec<ReadSegment> {
        self.live().into_iter().map(ReadSegment::from).collect()
    }

    /// The live segments, or dropped ones in place of those that lack an index, if fewer rows lack one then. Ascending by
    /// id.
    pub(super) fn for_search(&self, lacks_index: &dyn Fn(&Segment) -> bool) -> Vec<ReadSegment> {
        let live = self.live();
        let mut replaced: BTreeSet<SegmentId> = BTreeSet::new();
        let mut read = Vec::with_capacity(live.len());
        for segment in live.iter().filter(|segment| lacks_index(segment)) {
            if replaced.contains(&segment.id) {
                continue;
            }
            if let Some(found) = self.stand_ins(segment, &Segment::is_live, lacks_index, GENERATIONS) {
                replaced.extend(found.outputs.iter().map(|output| output.id));
                read.extend(found.sources);
            }
        }
        if fault::planted(Planted::ReadBeforeAndAfterMerge) {
            replaced.clear();
        }
        read.extend(live.into_iter().filter(|segment| !replaced.contains(&segment.id)).map(ReadSegment::from));
        read.sort_by_key(|read| read.segment.id);
        read
    }

    /// The sources of the merge that wrote `output`, if the table has all of them, if all outputs of this merge are to be
    /// replaced, and if fewer rows lack an index then.
    fn stand_ins(
        &self,
        output: &Segment,
        is_replaced: &dyn Fn(&Segment) -> bool,
        lacks_index: &dyn Fn(&Segment) -> bool,
        generations: usize,
    ) -> Option<StandIns> {
        let generations = generations.checked_sub(1)?;
        let sources: Vec<&Segment> =
            output.compaction_from.iter().map(|id| self.find(*id).filter(|s| !s.is_live())).collect::<Option<_>>()?;
        let targets = &sources.first()?.compaction_to;
        if sources.iter().any(|source| source.compaction_to != *targets) {
            return None;
        }
        let outputs: Vec<Segment> = targets.iter().map(|id| self.find(*id).cloned()).collect::<Option<_>>()?;
        let has_output = outputs.iter().any(|one| one.id == output.id);
        if !has_output || !outputs.iter().all(is_replaced) {
            return None;
        }
        let is_source = |segment: &Segment| sources.iter().any(|source| source.id == segment.id);
        let mut replaced: BTreeSet<SegmentId> = BTreeSet::new();
        let (mut read, mut lacking_rows): (Vec<ReadSegment>, u64) = (Vec::new(), 0);
        for source in sources.iter().filter(|source| lacks_index(source)) {
            if replaced.contains(&source.id) {
                continue;
            }
            if let Some(older) = self.stand_ins(source, &is_source, lacks_index, generations) {
                replaced.extend(older.outputs.iter().map(|output| output.id));
                read.extend(older.sources);
                lacking_rows += older.lacking_rows;
            } else {
                lacking_rows += source.rows;
            }
        }
        let others = sources.into_iter().filter(|source| !replaced.contains(&source.id));
        read.extend(others.cloned().map(ReadSegment::from));
        for segment in &mut read {
            segment.merged_into.extend(outputs.iter().cloned());
        }
        let before: u64 = outputs.iter().filter(|output| lacks_index(output)).map(|output| output.rows).sum();
        (lacking_rows < before).then_some(StandIns { outputs, sources: read, lacking_rows })
    }
}

#[cfg(test)]
mod tests;
