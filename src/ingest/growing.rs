//! A segment whose rows are in memory: growing, or sealed and on its way into the object store.
//!
//! Never loses a row before the catalog has the segment, and takes no row once it is sealed.

use std::sync::Arc;

use super::{
    chunk::{Chunk, RowLayout, mergeable_tail},
    seal::{GrowingStats, SealReason},
};
use crate::model::{Delete, Group, Lsn, SegmentId, SegmentState, Timestamp};

/// Past attempts to flush a sealed segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlushAttempts {
    pub failures: u32,
    /// Milliseconds since 1970 of the next attempt.
    pub retry_at_ms: u64,
    pub last_error: Option<String>,
}

#[derive(Debug)]
pub(super) struct Unflushed {
    pub(super) id: SegmentId,
    pub(super) group: Arc<Group>,
    pub(super) layout: Arc<RowLayout>,
    /// Growing, Sealed or Flushing.
    pub(super) state: SegmentState,
    pub(super) sealed: Option<SealReason>,
    pub(super) chunks: Vec<Arc<Chunk>>,
    /// Deletes that hit its rows and that a delta flush has taken off the channel's list.
    pub(super) deletes: Vec<Arc<[Delete]>>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) first_lsn: Lsn,
    pub(super) last_lsn: Lsn,
    pub(super) ts_from: Timestamp,
    pub(super) ts_to: Timestamp,
    /// Bytes of the log in front of its first row.
    pub(super) log_offset: u64,
    pub(super) flush: FlushAttempts,
}

impl Unflushed {
    pub(super) fn new(id: SegmentId, group: Arc<Group>, layout: Arc<RowLayout>, lsn: Lsn, log_offset: u64) -> Self {
        Self {
            id,
            group,
            layout,
            state: SegmentState::Growing,
            sealed: None,
            chunks: Vec::new(),
            deletes: Vec::new(),
            rows: 0,
            bytes: 0,
            first_lsn: lsn,
            last_lsn: lsn,
            ts_from: Timestamp::MAX,
            ts_to: Timestamp::ZERO,
            log_offset,
            flush: FlushAttempts::default(),
        }
    }

    pub(super) fn push(&mut self, chunk: Chunk, lsn: Lsn) {
        self.rows += chunk.batch.num_rows() as u64;
        self.bytes += chunk.bytes;
        self.last_lsn = lsn;
        self.ts_from = self.ts_from.min(chunk.ts_from);
        self.ts_to = self.ts_to.max(chunk.ts_to);
        self.chunks.push(Arc::new(chunk));
    }

    /// Small chunks at the end that should become one.
    pub(super) fn small_tail(&self) -> Option<Vec<Arc<Chunk>>> {
        let count = mergeable_tail(&self.chunks)?;
        self.chunks.get(self.chunks.len() - count..).map(<[_]>::to_vec)
    }

    /// Puts `merged` in the place of the last `count` chunks, whose rows it holds.
    pub(super) fn replace_tail(&mut self, count: usize, merged: Chunk) {
        self.chunks.truncate(self.chunks.len().saturating_sub(count));
        self.chunks.push(Arc::new(merged));
    }

    pub(super) fn stats(&self, log_end: u64) -> GrowingStats {
        GrowingStats {
            id: self.id,
            bytes: self.bytes,
            created_at_ms: self.ts_from.physical_ms(),
            last_write_ms: self.ts_to.physical_ms(),
            first_lsn: self.first_lsn,
            log_bytes: log_end.saturating_sub(self.log_offset),
        }
    }

    pub(super) fn attached_deletes(&self) -> Vec<Delete> {
        self.deletes.iter().flat_map(|d| d.iter().cloned()).collect()
    }
}
