//! Throughput of the merge, with real files in a directory: 4 segments of 768-dimensional vectors into one.
//!
//! `cargo bench --bench merge [-- MIB_PER_SEGMENT [DIRECTORY]]`, 32 MiB and a temporary directory by default. Prints,
//! without deletes, with 10 % of the rows deleted and with one object a column, the best of three runs, and how much
//! resident memory a run takes at most beside what the process had before, under several limits. *Floor* is reading the
//! same objects and writing them again, synced, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "not shipped")]

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::Instant,
};

use arrow::{
    array::{ArrayRef, FixedSizeBinaryArray, Int64Array},
    buffer::Buffer,
    record_batch::RecordBatch,
};
use datacoord::{
    binlog::LogIds,
    compactor::{CompactError, CompactionInput, CompactionTask, Compactor, Outcome, OutputIds, ProgressCell},
    config::{BinlogConfig, StorageConfig, WorkerConfig},
    model::{
        Channel, CollectionId, CollectionSchema, DataType, Delete, Field, FieldId, Group, JobId, LogId, PartitionId,
        Plan, PlanId, PlanInput, PlanKind, PlanReason, PlanState, PrimaryKey, Segment, SegmentId, SegmentLogs,
        Timestamp,
    },
    storage::{LogPath, SegmentStore, SegmentTarget, StatsLayout, write_segment},
};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const DIM: usize = 768;
const SEGMENTS: i64 = 4;
const BATCH_ROWS: usize = 2000;
const RUNS: usize = 3;
/// Limits of the memory for merging in MiB; the first is the default.
const LIMITS: [u64; 3] = [256, 64, 16];

struct Ids(AtomicI64);

impl OutputIds for Ids {
    fn next_segment(&self, _: PlanId) -> Result<SegmentId, CompactError> {
        Ok(SegmentId(self.0.fetch_add(1, Relaxed)))
    }

    fn next_log(&self) -> Result<LogId, CompactError> {
        Ok(LogId(self.0.fetch_add(1, Relaxed)))
    }
}

fn field(id: i64, data_type: DataType, dim: Option<u32>, is_primary_key: bool) -> Field {
    Field {
        id: FieldId(id),
        name: format!("f{id}"),
        description: String::new(),
        data_type,
        element_type: None,
        is_primary_key,
        auto_id: false,
        is_partition_key: false,
        is_clustering_key: false,
        is_dynamic: false,
        dim,
        max_length: None,
        max_capacity: None,
        type_params: vec![],
        index_params: vec![],
    }
}

fn group() -> Group {
    Group { collection: CollectionId(1), partition: PartitionId(2), channel: Channel::new("bench_1v0") }
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

async fn segment(
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
    let mut segment =
        Segment { pk_range: written.pk_range, version: 1, ..Segment::new(ids.segment, Arc::new(group())) };
    segment.summarise(&written.logs);
    CompactionInput { segment, logs: written.logs }
}

fn task(schema: &Arc<CollectionSchema>, inputs: Vec<CompactionInput>) -> CompactionTask {
    let input = |i: &CompactionInput| PlanInput {
        segment: i.segment.id,
        rows: i.segment.rows,
        bytes: i.segment.insert_bytes,
        delta_rows: i.segment.delta_rows,
    };
    CompactionTask {
        plan: Plan {
            id: PlanId(1),
            job: JobId(1),
            group: group(),
            kind: PlanKind::Mix,
            reason: PlanReason::ManualMerge,
            inputs: inputs.iter().map(input).collect(),
            keep_deletes_after: Timestamp::MAX,
            ttl: None,
            max_output_bytes: 1 << 40,
            created_at_ms: 1,
            attempts: 1,
            state: PlanState::Executing { started_at_ms: 1 },
        },
        schema: schema.clone(),
        inputs,
        now_ms: 1_700_000_002_000,
    }
}

async fn remove(store: &SegmentStore, segment: SegmentId, logs: &SegmentLogs) {
    let ids = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment };
    for (field, files) in &logs.insert {
        for file in files {
            store.delete(&LogPath::insert(ids, *field, file.id)).await.unwrap();
        }
    }
}

/// Resident memory in MiB now and at most since the last call; 0 where the system does not tell.
fn resident_mib() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    (value("VmRSS:"), value("VmHWM:"))
}

async fn measure(store: &SegmentStore, name: &str, task: &CompactionTask, limit_mib: u64) {
    let ids = Arc::new(Ids(AtomicI64::new(1_000_000)));
    let worker = WorkerConfig { memory_limit_bytes: limit_mib << 20, ..WorkerConfig::default() };
    let compactor = Compactor::new(store.clone(), BinlogConfig::default(), &worker, ids);
    let mut best: Option<(f64, Outcome)> = None;
    let (before, _) = resident_mib();
    for _ in 0..RUNS {
        let start = Instant::now();
        let outcome = compactor.run(task, &ProgressCell::new(), &CancellationToken::new()).await.unwrap();
        let seconds = start.elapsed().as_secs_f64();
        for output in &outcome.outputs {
            remove(store, output.id, &output.logs).await;
        }
        if best.as_ref().is_none_or(|(least, _)| seconds < *least) {
            best = Some((seconds, outcome));
        }
    }
    let (_, most) = resident_mib();
    let (seconds, outcome) = best.unwrap();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{name}, limit {limit_mib:>3} MiB: {:.0} MiB in, {:.0} MiB out, {} of {} rows, {seconds:.3} s, {:.0} MiB/s, \
         peak {} MiB beside {before} MiB",
        mib(outcome.bytes_read),
        mib(outcome.bytes_written),
        outcome.rows_out,
        outcome.rows_in,
        mib(task.plan.input_bytes()) / seconds,
        most.saturating_sub(before),
    );
}

/// Seconds for reading all objects of the inputs and writing the same bytes to one synced file each.
async fn floor(store: &SegmentStore, name: &str, task: &CompactionTask) {
    let start = Instant::now();
    let mut copies = Vec::new();
    for input in &task.inputs {
        let ids = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: input.segment.id };
        for (field, files) in &input.logs.insert {
            for file in files {
                let bytes = store.get(&LogPath::insert(ids, *field, file.id)).await.unwrap();
                let copy = LogPath::insert(LogIds { segment: SegmentId(1_000), ..ids }, *field, file.id);
                store.put(&copy, bytes).await.unwrap();
                copies.push(copy);
            }
        }
    }
    println!("{name}, floor: {:.3} s", start.elapsed().as_secs_f64());
    for copy in copies {
        store.delete(&copy).await.unwrap();
    }
}

fn main() {
    // Cargo passes `--bench`.
    let mut args = std::env::args().skip(1).filter(|arg| !arg.starts_with("--"));
    let mib: usize = args.next().map_or(32, |arg| arg.parse().expect("MiB per segment"));
    let temporary = tempfile::tempdir().unwrap();
    let directory = args.next().map_or_else(|| temporary.path().to_path_buf(), PathBuf::from);
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(run(mib, &directory));
}

async fn run(mib: usize, directory: &Path) {
    let schema = Arc::new(CollectionSchema {
        name: "bench".to_owned(),
        description: String::new(),
        enable_dynamic_field: false,
        fields: vec![
            field(100, DataType::Int64, None, true),
            field(101, DataType::FloatVector, Some(DIM as u32), false),
        ],
        primary: 0,
    });
    let store = SegmentStore::open(&StorageConfig::default(), directory).unwrap();
    let rows = mib * (1 << 20) / (DIM * 4);
    let usual = BinlogConfig::default();
    // As another writer may have it: a segment is one object a column.
    let whole = BinlogConfig { max_bytes: 1 << 30, ..BinlogConfig::default() };
    let shapes = [("no deletes", false, &usual), ("10 % deleted", true, &usual), ("one object", true, &whole)];
    for (number, (name, deleted, config)) in (0..).zip(shapes) {
        let mut inputs = Vec::new();
        for id in 1..=SEGMENTS {
            inputs.push(segment(&store, &schema, id + number * SEGMENTS, rows, deleted, config).await);
        }
        let task = task(&schema, inputs);
        for limit in LIMITS {
            measure(&store, name, &task, limit).await;
        }
        floor(&store, name, &task).await;
    }
}
