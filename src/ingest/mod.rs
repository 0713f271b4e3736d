//! The write path: requests are logged, held in memory, and flushed into segments of binlogs.
//!
//! ```text
//!  caller ─ encode ─▶ bounded queue ─▶ log thread ──▶ log (one write, one sync for all that queued) ─▶ acknowledge
//!                                          │ apply
//!                                          ▼
//!            growing segments  ── seal ──▶ flush ──▶ object store ──▶ FlushSink::commit_flush ──▶ forget
//!            waiting deletes   ───────────▶ delta flush ────────────▶ FlushSink::commit_deltas ──▶ forget
//!                                                                                                │
//!                                                              log files below the low water ◀───┘ removed
//! ```
//!
//! It must never acknowledge or show a row before it is durable, never forget one before the catalogue has it, never
//! touch the metadata store (that is [`FlushSink`]'s side), and never go on after the log failed.
//!
//! # Rules
//! - **One log, one order.** A request is one frame, all of it or nothing. The log thread gives positions and timestamps
//!   together, so both order requests alike. An upsert is a delete and an insert of one timestamp. Only a delete that
//!   was decided by a read has an older timestamp than its frame: that of the read (`GrowingSnapshot`).
//! - **State is the fold of the log** (`state`), live and after a restart. Besides the log only the catalogue is asked.
//! - **A failed write or sync is final**: every later write gets an error until a restart has read the log back. A sync
//!   is never repeated, because its second answer means nothing. Reads and flushes go on: what they see was durable.
//! - **A flushed segment is noted in the log.** Until then only the catalogue keeps a restart from bringing its rows back,
//!   so records of dropped segments are removed only after [`Ingest::flushes_noted`].
//! - **Back-pressure** is in bytes: a queue of limited size, and writers wait while unflushed rows hold more than twice
//!   the memory limit (or are refused, if flushing fails).
//!
//! # Reading (P3, P4)
//! A row moves from memory to a flushed segment, a delete from the waiting list to a delta log. To see each exactly once:
//! 1. take [`Ingest::snapshot`] first;
//! 2. then take the catalogue's list of segments;
//! 3. drop from the snapshot every segment that the catalogue knows in *any* state, also as the source of a compaction.
//!
//! A segment leaves the snapshot only after its commit, so one that is missing in 1 is found in 2. A delete leaves the
//! waiting list only after the catalogue has it in delta logs and every segment in memory that it hits carries it.
//! Seeing a delete twice is harmless.
//!
//! # Deletes and flushes of one channel
//! A flush of a segment (collect its deletes, write, commit) and a delta flush of its channel (attach to segments in
//! memory, commit, forget) never overlap: `flush` says why and how.

mod assign;
mod chunk;
mod delta;
mod error;
mod flush;
mod growing;
mod handle;
mod hits;
mod log_thread;
mod order;
mod pending;
mod recovery;
mod seal;
mod shared;
mod snapshot;
mod state;
mod store_writer;
mod wal;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;

pub use chunk::Chunk;
pub use error::{IngestError, LogLoss, Refusal};
pub use flush::{SealedRows, SegmentWriter, WORKERS as FLUSHES_AT_ONCE};
pub use growing::FlushAttempts;
pub use handle::{FlushesHeld, Ingest, IngestParts};
pub use order::RowsInOrder;
pub use pending::{DeleteList, DeleteRun};
pub use recovery::{HasSegment, KnownLog, RecoveredCatalog, RecoveredCollection, RecoveryReport};
pub use seal::{GrowingStats, PendingStats, SealReason, decide, deltas_due, size_threshold};
pub use shared::{DeltasWaiting, Health, IngestStats};
pub use snapshot::{GrowingSnapshot, SegmentRows, UnflushedInfo};
pub use store_writer::StoreWriter;
pub use wal::TornTail;

use crate::model::{
    Channel, CollectionId, CollectionSchema, Delete, Group, Lsn, PartitionId, PrimaryKey, Segment, SegmentId,
    SegmentLogs, Timestamp,
};

/// One request: all of it takes effect at one position and one timestamp, or nothing does.
#[derive(Debug, Clone)]
pub struct Write {
    pub collection: CollectionId,
    pub schema: Arc<CollectionSchema>,
    /// Never kill rows of the request itself.
    pub deletes: Vec<DeleteOp>,
    pub inserts: Vec<InsertPart>,
}

/// Keys to be deleted on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteOp {
    /// The channel that the keys' hashes lead to.
    pub channel: Channel,
    /// Only rows of this partition; None: of any.
    pub partition: Option<PartitionId>,
    /// Keys of the type of the collection's primary key.
    pub keys: Arc<[PrimaryKey]>,
    /// Only rows that are strictly older than this timestamp die; None: than the request. A request that has read
    /// before it deletes says here up to when it has read: [`GrowingSnapshot::deletes_older_than`]. It must not be
    /// newer than the request.
    pub older_than: Option<Timestamp>,
}

/// Rows for one group.
#[derive(Debug, Clone)]
pub struct InsertPart {
    pub group: Arc<Group>,
    /// All columns of `CollectionSchema::arrow_schema` but Timestamp; no nulls. RowID is filled, ascending, from
    /// [`IdAllocator`](crate::ids::IdAllocator).
    pub rows: RecordBatch,
}

/// The request is durable and visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteAck {
    pub ts: Timestamp,
    pub lsn: Lsn,
}

/// A segment whose objects are in the store; nothing names them yet.
#[derive(Debug)]
pub struct FlushedSegment {
    /// State Flushed, sums filled in from `logs`, `end_lsn` of its last row.
    pub segment: Segment,
    pub logs: SegmentLogs,
    /// Statistics of its primary keys.
    pub stats: Vec<crate::binlog::PkStats>,
}

/// Deletes of one channel, to be given to the flushed segments they may hit.
#[derive(Debug, Clone)]
pub struct DeltaBatch {
    pub collection: CollectionId,
    pub channel: Channel,
    /// In order of position.
    pub deletes: DeleteList,
    /// Every delete of the channel up to here is in `deletes` or was in an earlier batch. To be stored with the commit:
    /// [`RecoveredCollection::delta_lsn`].
    pub upto: Lsn,
    /// Segments whose own delta logs hold everything that hits them up to a position: they need only what is later.
    pub flushed: Vec<FlushedUpTo>,
}

impl DeltaBatch {
    /// The deletes for one segment: those that cover its partition and that it does not have. Whether they hit it is
    /// for its statistics to say.
    pub fn for_segment(&self, segment: SegmentId, partition: PartitionId) -> impl Iterator<Item = Delete> + '_ {
        let after = self.flushed.iter().filter(|f| f.segment == segment).map(|f| f.upto).max().unwrap_or_default();
        let runs = self.deletes.iter().filter(move |r| r.lsn > after && r.covers(partition));
        runs.flat_map(|r| r.keys.iter().map(|key| Delete { key: key.clone(), ts: r.ts }))
    }
}

/// A flushed segment and the position up to which its own delta log is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushedUpTo {
    pub segment: SegmentId,
    pub upto: Lsn,
}

/// What the catalogue says of rows or deletes that were handed to it. Nobody else can say that they have no place to go:
/// an error never means that, whatever its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "what is gone has to be forgotten, what is not has to be kept"]
pub enum Committed {
    /// It has them, durably.
    Here,
    /// It knows that what they belong to was dropped: nobody can ask for them any more, and they are forgotten.
    Gone(Gone),
}

/// What was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    Collection(CollectionId),
    Partition(PartitionId),
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Collection(id) => write!(f, "collection {id} was dropped"),
            Self::Partition(id) => write!(f, "partition {id} was dropped"),
        }
    }
}

/// The catalogue's side of flushing. Ingest calls it and knows nothing of what is behind it.
///
/// Both calls may be repeated after an error or a restart and must then answer `Here` without a second effect. Every
/// error is tried again later, so it must not have had a partial effect.
#[async_trait]
pub trait FlushSink: Send + Sync {
    /// Makes a segment Flushed in one transaction. It is visible and durable when this returns.
    async fn commit_flush(&self, flushed: FlushedSegment) -> Result<Committed, Refusal>;

    /// Gives deletes to every live segment of the channel that may hold their keys, and to the outputs of compactions
    /// that are running over one, and stores `upto` for the channel. Durable when this returns.
    async fn commit_deltas(&self, batch: DeltaBatch) -> Result<Committed, Refusal>;
}
