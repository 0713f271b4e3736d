//! Throughput of durable writes: MB/s and latency, for large and small requests with several in flight.
//!
//! `cargo bench --bench wal [-- seconds [directory]]`. Vectors of 768 dimensions with an int64 key. Each shape runs
//! twice: with flushing refused until the end ("log only", in as much memory as it takes) and with real flushes.

#[path = "../tests/kit/mod.rs"]
mod kit;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use arrow_array::{FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow_buffer::Buffer;
use arrow_schema::Schema;
use async_trait::async_trait;
use datacoord::{
    clock::{Clock, SystemClock},
    config::{BinlogConfig, IngestConfig, StorageConfig, StorageKind},
    ids::{self, Numbers},
    ingest::{
        Committed, DeltaBatch, FlushError, FlushSink, FlushedSegment, Ingest, IngestParts, InsertPart,
        RecoveredCatalog, StoreWriter, Write,
    },
    meta::{Catalog, MemoryStore},
    model::{Channel, CollectionId, CollectionSchema, DataType, Group, PartitionId},
    storage::SegmentStore,
};

use crate::kit::model;

const DIM: usize = 768;
const COLLECTION: CollectionId = CollectionId(7);

struct Accepts;

#[async_trait]
impl FlushSink for Accepts {
    async fn commit_flush(&self, _: FlushedSegment) -> Result<Committed, FlushError> {
        Ok(Committed::Here)
    }

    async fn commit_deltas(&self, _: DeltaBatch) -> Result<Committed, FlushError> {
        Ok(Committed::Here)
    }
}

fn schema() -> Arc<CollectionSchema> {
    let fields = vec![model::key(100, "pk", DataType::Int64), model::vector(101, "vector", DIM as u32)];
    Arc::new(model::schema("bench", fields))
}

/// Rows with the given ids; vectors of pseudo-random floats, which do not compress.
fn rows(schema: &CollectionSchema, first: i64, count: usize) -> RecordBatch {
    let stored = schema.arrow_schema();
    let fields: Vec<_> = stored.fields().iter().filter(|f| f.name() != "1").cloned().collect();
    let mut state = first as u64 | 1;
    let mut vectors = Vec::with_capacity(count * DIM * 4);
    for _ in 0..count * DIM {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        vectors.extend_from_slice(&((state >> 40) as f32 / 16_777_216.0).to_le_bytes());
    }
    let ids = Int64Array::from_iter_values(first..first + count as i64);
    let vectors = FixedSizeBinaryArray::new((DIM * 4) as i32, Buffer::from_vec(vectors), None);
    let columns: Vec<arrow_array::ArrayRef> = vec![Arc::new(ids.clone()), Arc::new(ids), Arc::new(vectors)];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).expect("columns fit")
}

struct Shape {
    name: &'static str,
    rows: usize,
    in_flight: usize,
    flushes: bool,
}

async fn run(shape: &Shape, dir: &Path, wanted: Duration) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let catalog = Catalog::open(Arc::new(MemoryStore::new())).await.expect("catalog");
    let Numbers { ids, tso, .. } = ids::open(Arc::new(catalog.bounds()), clock.clone()).await.expect("bounds");
    let storage =
        StorageConfig { kind: StorageKind::Local { root: Some(dir.join("files")) }, ..StorageConfig::default() };
    let store = SegmentStore::open(&storage, dir).expect("store");
    let mut config = IngestConfig::default();
    if !shape.flushes {
        config.max_segment_bytes = u64::MAX / 2;
        config.memory_limit_bytes = u64::MAX / 4;
    }
    let writer = StoreWriter { store, config: BinlogConfig::default(), ids: ids.clone(), clock: clock.clone() };
    let (ingest, _) = Ingest::open(IngestParts {
        config,
        wal_dir: dir.join("wal"),
        ids: ids.clone(),
        tso,
        clock,
        writer: Arc::new(writer),
        sink: Arc::new(Accepts),
        known: RecoveredCatalog::default(),
    })
    .await
    .expect("opens");
    let schema = schema();
    let group = Arc::new(Group {
        collection: COLLECTION,
        partition: PartitionId(1),
        channel: Channel::new("by-dev-rootcoord-dml_0_7v0"),
    });
    // The vectors are the same every time; ids are new, as a server would fill them in.
    let template = rows(&schema, 1, shape.rows);
    let begin = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..shape.in_flight {
        let (ingest, ids, schema, group) = (ingest.clone(), ids.clone(), schema.clone(), group.clone());
        let (count, template) = (shape.rows, template.clone());
        clients.push(tokio::spawn(async move {
            let begin = Instant::now();
            let mut latencies = Vec::new();
            while begin.elapsed() < wanted {
                let first = ids.alloc(count as u64).await.expect("ids").start;
                let mut columns = template.columns().to_vec();
                columns[0] = Arc::new(Int64Array::from_iter_values(first..first + count as i64));
                let rows = RecordBatch::try_new(template.schema(), columns).expect("columns fit");
                let sent = Instant::now();
                let inserts = vec![InsertPart { group: group.clone(), rows }];
                let write = Write { collection: COLLECTION, schema: schema.clone(), deletes: vec![], inserts };
                ingest.write(write).await.expect("written");
                latencies.push(sent.elapsed());
            }
            latencies
        }));
    }
    let mut latencies = Vec::new();
    for client in clients {
        latencies.extend(client.await.expect("client"));
    }
    let elapsed = begin.elapsed();
    latencies.sort_unstable();
    let stats = ingest.stats();
    let bytes = (latencies.len() * shape.rows * (DIM * 4 + 8)) as f64;
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!(
        "{:34} {:7.1} MB/s  p50 {:8.2} ms  p99 {:8.2} ms  {:6} requests  {:5} syncs  {:3} flushes",
        shape.name,
        bytes / elapsed.as_secs_f64() / 1e6,
        at(0.5),
        at(0.99),
        latencies.len(),
        stats.fsyncs,
        stats.flushes,
    );
    ingest.stop().await;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let seconds = arguments.first().and_then(|s| s.parse().ok()).unwrap_or(5);
    let root = arguments.get(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let shape = |name, rows, in_flight, flushes| Shape { name, rows, in_flight, flushes };
    for shape in [
        shape("29 MB, 4 in flight, log only", 9_440, 4, false),
        shape("29 MB, 4 in flight, flushing", 9_440, 4, true),
        shape("300 kB, 4 in flight, log only", 98, 4, false),
        shape("300 kB, 4 in flight, flushing", 98, 4, true),
        shape("1 row, 64 in flight, log only", 1, 64, false),
    ] {
        let dir = root.join(format!("datacoord-wal-bench-{}", std::process::id()));
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("runtime");
        runtime.block_on(run(&shape, &dir, Duration::from_secs(seconds)));
        // Waits for writes of flushes that were given up.
        drop(runtime);
        if let Err(error) = std::fs::remove_dir_all(&dir) {
            println!("can't remove {}: {error}", dir.display());
        }
    }
}
