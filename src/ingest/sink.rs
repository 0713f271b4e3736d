//! The catalog's side of flushing: the trait that it implements, the values handed to it, and its answers.

use async_trait::async_trait;

use super::{DeleteList, FlushError, FlushedUpTo};
use crate::{
    binlog::PkStats,
    model::{Channel, CollectionId, Delete, Lsn, PartitionId, Segment, SegmentId, SegmentLogs},
};

/// A segment whose objects are in the store; nothing names them yet.
#[derive(Debug)]
pub struct FlushedSegment {
    /// State Flushed, sums filled in from `logs`, `end_lsn` of its last row.
    pub segment: Segment,
    pub logs: SegmentLogs,
    /// Statistics of its primary keys.
    pub stats: Vec<PkStats>,
}

/// Deletes of one channel, to be given to the flushed segments they may hit.
#[derive(Debug, Clone)]
pub struct DeltaBatch {
    pub collection: CollectionId,
    pub channel: Channel,
    /// In order of position.
    pub deletes: DeleteList,
    /// Every delete of the channel up to here is in `deletes` or was in an earlier batch. To be stored with the commit:
    /// [`super::RecoveredCollection::delta_lsn`].
    pub upto: Lsn,
    /// Segments whose own delta logs hold everything that hits them up to a position: they need only later deletes.
    pub flushed: Vec<FlushedUpTo>,
}

impl DeltaBatch {
    /// The deletes for one segment: those that cover its partition and that it does not have. Its statistics tell which of
    /// them may hit it.
    pub fn for_segment(&self, segment: SegmentId, partition: PartitionId) -> impl Iterator<Item = Delete> + '_ {
        let after = self.flushed.iter().filter(|f| f.segment == segment).map(|f| f.upto).max().unwrap_or_default();
        let runs = self.deletes.iter().filter(move |r| r.lsn > after && r.covers(partition));
        runs.flat_map(|r| r.keys.iter().map(|key| Delete { key: key.clone(), ts: r.ts }))
    }
}

/// The catalog's answer for rows or deletes that were handed to it. Only the catalog can say that a user dropped them: an
/// error of any kind never means that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "rows of a dropped collection have to be forgotten, all others kept"]
pub enum Committed {
    /// It has them, durably.
    Here,
    /// A user dropped them: no reader can ask for them any more, and they are forgotten.
    Gone(Gone),
}

/// How a user dropped rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    Collection(CollectionId),
    Partition(PartitionId),
    /// All rows that the collection had.
    Truncated(CollectionId),
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Collection(id) => write!(f, "collection {id} was dropped"),
            Self::Partition(id) => write!(f, "partition {id} was dropped"),
            Self::Truncated(id) => write!(f, "collection {id} was truncated"),
        }
    }
}

/// The catalog's side of flushing. Ingest calls it and knows nothing else of the catalog.
///
/// Both calls may be repeated after an error or a restart and must then answer `Here` without a second effect. Every
/// error is tried again later, so it must not have had a partial effect.
#[async_trait]
pub trait FlushSink: Send + Sync {
    /// Makes a segment Flushed in one transaction. It is visible and durable when this returns.
    async fn commit_flush(&self, flushed: FlushedSegment) -> Result<Committed, FlushError>;

    /// Gives deletes to every live segment of the channel that may hold their keys, and to the outputs of compactions
    /// that are running over one, and stores `upto` for the channel. Durable when this returns.
    async fn commit_deltas(&self, batch: DeltaBatch) -> Result<Committed, FlushError>;
}
