//! The DataCoord's view of rows and deletes that are not in segments of the catalog yet.
//!
//! A write path holds them, and brings them here as flushed segments and batches of deletes ([`super::commit`]). In one
//! process that is its own log; in a Milvus cluster it would be the data nodes. The trait is as small as the DataCoord
//! allows: it must never be asked for rows, or told a client's request.

use std::sync::Arc;

use async_trait::async_trait;

use super::Ailment;
use crate::{
    error::{Classify, ErrorKind},
    model::{Channel, CollectionId, Delete, Group, Lsn, PartitionId, PrimaryKey, SegmentId, SegmentState, Timestamp},
};

/// Holds rows and deletes that are not flushed.
#[async_trait]
pub trait WritePath: Send + Sync {
    /// Every unflushed segment, ascending by id.
    fn unflushed(&self) -> Vec<UnflushedSegment>;

    /// False while the write path holds rows of the segment. True for every other id, known or not.
    fn is_flushed(&self, segment: SegmentId) -> bool;

    /// The deletes that [`Self::flush_deletes`] would bring now, one batch per channel. Brings none.
    fn waiting_deletes(&self, collection: CollectionId) -> Vec<DeleteBatch>;

    /// Brings every delete that waits for a collection. When this returns Ok, every delete acknowledged before the call
    /// is in the delta logs of the flushed segments that may hold its key.
    async fn flush_deletes(&self, collection: CollectionId) -> Result<(), WritePathError>;

    /// Waits until the write path itself has noted every segment that was committed before this call as flushed. Called
    /// before the catalog forgets segments: afterwards only the write path can keep their rows from being replayed.
    async fn flushes_noted(&self) -> Result<(), WritePathError>;

    /// Its ailments, the worst first.
    fn ailments(&self) -> Vec<Ailment>;

    /// Ends it: nothing is accepted or flushed afterwards, and waiting callers get an error.
    async fn stop(&self);
}

/// A segment without its rows, which only the write path has.
#[derive(Debug, Clone, PartialEq)]
pub struct UnflushedSegment {
    pub id: SegmentId,
    pub group: Arc<Group>,
    /// Growing, Sealed or Flushing.
    pub state: SegmentState,
    pub rows: u64,
    /// Bytes of its rows in memory.
    pub bytes: u64,
    /// Timestamp of its oldest row.
    pub ts_from: Timestamp,
}

/// Deletes of one channel that leave the write path for delta logs.
#[derive(Debug, Clone)]
pub struct DeleteBatch {
    pub collection: CollectionId,
    pub channel: Channel,
    /// In order of position.
    pub runs: Vec<DeletedKeys>,
    /// Every delete of the channel up to here is in `runs` or was in an earlier batch. Stored with the commit.
    pub upto: Lsn,
    /// Segments whose own delta logs hold everything that hits them up to a position. They need only later deletes.
    pub flushed: Vec<(SegmentId, Lsn)>,
}

/// Keys that one request deleted on a channel.
#[derive(Debug, Clone)]
pub struct DeletedKeys {
    pub lsn: Lsn,
    /// Rows older than this die.
    pub ts: Timestamp,
    /// None: of any partition.
    pub partition: Option<PartitionId>,
    pub keys: Arc<[PrimaryKey]>,
}

impl DeletedKeys {
    fn covers(&self, partition: PartitionId) -> bool {
        self.partition.is_none_or(|only| only == partition)
    }
}

impl DeleteBatch {
    /// The deletes for one segment: those that cover its partition and that it does not have. Its statistics tell
    /// whether they hit it.
    pub fn for_segment(&self, segment: SegmentId, partition: PartitionId) -> impl Iterator<Item = Delete> + '_ {
        let own = self.flushed.iter().filter(|(id, _)| *id == segment);
        let after = own.map(|(_, upto)| *upto).max().unwrap_or_default();
        let runs = self.runs.iter().filter(move |run| run.lsn > after && run.covers(partition));
        runs.flat_map(|run| run.keys.iter().map(|key| Delete { key: key.clone(), ts: run.ts }))
    }
}

/// Why the write path did not do something.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub struct WritePathError {
    pub kind: ErrorKind,
    pub message: String,
}

impl Classify for WritePathError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}
