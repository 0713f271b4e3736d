//! Reads over sources in memory and in a store, by rule and against a naive model.

mod divided;
mod hybrid;
mod interrupt;
mod left;
mod model;
mod pages;
mod rules;
mod search;

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch, StringArray, cast::AsArray, types::Int64Type,
};

use super::{Effort, MemorySource, QueryVectors, RowSource, Scope, Search, SegmentSource};
use crate::{
    binlog::LogIds,
    config::BinlogConfig,
    graph::{GraphBuilder, GraphShape, GraphVectors},
    kit::{filters::compile, model as fixture},
    model::{
        Channel, CollectionId, CollectionSchema, DataType, Delete, Field, FieldId, Group, IndexPart, LogId, Metric,
        PartitionId, PrimaryKey, Segment, SegmentId, SegmentIndex, Timestamp,
    },
    storage::{LogPath, SegmentCache, SegmentStore, SegmentTarget, StatsLayout, write_segment},
};

const KEY: FieldId = FieldId(100);
const NUMBER: FieldId = FieldId(101);
const VECTOR: FieldId = FieldId(102);

fn schema(key: DataType) -> Arc<CollectionSchema> {
    let fields = vec![
        Field { max_length: Some(64), ..fixture::key(KEY.0, "id", key) },
        fixture::field(NUMBER.0, "n", DataType::Int64),
        fixture::vector(VECTOR.0, "v", 2),
    ];
    Arc::new(fixture::schema("reads", fields))
}

/// One row. `row_id` is unique, so it identifies the row in an answer.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    row_id: i64,
    ts: u64,
    key: i64,
    number: i64,
}

/// Varchar keys are ordered differently from their numbers on purpose: "10" < "9".
fn key_of(schema: &CollectionSchema, key: i64) -> PrimaryKey {
    match schema.primary_key().data_type {
        DataType::VarChar => PrimaryKey::Str(key.to_string().into()),
        _ => PrimaryKey::Int(key),
    }
}

fn delete(schema: &CollectionSchema, key: i64, ts: u64) -> Delete {
    Delete { key: key_of(schema, key), ts: Timestamp(ts) }
}

fn vector(row: &Row) -> Vec<u8> {
    [row.row_id as f32, 0.5].iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// Rows in the form of segments and growing chunks: system columns first.
fn batch(schema: &CollectionSchema, rows: &[Row]) -> RecordBatch {
    let ints = |f: fn(&Row) -> i64| Arc::new(Int64Array::from_iter_values(rows.iter().map(f))) as ArrayRef;
    let keys: ArrayRef = match schema.primary_key().data_type {
        DataType::VarChar => Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.key.to_string()))),
        _ => ints(|r| r.key),
    };
    let vectors = FixedSizeBinaryArray::try_from_iter(rows.iter().map(vector)).unwrap();
    let columns = vec![ints(|r| r.row_id), ints(|r| r.ts as i64), keys, ints(|r| r.number), Arc::new(vectors)];
    RecordBatch::try_new(schema.arrow_schema(), columns).unwrap()
}

fn channel(number: u8) -> Channel {
    Channel::new(format!("c_1v{number}"))
}

/// A search by distance for rows whose row id is near `number`.
fn nearest_to(number: f32, limit: u64) -> Search {
    Search {
        scope: Scope::default(),
        field: VECTOR,
        metric: Metric::L2,
        queries: queries(&[[number, 0.5]]),
        limit,
        offset: 0,
        range: None,
        group: None,
        page: None,
        output: vec![FieldId::ROW_ID],
        effort: Effort::Usual,
    }
}

fn queries(vectors: &[[f32; 2]]) -> QueryVectors {
    QueryVectors::new(vectors.iter().flatten().flat_map(|number| number.to_le_bytes()).collect(), 8)
}

/// A growing segment.
fn growing(
    schema: &CollectionSchema,
    partition: i64,
    channel_number: u8,
    chunks: &[Vec<Row>],
    deletes: Vec<Delete>,
) -> Box<dyn RowSource> {
    let chunks = chunks.iter().filter(|rows| !rows.is_empty());
    let chunks = chunks.map(|rows| batch(schema, rows)).collect();
    Box::new(MemorySource::new(PartitionId(partition), channel(channel_number), chunks).with_deletes(deletes))
}

/// A flushed segment in `store`, cut into binlogs of 99 rows.
async fn flushed(
    store: &SegmentStore,
    schema: &Arc<CollectionSchema>,
    segment: i64,
    partition: i64,
    channel_number: u8,
    rows: &[Row],
    deletes: &[Delete],
) -> SegmentSource {
    let ids = LogIds { collection: CollectionId(1), partition: PartitionId(partition), segment: SegmentId(segment) };
    let config = BinlogConfig { max_bytes: 1, ..BinlogConfig::default() };
    let target = SegmentTarget { ids, schema, stats: StatsLayout::Flushed, config: &config, written_at_ms: 7 };
    let mut next = 100;
    let mut log_ids = move || {
        next += 1;
        Ok(LogId(next))
    };
    let rows = [batch(schema, rows)];
    let output = write_segment(store, &target, rows.into_iter(), deletes, &mut log_ids).await.unwrap();
    let group =
        Group { collection: CollectionId(1), partition: PartitionId(partition), channel: channel(channel_number) };
    let mut meta = Segment { pk_range: output.pk_range, ..Segment::new(SegmentId(segment), Arc::new(group)) };
    meta.summarise(&output.logs);
    SegmentSource::new(store.clone(), &meta, Arc::new(output.logs), schema.clone())
}

/// The source with an index of its vectors.
async fn indexed(
    store: &SegmentStore,
    source: SegmentSource,
    (partition, segment): (i64, i64),
    rows: &[Row],
    metric: Metric,
) -> SegmentSource {
    let shape = GraphShape { metric, dim: 2, links: 16, width: 100 };
    let mut vectors = GraphVectors::new(shape, rows.len()).unwrap();
    for (place, row) in rows.iter().enumerate() {
        vectors.push(place as u64, &[row.row_id as f32, 0.5]).unwrap();
    }
    let graph = GraphBuilder::new(vectors, 1).unwrap();
    (0..graph.rows()).for_each(|number| graph.link(number).unwrap());
    let count = graph.rows() as u64;
    let bytes = bytes::Bytes::from(graph.into_bytes().unwrap());
    let part = IndexPart { rows: count, bytes: bytes.len() as u64, checksum: crc32c::crc32c(&bytes) };
    let index = SegmentIndex { index: 1, field: VECTOR, build: segment, version: 1, parts: vec![part] };
    let ids = LogIds { collection: CollectionId(1), partition: PartitionId(partition), segment: SegmentId(segment) };
    store.put(&LogPath::index(ids, &index, 0), bytes).await.unwrap();
    source.with_cache(Arc::new(SegmentCache::new(4 << 20))).with_index(index, shape)
}

fn int_column(batch: &RecordBatch, index: usize) -> Vec<i64> {
    batch.column(index).as_primitive::<Int64Type>().values().to_vec()
}

/// Row ids, decoded from the vectors of an answer.
fn vector_rows(batch: &RecordBatch, index: usize) -> Vec<i64> {
    let vectors = batch.column(index).as_fixed_size_binary();
    (0..vectors.len()).map(|i| f32::from_le_bytes(vectors.value(i)[..4].try_into().unwrap()) as i64).collect()
}
