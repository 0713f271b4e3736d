//! Segments to merge: real files in a directory, rows as a flush writes them.

use std::{ops::Range, sync::Arc};

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow_buffer::Buffer;
use datacoord::{
    binlog::LogIds,
    compactor::{CompactionInput, CompactionTask},
    config::BinlogConfig,
    model::{
        CollectionId, CollectionSchema, DataType, Delete, Group, LogId, PartitionId, Plan, PlanState, PrimaryKey,
        Segment, SegmentId, SegmentLogs, Timestamp,
    },
    storage::{LogPath, SegmentStore, SegmentTarget, StatsLayout, write_segment},
};

use crate::kit::model;

pub const DIM: usize = 768;
const BATCH_ROWS: usize = 2000;
/// Ids of outputs: above those of all inputs.
pub const IDS: Range<i64> = 1_000_000_000..2_000_000_000;

pub fn group() -> Group {
    model::group(1, 2, "bench_1v0")
}

/// Vectors of uniform floats in [-1, 1): hardly compressible, as embeddings are.
fn batch(schema: &CollectionSchema, first: i64, rows: usize, seed: &mut u64) -> RecordBatch {
    let mut floats = Vec::with_capacity(rows * DIM * 4);
    for _ in 0..rows * DIM {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        let float = (*seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0;
        floats.extend_from_slice(&float.to_le_bytes());
    }
    let ids = || Arc::new(Int64Array::from_iter_values(first..first + rows as i64)) as ArrayRef;
    let time = Timestamp::from_ms(1_700_000_000_000).0 as i64;
    let columns: Vec<ArrayRef> = vec![
        ids(),
        Arc::new(Int64Array::from(vec![time; rows])),
        ids(),
        Arc::new(FixedSizeBinaryArray::try_new(DIM as i32 * 4, Buffer::from_vec(floats), None).unwrap()),
    ];
    RecordBatch::try_new(schema.arrow_schema(), columns).unwrap()
}

/// Writes a segment of `rows` rows, a tenth of which may be deleted.
pub async fn segment(
    store: &SegmentStore,
    schema: &CollectionSchema,
    id: i64,
    rows: usize,
    deleted: bool,
    config: &BinlogConfig,
) -> CompactionInput {
    let ids = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(id) };
    let target = SegmentTarget { ids, schema, stats: StatsLayout::Flushed, config, written_at_ms: 1 };
    let first = id * 10_000_000;
    let mut seed = 0x9E37_79B9_7F4A_7C15 ^ id as u64;
    let batches = (0..rows).step_by(BATCH_ROWS).map(|at| {
        let count = BATCH_ROWS.min(rows - at);
        batch(schema, first + at as i64, count, &mut seed)
    });
    let killed = (0..rows as i64).filter(|row| deleted && row % 10 == 7);
    let deletes: Vec<Delete> = killed
        .map(|row| Delete { key: PrimaryKey::Int(first + row), ts: Timestamp::from_ms(1_700_000_001_000) })
        .collect();
    let mut next = id * 1000 + 10;
    let mut log_ids = || {
        next += 1;
        Ok(LogId(next))
    };
    let written = write_segment(store, &target, batches, &deletes, &mut log_ids).await.unwrap();
    let mut segment = Segment { pk_range: written.pk_range, ..model::segment(id, &Arc::new(group())) };
    segment.summarise(&written.logs);
    CompactionInput { segment, logs: written.logs }
}

/// A plan that merges the inputs into as few segments as there can be.
pub fn task(schema: &Arc<CollectionSchema>, inputs: Vec<CompactionInput>) -> CompactionTask {
    CompactionTask {
        plan: Plan {
            max_output_bytes: 1 << 40,
            attempts: 1,
            state: PlanState::Executing { started_at_ms: 1 },
            ..model::plan(1, 1, group(), inputs.iter().map(|i| model::input(&i.segment)).collect())
        },
        schema: schema.clone(),
        inputs,
        now_ms: 1_700_000_002_000,
        ids: IDS,
        max_outputs: u64::MAX,
    }
}

pub async fn remove(store: &SegmentStore, segment: SegmentId, logs: &SegmentLogs) {
    for path in paths(segment, logs) {
        store.delete(&path).await.unwrap();
    }
}

/// Rows of so many MiB.
pub fn rows_of(mib: usize) -> usize {
    mib * (1 << 20) / (DIM * 4)
}

pub fn schema() -> Arc<CollectionSchema> {
    let fields = vec![model::key(100, "f100", DataType::Int64), model::vector(101, "f101", DIM as u32)];
    Arc::new(model::schema("bench", fields))
}

/// Objects of a segment.
pub fn paths(segment: SegmentId, logs: &SegmentLogs) -> Vec<LogPath> {
    let ids = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment };
    let insert = logs.insert.iter().flat_map(|(field, files)| files.iter().map(|f| LogPath::insert(ids, *field, f.id)));
    let stats = logs.stats.iter().flat_map(|(field, files)| files.iter().map(|f| LogPath::stats(ids, *field, f.id)));
    insert.chain(stats).chain(logs.delta.iter().map(|f| LogPath::delta(ids, f.id))).collect()
}
