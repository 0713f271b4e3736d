//! Writes: gives rows their ids, routes them to partitions and channels, and hands them to the log.
//!
//! Checked rows come in (`wire::rows`); an answer goes out only after the log is durable (P3). Does no IO of its own.

use std::{collections::BTreeMap, sync::Arc};

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use arrow_select::take::take_record_batch;

use super::{Standalone, StandaloneError};
use crate::{
    coordinator::CollectionCell,
    ingest::{DeleteOp, InsertPart, Write, WriteAck},
    model::{
        Collection, CollectionSchema, DataType, FieldId, Group, Partition, PartitionId, PrimaryKey, RequestError,
        SegmentId, Timestamp, collection::DEFAULT_PARTITION,
    },
    query::BoundExpr,
};

/// The result of a write.
#[derive(Debug, Clone)]
pub struct Mutation {
    /// Keys of inserted rows, in the order of the request; none for a delete.
    pub keys: Option<ArrayRef>,
    pub count: u64,
    /// Of its record in the log. A read at this timestamp sees the write.
    pub ts: Timestamp,
}

/// The result of a flush.
#[derive(Debug, Clone)]
pub struct FlushedCollection {
    /// Sealed by this call.
    pub sealed: Vec<SegmentId>,
    /// Flushed before it.
    pub flushed: Vec<SegmentId>,
    pub ts: Timestamp,
}

impl Standalone {
    /// Inserts rows: all of them, or none. `rows` has the user's columns, named by field id, without the auto-id key.
    ///
    /// # Errors
    /// `PartitionNotFound`; `Rejected` when a partition is named though a partition key decides; log failures.
    pub async fn insert(
        &self,
        cell: &CollectionCell,
        partition: &str,
        rows: RecordBatch,
    ) -> Result<Mutation, StandaloneError> {
        self.write_rows(cell, partition, rows, false).await
    }

    /// Replaces rows by key: one delete and one insert of the same timestamp, atomically. If the collection generates keys,
    /// `rows` has a column with those to replace, and the new rows get new ones.
    pub async fn upsert(
        &self,
        cell: &CollectionCell,
        partition: &str,
        rows: RecordBatch,
    ) -> Result<Mutation, StandaloneError> {
        self.write_rows(cell, partition, rows, true).await
    }

    async fn write_rows(
        &self,
        cell: &CollectionCell,
        partition: &str,
        rows: RecordBatch,
        replace: bool,
    ) -> Result<Mutation, StandaloneError> {
        self.coordinator.check_fence()?;
        let meta = cell.meta();
        let schema = &meta.schema;
        if !partition.is_empty() && schema.partition_key().is_none() {
            self.check_partition(partition)?;
        }
        let target = RowTarget::of(&meta, partition)?;
        let count = rows.num_rows();
        let key = schema.primary_key();
        // Keys of rows to replace that other shards may have than the new rows.
        let replaced = (replace && key.auto_id).then(|| all_keys(column(&rows, key.id)?)).transpose()?;
        let first_row_id = self.ids.alloc(count as u64).await?.start;
        let rows = complete(schema, rows, first_row_id)?;
        let keys = column(&rows, key.id)?;
        let parts = split(&meta, &target, &rows, keys)?;
        let mut write =
            Write { collection: cell.id, schema: Arc::clone(schema), deletes: Vec::new(), inserts: Vec::new() };
        for ((partition, shard), indices) in parts {
            let channel = meta.channels[shard].clone();
            let rows = match indices {
                None => rows.clone(),
                Some(indices) => take_record_batch(&rows, &UInt32Array::from(indices)).map_err(internal)?,
            };
            if replace && replaced.is_none() {
                let keys = all_keys(column(&rows, key.id)?)?;
                // With a partition key the old row may live in another partition: its key decided that.
                let scope = if schema.partition_key().is_some() { None } else { Some(partition) };
                write.deletes.push(DeleteOp {
                    partition: scope,
                    channel: channel.clone(),
                    keys: keys.into(),
                    // Nothing was read: the rows that the keys have at the moment of the write are replaced.
                    older_than: None,
                });
            }
            let group = Arc::new(Group { collection: cell.id, partition, channel });
            write.inserts.push(InsertPart { group, rows });
        }
        if let Some(replaced) = replaced {
            let scope = match target {
                RowTarget::One(partition) => Some(partition),
                RowTarget::ByKey { .. } => None,
            };
            write.deletes = deletes(&meta, scope, replaced, None);
        }
        let keys = Some(Arc::clone(keys));
        let bytes = rows.get_array_memory_size() as u64;
        let ack = self.logged(cell, write).await?;
        self.metrics.ingest.inserted_rows.inc_by(count as u64);
        self.metrics.ingest.inserted_bytes.inc_by(bytes);
        if replace {
            self.metrics.ingest.upserted_rows.inc_by(count as u64);
        }
        Ok(Mutation { keys, count: count as u64, ts: ack.ts })
    }

    /// Has the log take a write, while no truncation of the collection is under way.
    async fn logged(&self, cell: &CollectionCell, write: Write) -> Result<WriteAck, StandaloneError> {
        let _writing = cell.writing().await;
        Ok(self.ingest.write(write).await?)
    }

    /// The one partition that a delete is about; an empty name means all of them.
    ///
    /// # Errors
    /// `BadName`, `PartitionNotFound`.
    pub fn delete_scope(&self, cell: &CollectionCell, partition: &str) -> Result<Option<PartitionId>, RequestError> {
        if partition.is_empty() {
            return Ok(None);
        }
        self.check_partition(partition)?;
        Ok(Some(partition_of(&cell.meta(), partition)?.id))
    }

    /// Deletes by expression: by key where it names keys, otherwise those rows that match it now. Rows written after
    /// "now" stay, though the delete is logged later: a row that replaced a matching one need not match.
    ///
    /// The count is that of the keys named, as often as they are named and whether or not they exist, as in Milvus.
    /// `scope` is what [`Self::delete_scope`] says. `seen` are the partitions whose rows an expression can match; None:
    /// all of them.
    pub async fn delete(
        &self,
        cell: &Arc<CollectionCell>,
        scope: Option<PartitionId>,
        expr: &BoundExpr,
        seen: Option<Vec<PartitionId>>,
    ) -> Result<Mutation, StandaloneError> {
        self.coordinator.check_fence()?;
        let meta = cell.meta();
        let (keys, older_than) = match expr.exact_keys() {
            Some(keys) => (keys, None),
            None => {
                let seen = scope.map(|partition| vec![partition]).or(seen);
                let found = self.matching_keys(cell, expr, seen).await?;
                (found.keys, Some(found.older_than))
            }
        };
        let count = expr.listed_keys().unwrap_or(keys.len()) as u64;
        let deletes = deletes(&meta, scope, keys, older_than);
        if deletes.is_empty() {
            return Ok(Mutation { keys: None, count, ts: self.timestamp().await? });
        }
        let write = Write { collection: cell.id, schema: Arc::clone(&meta.schema), deletes, inserts: Vec::new() };
        let ack = self.logged(cell, write).await?;
        self.metrics.ingest.deleted_keys.inc_by(count);
        Ok(Mutation { keys: None, count, ts: ack.ts })
    }

    /// Seals the collection's growing rows and waits a while for their segments. So the client's first question for the
    /// state is usually answered with yes.
    pub async fn flush(&self, cell: &CollectionCell) -> Result<FlushedCollection, StandaloneError> {
        self.coordinator.check_fence()?;
        let flushed = cell.live().iter().map(|s| s.id).collect();
        let sealed = self.ingest.seal(cell.id).await?;
        let ts = self.timestamp().await?;
        let done = async {
            self.ingest.wait_flushed(&sealed).await?;
            self.ingest.flush_deltas(cell.id).await
        };
        // A flush that takes longer goes on; the client polls.
        match tokio::time::timeout(FLUSH_WAIT, done).await {
            Ok(outcome) => outcome?,
            Err(_elapsed) => {}
        }
        Ok(FlushedCollection { sealed, flushed, ts })
    }

    /// True if none of the segments has unflushed rows. Unknown ids are flushed: their segments have been compacted
    /// and collected since.
    pub fn is_flushed(&self, segments: &[SegmentId]) -> bool {
        segments.iter().all(|id| self.ingest.is_flushed(*id))
    }

    /// True if no unflushed segment began before this timestamp.
    pub fn is_flushed_until(&self, ts: Timestamp) -> bool {
        self.ingest.unflushed().iter().all(|u| u.ts_from > ts)
    }
}

/// How long a flush call waits for its segments before it leaves the waiting to the client.
const FLUSH_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// Deletes of keys, each in the channel of its shard. `scope` is one partition, or None: all of them.
fn deletes(
    meta: &Collection,
    scope: Option<PartitionId>,
    keys: impl IntoIterator<Item = PrimaryKey>,
    older_than: Option<Timestamp>,
) -> Vec<DeleteOp> {
    let mut by_channel: BTreeMap<usize, Vec<PrimaryKey>> = BTreeMap::new();
    for key in keys {
        by_channel.entry(shard_of(&key, meta.channels.len())).or_default().push(key);
    }
    let delete = |(shard, keys): (usize, Vec<PrimaryKey>)| DeleteOp {
        partition: scope,
        channel: meta.channels[shard].clone(),
        keys: keys.into(),
        older_than,
    };
    by_channel.into_iter().map(delete).collect()
}

/// Where rows may go.
enum RowTarget {
    One(PartitionId),
    /// By hash of the partition key.
    ByKey {
        field: FieldId,
        partitions: Vec<PartitionId>,
    },
}

impl RowTarget {
    fn of(meta: &Collection, partition: &str) -> Result<Self, StandaloneError> {
        if let Some(field) = meta.schema.partition_key() {
            if !partition.is_empty() {
                return Err(RequestError::PartitionByKey(partition.to_owned()).into());
            }
            return Ok(Self::ByKey { field: field.id, partitions: meta.partitions.iter().map(|p| p.id).collect() });
        }
        let name = if partition.is_empty() { DEFAULT_PARTITION } else { partition };
        Ok(Self::One(partition_of(meta, name)?.id))
    }
}

fn partition_of<'a>(meta: &'a Collection, name: &str) -> Result<&'a Partition, RequestError> {
    meta.partition(name).ok_or_else(|| RequestError::PartitionNotFound(name.to_owned()))
}

/// Adds the row ids, and the keys where the collection makes them, and puts the columns into the stored order.
fn complete(schema: &CollectionSchema, rows: RecordBatch, first_row_id: i64) -> Result<RecordBatch, StandaloneError> {
    let count = rows.num_rows();
    let row_ids: ArrayRef = Arc::new(Int64Array::from_iter_values(first_row_id..first_row_id + count as i64));
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for field in schema.stored_fields() {
        let column = if field.id == FieldId::TIMESTAMP {
            continue;
        } else if field.id == FieldId::ROW_ID {
            Arc::clone(&row_ids)
        } else if field.is_primary_key && field.auto_id {
            match field.data_type {
                DataType::VarChar => {
                    let text = (first_row_id..first_row_id + count as i64).map(|id| id.to_string());
                    Arc::new(StringArray::from_iter_values(text)) as ArrayRef
                }
                _ => Arc::clone(&row_ids),
            }
        } else {
            Arc::clone(column(&rows, field.id)?)
        };
        fields.push(ArrowField::new(field.column_name(), field.arrow_type(), false));
        columns.push(column);
    }
    RecordBatch::try_new(Arc::new(ArrowSchema::new(fields)), columns).map_err(internal)
}

type RoutedPart = (PartitionId, usize);

/// The rows of a request that one part takes, in their order; None means all of them.
type RowIndices = Option<Vec<u32>>;

/// Rows per partition and shard.
fn split(
    meta: &Collection,
    target: &RowTarget,
    rows: &RecordBatch,
    keys: &ArrayRef,
) -> Result<Vec<(RoutedPart, RowIndices)>, StandaloneError> {
    let shards = meta.channels.len();
    if let (RowTarget::One(partition), 1) = (target, shards) {
        return Ok(vec![((*partition, 0), None)]);
    }
    let shard_hashes = hashes(keys)?;
    let partition_hashes = match target {
        RowTarget::One(_) => None,
        RowTarget::ByKey { field, .. } => Some(hashes(column(rows, *field)?)?),
    };
    let mut parts: BTreeMap<RoutedPart, Vec<u32>> = BTreeMap::new();
    for row in 0..rows.num_rows() {
        let partition = match (target, &partition_hashes) {
            (RowTarget::ByKey { partitions, .. }, Some(hashes)) => partitions[hashes[row] as usize % partitions.len()],
            (RowTarget::One(partition), _) => *partition,
            (RowTarget::ByKey { .. }, None) => {
                return Err(StandaloneError::Internal("partition key not hashed".into()));
            }
        };
        parts.entry((partition, shard_hashes[row] as usize % shards)).or_default().push(row as u32);
    }
    Ok(parts.into_iter().map(|(part, indices)| (part, Some(indices))).collect())
}

/// The column of a field in a batch whose columns are named by field id.
fn column(rows: &RecordBatch, field: FieldId) -> Result<&ArrayRef, StandaloneError> {
    rows.column_by_name(&field.to_string())
        .ok_or_else(|| StandaloneError::Internal(format!("rows have no column for field {field}")))
}

fn hashes(keys: &ArrayRef) -> Result<Vec<u32>, StandaloneError> {
    if let Some(ints) = keys.as_any().downcast_ref::<Int64Array>() {
        return Ok(ints.values().iter().map(|k| hash_int(*k)).collect());
    }
    if let Some(texts) = keys.as_any().downcast_ref::<StringArray>() {
        return Ok((0..texts.len()).map(|i| hash_str(texts.value(i))).collect());
    }
    Err(StandaloneError::Internal(format!("a key column of type {}", keys.data_type())))
}

fn all_keys(keys: &ArrayRef) -> Result<Vec<PrimaryKey>, StandaloneError> {
    if let Some(ints) = keys.as_any().downcast_ref::<Int64Array>() {
        return Ok(ints.values().iter().map(|k| PrimaryKey::Int(*k)).collect());
    }
    if let Some(texts) = keys.as_any().downcast_ref::<StringArray>() {
        return Ok((0..texts.len()).map(|i| PrimaryKey::Str(texts.value(i).into())).collect());
    }
    Err(StandaloneError::Internal(format!("a key column of type {}", keys.data_type())))
}

/// The shard a key belongs to: every row and every delete of a key goes through the same channel.
pub(super) fn shard_of(key: &PrimaryKey, shards: usize) -> usize {
    let hash = match key {
        PrimaryKey::Int(k) => hash_int(*k),
        PrimaryKey::Str(k) => hash_str(k),
    };
    hash as usize % shards.max(1)
}

/// Murmur3 (32 bit) of the eight little-endian bytes, as Milvus routes int64 keys.
fn hash_int(key: i64) -> u32 {
    let mut bytes = &key.to_le_bytes()[..];
    // Reading from memory can't fail; 0 would only make the routing lopsided.
    murmur3::murmur3_32(&mut bytes, 0).unwrap_or(0) & 0x7fff_ffff
}

/// CRC-32 of the first 100 bytes, as Milvus routes varchar keys.
fn hash_str(key: &str) -> u32 {
    let bytes = key.as_bytes();
    crc32fast::hash(&bytes[..bytes.len().min(100)])
}

fn internal(e: arrow_schema::ArrowError) -> StandaloneError {
    StandaloneError::Internal(e.to_string())
}
