//! Deletes that wait in memory until a delta flush gives them to the flushed segments they may hit.
//!
//! Kept per channel in order of arrival and never bound to a segment here: readers and flushes apply them by key and
//! timestamp, so a delete costs the same however many rows and segments there are, and no compaction that commits
//! meanwhile can lose one. A list is cheap to copy (readers do so for every query) and never changed in place.

use std::sync::Arc;

use super::request::DeleteOp;
use crate::{
    fault::{self, Planted},
    model::{Channel, CollectionId, Lsn, PartitionId, PrimaryKey, SegmentId, Timestamp},
};

/// Deletes of one request on one channel: they share the timestamp. It is that of the request, or an older one if the
/// request had read before. So positions grow along a list, and timestamps need not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRun {
    /// Only rows of this partition; None: of any.
    pub partition: Option<PartitionId>,
    pub keys: Arc<[PrimaryKey]>,
    /// Kills rows that are strictly older.
    pub ts: Timestamp,
    pub lsn: Lsn,
    /// Bytes of the log in front of it.
    pub(super) log_offset: u64,
}

impl DeleteRun {
    /// Keys that a request of this timestamp and position deletes.
    pub(super) fn of(op: DeleteOp, ts: Timestamp, lsn: Lsn, log_offset: u64) -> Self {
        let ts = if fault::planted(Planted::UpsertSplit) { Timestamp(ts.0 + 1) } else { ts };
        let older_than = op.older_than.filter(|_| !fault::planted(Planted::DeleteOutlivesRead));
        Self { partition: op.partition, keys: op.keys, ts: older_than.unwrap_or(ts), lsn, log_offset }
    }

    /// True if it may hit rows of this partition.
    pub fn covers(&self, partition: PartitionId) -> bool {
        self.partition.is_none_or(|p| p == partition)
    }

    fn bytes(&self) -> u64 {
        let keys: usize = self.keys.iter().map(|k| size_of::<PrimaryKey>() + key_bytes(k)).sum();
        (size_of::<Self>() + keys) as u64
    }
}

fn key_bytes(key: &PrimaryKey) -> usize {
    match key {
        PrimaryKey::Int(_) => 0,
        PrimaryKey::Str(text) => text.len() + 16,
    }
}

/// Runs per block: a copy of the list copies one pointer per block and the runs of the last one.
const BLOCK: usize = 256;

/// Runs in order of arrival.
#[derive(Debug, Clone, Default)]
pub struct DeleteList {
    blocks: Vec<Arc<[Arc<DeleteRun>]>>,
    tail: Vec<Arc<DeleteRun>>,
    keys: u64,
    bytes: u64,
}

impl DeleteList {
    /// Oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<DeleteRun>> {
        self.blocks.iter().flat_map(|b| b.iter()).chain(&self.tail)
    }

    /// Number of keys.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    pub fn is_empty(&self) -> bool {
        self.keys == 0
    }

    /// Memory.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn push(&mut self, run: DeleteRun) {
        self.extend([Arc::new(run)]);
    }

    pub(super) fn first(&self) -> Option<&Arc<DeleteRun>> {
        self.iter().next()
    }

    /// Forgets the runs up to a position. The bytes of memory that were freed.
    pub(super) fn drop_up_to(&mut self, upto: Lsn) -> u64 {
        let before = self.bytes;
        if self.first().is_some_and(|r| r.lsn <= upto) {
            *self = self.iter().filter(|r| r.lsn > upto).cloned().collect();
        }
        before - self.bytes
    }

    /// Forgets the deletes of one partition. The bytes of memory that were freed.
    pub(super) fn drop_partition(&mut self, partition: PartitionId) -> u64 {
        let before = self.bytes;
        *self = self.iter().filter(|r| r.partition != Some(partition)).cloned().collect();
        before - self.bytes
    }
}

impl FromIterator<Arc<DeleteRun>> for DeleteList {
    fn from_iter<T: IntoIterator<Item = Arc<DeleteRun>>>(runs: T) -> Self {
        let mut list = Self::default();
        list.extend(runs);
        list
    }
}

impl Extend<Arc<DeleteRun>> for DeleteList {
    fn extend<T: IntoIterator<Item = Arc<DeleteRun>>>(&mut self, runs: T) {
        for run in runs.into_iter().filter(|r| !r.keys.is_empty()) {
            self.keys += run.keys.len() as u64;
            self.bytes += run.bytes();
            self.tail.push(run);
            if self.tail.len() == BLOCK {
                self.blocks.push(std::mem::take(&mut self.tail).into());
            }
        }
    }
}

/// A flushed segment and the position up to which its own delta log is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushedUpTo {
    pub segment: SegmentId,
    pub upto: Lsn,
}

/// Deletes of one channel that could not be given to the flushed segments so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeltasWaiting {
    pub collection: CollectionId,
    pub channel: Channel,
    pub keys: u64,
    /// Of the last attempt.
    pub error: String,
}

/// Deletes that wait on one channel.
#[derive(Debug, Default)]
pub(super) struct Pending {
    pub(super) list: DeleteList,
    /// Segments flushed since the last delta flush, with the position up to which their own delta log is complete:
    /// routing the same deletes to them once more would only make their delta logs longer.
    pub(super) flushed: Vec<FlushedUpTo>,
    /// Milliseconds since 1970; a delta flush that failed is tried again then.
    pub(super) retry_at_ms: u64,
    pub(super) failures: u32,
    /// Why the last delta flush failed, until one succeeds.
    pub(super) last_error: Option<String>,
}

impl Pending {
    /// After a delta flush. The bytes of memory that were freed.
    pub(super) fn drop_up_to(&mut self, upto: Lsn) -> u64 {
        (self.retry_at_ms, self.failures, self.last_error) = (0, 0, None);
        // A segment whose own delta log goes beyond `upto` has later deletes already.
        self.flushed.retain(|f| f.upto > upto);
        self.list.drop_up_to(upto)
    }

    /// Remembers a flushed segment, if deletes wait that it has already.
    pub(super) fn flushed(&mut self, segment: SegmentId, upto: Lsn) {
        if self.list.first().is_some_and(|r| r.lsn <= upto) {
            self.flushed.push(FlushedUpTo { segment, upto });
        }
    }
}
