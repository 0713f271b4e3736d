//! Executes a plan: reads the inputs' delta logs and insert logs, drops dead and expired rows, writes the outputs. Where
//! the plan says so, rows are divided by the clustering key; and L0 segments are only read.
//!
//! ```text
//!           delta logs ──▶ deletes ─┐                 map: key → greatest timestamp
//!                                   ▼
//!  key, timestamp, row id ──▶ selection ──▶ cut ──▶ pieces of output segments
//!                              one bit per row        │   (piece, field) is the unit of work: units are independent
//!                                   │                 ▼
//!         every other column ───────┴──▶ filter ─▶ order ─▶ binlog ──▶ store
//! ```
//!
//! Storage v1 keeps every column of every batch in an object of its own. So the first pass reads three narrow columns
//! and decides; the second pass goes column by column and never holds more than one object (of a large one, some
//! windows) and one output of a column per unit, however large the segments are. A batch that loses no row and is large
//! enough is copied, not rewritten.
//!
//! A merge takes values and returns values. It must never touch metadata, choose its inputs, read a clock, or write to
//! anything but new objects of new segments: it may be killed at any line, and what it left is garbage that no segment
//! names.
//!
//! Invariants: (1) a row survives unless a delete with its key and a strictly greater timestamp, not beyond the plan's
//! horizon, is in any input, or the row has outlived the plan's time to live; (2) surviving rows keep their row ids and
//! timestamps; (3) rows of an output binlog ascend by row id, in every field alike; (4) memory stays inside the one
//! budget of all plans; (5) after an error no object of the failed run is left, as far as the store lets us delete.

mod clustering;
mod cut;
mod deletes;
mod error;
mod execution;
mod first_pass;
mod inputs;
mod l0_delete;
mod memory;
mod merge;
mod order;
mod progress;
mod second_pass;
mod selection;
mod sink;
mod throttle;

use std::sync::Arc;

pub use error::CompactError;
pub use merge::Compactor;
pub use progress::ProgressCell;
pub use throttle::Throttle;

use crate::model::{ClusterRange, CollectionSchema, LogId, PkRange, Plan, PlanId, Segment, SegmentId, SegmentLogs};

/// One input as it is now: delta logs that arrived after the plan was made included.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionInput {
    pub segment: Segment,
    pub logs: SegmentLogs,
}

/// Everything a merge needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionTask {
    pub plan: Plan,
    pub schema: Arc<CollectionSchema>,
    /// The plan's inputs, in its order.
    pub inputs: Vec<CompactionInput>,
    /// The current time, for expiry and for the headers of the outputs: milliseconds since 1970.
    pub now_ms: u64,
}

/// A new segment whose objects are all in the store, durably. Nothing knows of it until it is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSegment {
    pub id: SegmentId,
    pub logs: SegmentLogs,
    /// At least 1.
    pub rows: u64,
    pub pk_range: Option<PkRange>,
    /// Partition statistics, if the plan was to cluster.
    pub cluster_range: Option<ClusterRange>,
}

/// What a merge did. `rows_in = rows_deleted + rows_expired + rows_out`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// None if no row survived.
    pub outputs: Vec<OutputSegment>,
    pub rows_in: u64,
    pub rows_deleted: u64,
    pub rows_expired: u64,
    pub rows_out: u64,
    /// Bytes of objects read and written.
    pub bytes_read: u64,
    pub bytes_written: u64,
    /// Delta logs that were applied, or passed on as far as they are beyond the horizon. Whatever other delta log an
    /// input has at commit arrived meanwhile and has to be carried over to the outputs (P4). Of L0 segments they were
    /// only checked.
    pub consumed_deltas: Vec<(SegmentId, LogId)>,
}

/// Where the ids of new segments and objects come from. An id is never given twice, and a log id is never 1.
pub trait OutputIds: Send + Sync {
    /// For an output of this plan, whose objects exist before anything else names them.
    fn next_segment(&self, plan: PlanId) -> Result<SegmentId, CompactError>;
    fn next_log(&self) -> Result<LogId, CompactError>;
}

#[cfg(test)]
mod tests;
