//! The readers' view of the write path: values that don't change once they are taken.

use std::sync::Arc;

use super::{
    chunk::Chunk,
    growing::{FlushAttempts, Unflushed},
    pending::DeleteList,
    seal::SealReason,
    state::WriteState,
};
use crate::model::{Channel, CollectionId, CollectionSchema, Delete, Group, Lsn, SegmentId, SegmentState, Timestamp};

/// Everything of one collection that is in memory, at one position. The module overview says how to read it together
/// with the catalog.
#[derive(Debug, Clone)]
pub struct GrowingSnapshot {
    pub collection: CollectionId,
    /// Everything up to this position is either in here or in the catalog.
    pub lsn: Lsn,
    /// The same as a timestamp: every row that is as old or older is in here or in the catalog, every write that is
    /// in neither is newer.
    pub ts: Timestamp,
    /// Ascending by id.
    pub segments: Vec<SegmentRows>,
    /// Waiting deletes per channel, for rows anywhere: in memory and in flushed segments. Ascending by channel.
    pub deletes: Vec<(Channel, DeleteList)>,
}

impl GrowingSnapshot {
    /// [`super::DeleteOp::older_than`] for a request that reads this snapshot, and the catalog after it, to find the keys
    /// that it deletes.
    ///
    /// A delete kills strictly older rows, so this one kills rows as old as [`Self::ts`] or older. The request could read
    /// all of them: the log thread gives positions and timestamps together and applies in their order, so no row of such
    /// a timestamp can still be under way. No newer row dies, even if it has replaced a row that was read: the next
    /// timestamp that a write can get is `ts + 1`, and it is not older than itself.
    pub fn deletes_older_than(&self) -> Timestamp {
        Timestamp(self.ts.0.saturating_add(1))
    }
}

/// Rows of one unflushed segment.
#[derive(Debug, Clone)]
pub struct SegmentRows {
    pub id: SegmentId,
    pub group: Arc<Group>,
    pub state: SegmentState,
    pub schema: Arc<CollectionSchema>,
    /// In order of arrival, which need not be that of row ids.
    pub chunks: Vec<Arc<Chunk>>,
    /// Deletes for rows of this segment only, besides those that wait.
    pub deletes: Vec<Delete>,
    pub rows: u64,
}

/// An unflushed segment without its rows.
#[derive(Debug, Clone, PartialEq)]
pub struct UnflushedInfo {
    pub id: SegmentId,
    pub group: Arc<Group>,
    /// Growing, Sealed or Flushing.
    pub state: SegmentState,
    pub rows: u64,
    /// Bytes of its rows in memory.
    pub bytes: u64,
    /// Of its oldest row.
    pub ts_from: Timestamp,
    /// Why it was sealed; None while it grows.
    pub sealed: Option<SealReason>,
    pub flush: FlushAttempts,
}

impl UnflushedInfo {
    fn of(segment: &Unflushed) -> Self {
        Self {
            id: segment.id,
            group: segment.group.clone(),
            state: segment.state,
            rows: segment.rows,
            bytes: segment.bytes,
            ts_from: segment.ts_from,
            sealed: segment.sealed.clone(),
            flush: segment.flush.clone(),
        }
    }
}

impl WriteState {
    pub(super) fn snapshot(&self, collection: CollectionId) -> GrowingSnapshot {
        let rows = |s: &Unflushed| SegmentRows {
            id: s.id,
            group: s.group.clone(),
            state: s.state,
            schema: s.layout.schema.clone(),
            chunks: s.chunks.clone(),
            deletes: s.attached_deletes(),
            rows: s.rows,
        };
        let segments = self.segments_of(collection).map(rows).collect();
        let mut deletes: Vec<(Channel, DeleteList)> = self
            .pending_channels(collection)
            .into_iter()
            .filter_map(|channel| self.pending(collection, &channel).map(|(list, _)| (channel, list)))
            .collect();
        deletes.sort_by(|a, b| a.0.cmp(&b.0));
        GrowingSnapshot { collection, lsn: self.last_lsn, ts: self.last_ts, segments, deletes }
    }

    /// Ascending by id.
    pub(super) fn unflushed(&self) -> Vec<UnflushedInfo> {
        let mut all: Vec<UnflushedInfo> = self.segments().map(UnflushedInfo::of).collect();
        all.sort_by_key(|s| s.id);
        all
    }
}
