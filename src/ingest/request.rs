//! Requests to the write path, as values. Checks nothing: [`super::Ingest::write`] does.

use std::sync::Arc;

use arrow_array::RecordBatch;

use crate::model::{Channel, CollectionId, CollectionSchema, Group, Lsn, PartitionId, PrimaryKey, Timestamp};

/// One request: all of it takes effect at one position and one timestamp, or nothing does.
#[derive(Debug, Clone)]
pub struct Write {
    pub collection: CollectionId,
    pub schema: Arc<CollectionSchema>,
    /// They never kill rows of the request itself.
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
    /// before it deletes says here up to when it has read: [`super::GrowingSnapshot::deletes_older_than`]. It must not be
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
