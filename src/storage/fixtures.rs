//! Objects, rows and segments for the tests of this module.

use std::{sync::Arc, time::Duration};

use arrow_array::{ArrayRef, BinaryArray, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use futures::TryStreamExt;

use super::{
    backend::{Object, StorageBackend},
    error::StorageError,
    path::LogPath,
    segment_reader::read_columns,
    segment_writer::{SegmentOutput, SegmentTarget, StatsLayout, write_segment},
    store::SegmentStore,
};
use crate::{
    binlog::LogIds,
    config::{BinlogConfig, StorageConfig},
    kit::model,
    model::{CollectionId, CollectionSchema, DataType, Delete, FieldId, LogId, PartitionId, SegmentId},
};

pub(super) const IDS: LogIds = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };

/// Settings without pauses between attempts.
pub(super) fn config() -> StorageConfig {
    StorageConfig { retry_backoff: Duration::ZERO, ..StorageConfig::default() }
}

pub(super) fn object(name: &str, bytes: &'static [u8]) -> Object {
    Object { name: name.to_owned(), bytes: Bytes::from_static(bytes), rest: None, pace: None, read_soon: true }
}

pub(super) async fn names(backend: &dyn StorageBackend, prefix: &str) -> Vec<String> {
    let mut names: Vec<String> = backend.list(prefix).map_ok(|l| l.name).try_collect().await.unwrap();
    names.sort();
    names
}

pub(super) fn path(log: i64) -> LogPath {
    LogPath::delta(IDS, LogId(log))
}

pub(super) fn schema(key: DataType) -> CollectionSchema {
    let fields = vec![
        model::key(100, "key", key),
        model::vector(101, "vector", 8),
        model::field(102, "document", DataType::Json),
    ];
    model::schema("c", fields)
}

/// Rows with ascending row ids from `first`; key k belongs to row id k.
pub(super) fn rows(schema: &CollectionSchema, first: i64, count: i64) -> RecordBatch {
    let ids = first..first + count;
    let key: ArrayRef = match schema.primary_key().data_type {
        DataType::VarChar => Arc::new(StringArray::from_iter_values(ids.clone().map(|i| format!("k-{i:05}")))),
        _ => Arc::new(Int64Array::from_iter_values(ids.clone())),
    };
    let vectors = ids.clone().map(|i| Some([(i as f32).to_le_bytes(); 8].concat()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(ids.clone())),
        Arc::new(Int64Array::from_iter_values(ids.clone().map(|i| 1_000_000 + i % 7))),
        key,
        Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(vectors, 32).unwrap()),
        Arc::new(BinaryArray::from_iter_values(ids.map(|i| vec![b'x'; (i % 50) as usize]))),
    ];
    RecordBatch::try_new(schema.arrow_schema(), columns).unwrap()
}

/// Log ids from 1000.
pub(super) fn ids() -> impl FnMut() -> Result<LogId, StorageError> + Send {
    let mut next = 1000;
    move || {
        next += 1;
        Ok(LogId(next))
    }
}

pub(super) async fn write(
    store: &SegmentStore,
    schema: &CollectionSchema,
    stats: StatsLayout,
    max_bytes: u64,
    batches: &[RecordBatch],
    deletes: &[Delete],
) -> Result<SegmentOutput, StorageError> {
    let config = BinlogConfig { max_bytes, ..BinlogConfig::default() };
    let target = SegmentTarget { ids: IDS, schema, stats, config: &config, written_at_ms: 77 };
    write_segment(store, &target, batches.iter().cloned(), deletes, &mut ids()).await
}

pub(super) async fn read_all(store: &SegmentStore, schema: &CollectionSchema, output: &SegmentOutput) -> RecordBatch {
    let fields: Vec<FieldId> = schema.stored_fields().iter().map(|f| f.id).collect();
    let batches: Vec<RecordBatch> =
        read_columns(store, IDS, &output.logs, schema, &fields, 64).try_collect().await.unwrap();
    assert!(batches.iter().all(|b| b.num_rows() <= 64));
    concat_batches(&schema.arrow_schema(), &batches).unwrap()
}
