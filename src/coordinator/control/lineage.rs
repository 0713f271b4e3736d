//! Where a segment's rows come from, and the cost of keeping a collection compacted.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    coordinator::{CollectionCell, Coordinator, CoordinatorError},
    model::{Segment, SegmentId, SegmentState, WriteStats},
};

/// How a segment was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Rows in the order of their arrival.
    Flush,
    /// A plan merged other segments into it.
    Compaction,
    /// Its record has been collected.
    Unknown,
}

/// One segment of a lineage.
#[derive(Debug, Clone, PartialEq)]
pub struct Ancestor {
    pub id: SegmentId,
    pub origin: Origin,
    /// Plans between it and the segment that was asked about.
    pub depth: u32,
    /// None: its record has been collected.
    pub segment: Option<Segment>,
}

/// The bytes of a collection, beside the bytes of its live rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amplification {
    pub groups: u64,
    pub live_segments: u64,
    /// Rows of live segments that are probably alive, and an estimate of the bytes they would take by themselves.
    pub live_rows: u64,
    pub live_bytes: u64,
    /// Insert and delta objects of live segments.
    pub stored_bytes: u64,
    /// The same of dropped segments that are not collected yet.
    pub dropped_bytes: u64,
    pub write_stats: WriteStats,
}

impl Amplification {
    /// Bytes that a full scan reads per byte of live rows.
    pub fn read(&self) -> Option<f64> {
        (self.live_bytes > 0).then(|| self.stored_bytes as f64 / self.live_bytes as f64)
    }

    /// Bytes on storage per byte of live rows.
    pub fn space(&self) -> Option<f64> {
        let all = self.stored_bytes as f64 + self.dropped_bytes as f64;
        (self.live_bytes > 0).then(|| all / self.live_bytes as f64)
    }
}

impl Coordinator {
    /// A segment and everything that it was made from, as far as records are kept, nearest first.
    ///
    /// # Errors
    /// `SegmentNotFound` for the segment itself.
    pub fn lineage(&self, id: SegmentId) -> Result<Vec<Ancestor>, CoordinatorError> {
        let (cell, segment) = self.find_segment(id)?;
        let mut lineage = Vec::new();
        let mut seen = BTreeSet::from([id]);
        let mut waiting = VecDeque::from([(id, 0, Some(segment))]);
        while let Some((id, depth, segment)) = waiting.pop_front() {
            let origin = match &segment {
                None => Origin::Unknown,
                Some(s) if s.compaction_from.is_empty() => Origin::Flush,
                Some(_) => Origin::Compaction,
            };
            for from in segment.iter().flat_map(|s| s.compaction_from.iter()).filter(|from| seen.insert(**from)) {
                waiting.push_back((*from, depth + 1, cell.segment(*from)));
            }
            lineage.push(Ancestor { id, origin, depth, segment });
        }
        Ok(lineage)
    }

    pub fn amplification(&self, cell: &CollectionCell) -> Amplification {
        let live = cell.live();
        let bytes = |s: &Segment| s.insert_bytes + s.delta_bytes;
        let dropped = cell.dropped();
        Amplification {
            groups: cell.groups().len() as u64,
            live_segments: live.len() as u64,
            live_rows: live.iter().map(Segment::live_rows_estimate).sum(),
            live_bytes: live.iter().map(Segment::live_bytes_estimate).sum(),
            stored_bytes: live.iter().map(bytes).sum(),
            dropped_bytes: dropped.iter().filter(|s| s.state == SegmentState::Dropped).map(bytes).sum(),
            write_stats: cell.write_stats(),
        }
    }
}
