//! A segment without its log lists: enough for planning, routing and listing, and small enough to keep a million of them
//! in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{ClusterRange, Group, LogIds, Lsn, PkRange, SegmentId, SegmentIndex, SegmentLogs, Timestamp};

/// Life of a segment: Growing → Sealed → Flushing → Flushed → Dropped. Only Flushed and Dropped segments are in the
/// metadata store. Rows of the earlier states are in the write-ahead log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SegmentState {
    Growing,
    Sealed,
    Flushing,
    Flushed,
    Dropped,
}

impl SegmentState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Growing => "Growing",
            Self::Sealed => "Sealed",
            Self::Flushing => "Flushing",
            Self::Flushed => "Flushed",
            Self::Dropped => "Dropped",
        }
    }
}

/// Kind of a segment: L0 holds deletes only; flushes and merges write L1; clustering writes L2. A rewrite of one segment
/// keeps its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum SegmentLevel {
    L0,
    #[default]
    L1,
    L2,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    pub id: SegmentId,
    pub group: Arc<Group>,
    pub state: SegmentState,
    pub level: SegmentLevel,
    /// Rows in the insert logs, dead ones included.
    pub rows: u64,
    /// Bytes of the insert objects.
    pub insert_bytes: u64,
    /// Bytes of the rows in memory.
    pub memory_bytes: u64,
    /// Entries of the delta logs. An entry may hit no row: key filters have false positives.
    pub delta_rows: u64,
    /// Bytes of the delta logs.
    pub delta_bytes: u64,
    /// Number of delta logs.
    pub delta_logs: u32,
    /// Smallest timestamp of any delta entry: tells whether all of them are still inside the retention window.
    pub delta_ts_from: Timestamp,
    /// Smallest timestamp of the rows; of an L0 segment, of its deletes.
    pub ts_from: Timestamp,
    /// Largest timestamp of the rows; of an L0 segment, of its deletes.
    pub ts_to: Timestamp,
    /// None for a segment without rows.
    pub pk_range: Option<PkRange>,
    /// Partition statistics of a segment that clustering wrote.
    pub cluster_range: Option<Box<ClusterRange>>,
    /// Sources of a compacted segment, in the order of the plan.
    pub compaction_from: Box<[SegmentId]>,
    /// Segments that replaced a dropped source.
    pub compaction_to: Box<[SegmentId]>,
    /// The merge that wrote the segment left out rows with a smaller timestamp, because they had expired. Zero: it left out
    /// none for this reason.
    #[serde(default)]
    pub expired_before: Timestamp,
    /// Milliseconds since 1970; 0 while it is live.
    pub dropped_at_ms: u64,
    /// Position of its last row in the write-ahead log; 0 for a compacted segment.
    pub end_lsn: Lsn,
    /// Counts the commits that changed this segment.
    pub version: u64,
    /// Finished indexes, each of another definition.
    #[serde(default, skip_serializing_if = "no_indexes")]
    pub indexes: Box<[SegmentIndex]>,
}

fn no_indexes(indexes: &[SegmentIndex]) -> bool {
    indexes.is_empty()
}

impl Segment {
    /// A flushed segment without rows, deletes or history, with version 0.
    pub fn new(id: SegmentId, group: Arc<Group>) -> Self {
        Self {
            id,
            group,
            state: SegmentState::Flushed,
            level: SegmentLevel::default(),
            rows: 0,
            insert_bytes: 0,
            memory_bytes: 0,
            delta_rows: 0,
            delta_bytes: 0,
            delta_logs: 0,
            delta_ts_from: Timestamp::ZERO,
            ts_from: Timestamp::ZERO,
            ts_to: Timestamp::ZERO,
            pk_range: None,
            cluster_range: None,
            compaction_from: Box::default(),
            compaction_to: Box::default(),
            expired_before: Timestamp::ZERO,
            dropped_at_ms: 0,
            end_lsn: Lsn::default(),
            version: 0,
            indexes: Box::default(),
        }
    }

    /// The ids in its logs.
    pub fn log_ids(&self) -> LogIds {
        self.group.log_ids(self.id)
    }

    /// Sets rows, bytes, delta counts and time ranges from `logs`.
    pub fn summarise(&mut self, logs: &SegmentLogs) {
        self.rows = logs.rows();
        self.insert_bytes = logs.insert_bytes();
        self.memory_bytes = logs.memory_bytes();
        self.delta_rows = logs.delta.iter().map(|l| l.rows).sum();
        self.delta_bytes = logs.delta.iter().map(|l| l.bytes).sum();
        self.delta_logs = logs.delta.len() as u32;
        self.delta_ts_from = logs.delta.iter().map(|l| l.ts_from).min().unwrap_or_default();
        let first = logs.insert.first().map_or(&[][..], |(_, l)| l);
        self.ts_from = first.iter().map(|l| l.ts_from).min().unwrap_or_default();
        self.ts_to = first.iter().map(|l| l.ts_to).max().unwrap_or_default();
        if self.level == SegmentLevel::L0 {
            self.ts_from = self.delta_ts_from;
            self.ts_to = logs.delta.iter().map(|l| l.ts_to).max().unwrap_or_default();
        }
    }

    /// Estimate of the live rows: assumes that each delta entry kills one row.
    pub fn live_rows_estimate(&self) -> u64 {
        self.rows.saturating_sub(self.delta_rows)
    }

    /// Estimate of the bytes of insert objects after a rewrite.
    pub fn live_bytes_estimate(&self) -> u64 {
        if self.rows == 0 {
            return 0;
        }
        (u128::from(self.insert_bytes) * u128::from(self.live_rows_estimate()) / u128::from(self.rows)) as u64
    }

    /// The finished index of a definition.
    pub fn index(&self, definition: i64) -> Option<&SegmentIndex> {
        self.indexes.iter().find(|index| index.index == definition)
    }

    pub fn is_live(&self) -> bool {
        self.state == SegmentState::Flushed
    }
}
