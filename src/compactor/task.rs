//! The task and the outcome of a merge: values that can be sent to another process.

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::model::{ClusterRange, CollectionSchema, LogId, PkRange, Plan, Segment, SegmentId, SegmentLogs, Timestamp};

/// One input as it is when the attempt begins: delta logs that arrived after the plan was made included.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompactionInput {
    pub segment: Segment,
    pub logs: SegmentLogs,
}

/// Everything a merge needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CompactionTask {
    pub plan: Plan,
    pub schema: Arc<CollectionSchema>,
    /// The plan's inputs, in its order.
    pub inputs: Vec<CompactionInput>,
    /// The current time, for expiry and for the headers of the outputs: milliseconds since 1970.
    pub now_ms: u64,
    /// Ids for output segments and their objects, reserved for this attempt alone ([`super::ids_to_reserve`]).
    pub ids: Range<i64>,
    /// Most outputs: the commit takes no more.
    pub max_outputs: u64,
}

/// A new segment whose objects are all in the store, durably. Nothing knows of it until it is committed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSegment {
    pub id: SegmentId,
    pub logs: SegmentLogs,
    /// At least 1.
    pub rows: u64,
    pub pk_range: Option<PkRange>,
    /// Partition statistics, if the plan was to cluster.
    pub cluster_range: Option<ClusterRange>,
}

/// Result of a merge. `rows_in = rows_deleted + rows_expired + rows_out`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CompactionOutcome {
    /// Empty if no row survived.
    pub outputs: Vec<OutputSegment>,
    pub rows_in: u64,
    pub rows_deleted: u64,
    pub rows_expired: u64,
    pub rows_out: u64,
    /// Rows with a smaller timestamp had expired and were left out. Zero: there were none.
    #[serde(default)]
    pub expired_before: Timestamp,
    /// Bytes of objects read and written.
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Delta logs that were applied, or passed on as far as they are beyond the horizon. Any other delta log that an
    /// input has at the commit arrived meanwhile and has to be carried over to the outputs (P4). Delta logs of L0
    /// segments were only checked.
    pub consumed_deltas: Vec<(SegmentId, LogId)>,
}
