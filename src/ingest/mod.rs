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
//! Must never acknowledge or show a row before it is durable, never forget one before the catalog has it, never touch the
//! metadata store (which is on [`FlushSink`]'s side), and never go on after the log failed.
//!
//! # Rules
//! - **One log, one order.** A request is one frame, all of it or nothing. The log thread gives positions and timestamps
//!   together, so both order requests alike. An upsert is a delete and an insert of one timestamp. Only a delete that
//!   was decided by a read has an older timestamp than its frame: that of the read (`GrowingSnapshot`).
//! - **State is the fold of the log** (`state`), live and after a restart. Its only other source is the catalog.
//! - **A failed write or sync is final**: every later write gets an error until a restart has read the log back. A sync
//!   is never repeated, because its second answer means nothing. Reads and flushes go on: the rows they see are durable.
//! - **A flushed segment is noted in the log.** Until then only the catalog keeps a restart from bringing its rows back,
//!   so records of dropped segments are removed only after [`Ingest::flushes_noted`].
//! - **Back-pressure** is in bytes: a queue of limited size, and writers wait while unflushed rows hold more than twice
//!   the memory limit (or are refused, if flushing fails).
//!
//! # Reading (P3, P4)
//! A row moves from memory to a flushed segment, a delete from the waiting list to a delta log. To see each exactly once:
//! 1. take [`Ingest::snapshot`] first;
//! 2. then take the catalog's list of segments;
//! 3. drop from the snapshot every segment that this list knows in *any* state, also as the source of a compaction.
//!
//! A segment leaves the snapshot only after its commit, so one that is missing in 1 is found in 2. A delete leaves the
//! waiting list only after the catalog has it in delta logs and every segment in memory that it hits carries it.
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
mod request;
mod seal;
mod shared;
mod sink;
mod snapshot;
mod state;
mod store_writer;
mod wal;

#[cfg(test)]
mod tests;

pub use chunk::Chunk;
pub use error::{FlushError, IngestError, LogLoss};
pub use flush::{SealedRows, SegmentWriter, WORKERS as FLUSHES_AT_ONCE};
pub use growing::FlushAttempts;
pub use handle::{Ingest, IngestParts};
pub use order::RowsInOrder;
pub use pending::{DeleteList, DeleteRun, DeltasWaiting, FlushedUpTo};
pub use recovery::{HasSegment, RecoveredCatalog, RecoveredCollection, RecoveryReport};
pub use request::{DeleteOp, InsertPart, Write, WriteAck};
pub use seal::{GrowingStats, PendingStats, SealReason, decide, deltas_due, size_threshold};
pub use shared::{Health, IngestStats};
pub use sink::{Committed, DeltaBatch, FlushSink, FlushedSegment, Gone};
pub use snapshot::{GrowingSnapshot, SegmentRows, UnflushedInfo};
pub use store_writer::StoreWriter;
pub use wal::{DiskFiles, KnownLog, LogCut, LogIdentity, LogOwner, RestoredLog, TornTail, WalFile, WalFiles};
