//! A million live and a million dropped segments in ten thousand collections, and a hundred thousand finished jobs: the
//! time of a restart after `kill -9`, of a global tick, of a look-up beside it, of planning after a flush while ticks go
//! on, of an explanation, and the longest time that a lock is held.
//!
//! `cargo bench --features lock-times --bench scale [-- COLLECTIONS [SEGMENTS_PER_COLLECTION [JOBS]]]`, 10,000, 100 and
//! 100,000 by default; as many dropped segments as live ones. The state is written by one process, which is killed, and
//! measured in another one, so that the memory is that of a server. Without the feature locks are not measured.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "not shipped")]

#[path = "../tests/kit/mod.rs"]
mod kit;

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Int64Array, RecordBatch};
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema};
use datacoord::{
    clock::{Clock, SystemClock},
    config::Config,
    coordinator::Parts,
    meta::{Catalog, RedbStore},
    model::{
        Collection, CollectionSchema, DataType, Database, Group, Job, JobId, Plan, PlanInput, PlanState, Segment,
        SegmentId, SegmentLogs, SegmentState, Timestamp, Trigger,
    },
    standalone::Standalone,
    storage::SegmentStore,
    telemetry::Metrics,
};
use tracing::{
    Event, Subscriber,
    field::{Field as TracingField, Visit},
    level_filters::LevelFilter,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
    util::SubscriberInitExt,
};

use crate::kit::model;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const MB: u64 = 1 << 20;
const BASE: i64 = 470_597_209_892_000_000;
const ROUNDS: usize = 5;
const CHUNK: i64 = 5_000;
/// Every so many-th collection lacks one small segment to be compacted.
const NEARLY_DUE: i64 = 16;
/// Flushes that are measured between ticks and while ticks follow each other, and those of each round in which the locks
/// are.
const FLUSHES: i64 = 250;
#[cfg(feature = "lock-times")]
const MORE_FLUSHES: i64 = 20;

#[derive(Clone, Copy)]
struct Size {
    collections: i64,
    segments: i64,
    jobs: i64,
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let number = |n: usize, default: i64| args.get(n).map_or(default, |a| a.parse().unwrap());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if args.first().is_some_and(|a| a == "--measure") {
        let size = Size { collections: number(2, 0), segments: number(3, 0), jobs: number(4, 0) };
        runtime.block_on(measure(Path::new(&args[1]), size));
        return;
    }
    if args.first().is_some_and(|a| a == "--generate") {
        let size = Size { collections: number(2, 0), segments: number(3, 0), jobs: number(4, 0) };
        let _open = runtime.block_on(generate(Path::new(&args[1]), size));
        println!("generated");
        // Until it is killed.
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        return;
    }
    let size = Size { collections: number(0, 10_000), segments: number(1, 100), jobs: number(2, 100_000) };
    let dir = tempfile::tempdir_in("target").unwrap();
    let begun = Instant::now();
    let sizes = [size.collections, size.segments, size.jobs].map(|n| n.to_string());
    let mut generator = Command::new(std::env::current_exe().unwrap())
        .arg("--generate")
        .arg(dir.path())
        .args(&sizes)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(generator.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "generated\n");
    generator.kill().unwrap();
    generator.wait().unwrap();
    let bytes = std::fs::metadata(dir.path().join("meta.redb")).unwrap().len();
    println!("generated in {:.1} s: {} MB of metadata", begun.elapsed().as_secs_f64(), bytes / MB);
    let status =
        Command::new(std::env::current_exe().unwrap()).arg("--measure").arg(dir.path()).args(&sizes).status().unwrap();
    assert!(status.success());
}

fn group_of(collection: i64) -> Arc<Group> {
    let id = BASE + collection;
    let channel = format!("by-dev-rootcoord-dml_{}_{id}v0", collection % 16);
    Arc::new(model::group(id, id, &channel))
}

fn schema(name: &str) -> CollectionSchema {
    model::schema(name, vec![model::key(100, "id", DataType::Int64), model::vector(101, "vec", 8)])
}

fn segment(id: i64, group: &Arc<Group>, place: i64) -> Segment {
    // No two of the large ones fit together, and ten small ones are not enough: a steady state, in which a tick finds
    // nothing to do.
    let is_small = (group.collection.0 - BASE) % NEARLY_DUE == 0 && place < 10;
    let bytes = if is_small { 10 } else { 400 + place as u64 % 100 } * MB;
    Segment {
        rows: 100_000,
        insert_bytes: bytes,
        memory_bytes: bytes,
        delta_ts_from: Timestamp::MAX,
        ts_from: Timestamp(BASE as u64),
        ts_to: Timestamp(BASE as u64 + 9),
        ..model::segment(id, group)
    }
}

/// Writes the state through the catalog, as a server would.
async fn generate(dir: &Path, size: Size) -> Catalog {
    // The first start of a server marks its store and its log.
    start(dir).await.shutdown().await;
    let catalog = Catalog::open(Arc::new(RedbStore::open(dir).unwrap())).await.unwrap();
    let mut txn = catalog.txn();
    txn.put_database(&Database { name: "default".to_owned(), created_at: Timestamp(1) });
    for c in 0..size.collections {
        let group = group_of(c);
        txn.put_collection(&Collection {
            channels: vec![group.channel.clone()],
            partitions: vec![model::default_partition(group.partition.0)],
            ..model::collection(group.collection.0, schema(&format!("c{c}")))
        });
    }
    txn.commit().await.unwrap();
    let now_ms = SystemClock::new().now_ms();
    let mut id = BASE + 1_000_000;
    for first in (0..size.collections).step_by((CHUNK / size.segments).max(1) as usize) {
        let mut txn = catalog.txn();
        for c in first..(first + (CHUNK / size.segments).max(1)).min(size.collections) {
            let group = group_of(c);
            for place in 0..size.segments {
                let mut dropped = segment(id, &group, place);
                dropped.state = SegmentState::Dropped;
                dropped.dropped_at_ms = now_ms;
                dropped.compaction_to = [SegmentId(id + 1)].into();
                let mut live = segment(id + 1, &group, place);
                live.compaction_from = [SegmentId(id)].into();
                txn.put_segment_and_logs(&dropped, &SegmentLogs::default());
                txn.put_segment_and_logs(&live, &SegmentLogs::default());
                id += 2;
            }
        }
        txn.commit().await.unwrap();
    }
    for first in (0..size.jobs).step_by(CHUNK as usize) {
        let mut txn = catalog.txn();
        for j in first..(first + CHUNK).min(size.jobs) {
            let group = group_of(j % size.collections);
            txn.put_job(&Job {
                trigger: Trigger::Flush,
                created_at_ms: now_ms,
                ..model::job(id, group.collection.0, &[id + 1])
            });
            let input = |n| PlanInput { segment: SegmentId(id - n), rows: 100_000, bytes: 40 * MB, delta_rows: 0 };
            txn.put_plan(&Plan {
                keep_deletes_after: Timestamp::ZERO,
                created_at_ms: now_ms,
                attempts: 1,
                state: PlanState::Completed {
                    targets: vec![SegmentId(id)],
                    rows_out: 1_000_000,
                    bytes_out: 400 * MB,
                    ended_at_ms: now_ms,
                },
                ..model::plan(id + 1, id, Group::clone(&group), (0..10).map(input).collect())
            });
            id += 2;
        }
        txn.commit().await.unwrap();
    }
    catalog
}

/// A server that neither compacts nor collects by itself.
async fn start(dir: &Path) -> Arc<Standalone> {
    let mut config = Config::default();
    config.server.data_dir = dir.to_owned();
    config.compaction.global_interval = Duration::from_secs(86_400);
    config.gc.enabled = false;
    let parts = Parts {
        config: Arc::new(config.clone()),
        clock: Arc::new(SystemClock::new()),
        metrics: Arc::new(Metrics::new(prometheus::Registry::new()).unwrap()),
        meta: Arc::new(RedbStore::open(dir).unwrap()),
        store: SegmentStore::open(&config.storage, dir).unwrap(),
    };
    Standalone::start(parts).await.unwrap()
}

async fn measure(dir: &Path, size: Size) {
    let moments = Moments::default();
    tracing_subscriber::registry().with(moments.clone().with_filter(LevelFilter::INFO)).init();
    let begun = Instant::now();
    let standalone = start(dir).await;
    let coordinator = Arc::clone(standalone.coordinator());
    report("restart to serving", begun.elapsed(), "3 s");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    for (key, what) in [("VmRSS:", "resident memory"), ("VmHWM:", "resident memory at most, while starting")] {
        let line = status.lines().find(|l| l.starts_with(key)).unwrap();
        let kb: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
        println!("{what:<44} {:>10} MB   aim 2048 MB", kb / 1024);
    }

    // The longest of many look-ups: so long a client would wait while a tick runs.
    let stop = Arc::new(AtomicBool::new(false));
    let probe = {
        let (coordinator, stop) = (Arc::clone(&coordinator), Arc::clone(&stop));
        let collections = size.collections;
        std::thread::spawn(move || {
            let mut longest = Duration::ZERO;
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n = (n + 7919) % collections;
                let begun = Instant::now();
                let cell = coordinator.collection(group_of(n).collection).unwrap();
                std::hint::black_box((cell.rows(None), coordinator.jobs().counts(JobId(n))));
                longest = longest.max(begun.elapsed());
            }
            longest
        })
    };
    let mut ticks = Vec::new();
    for _ in 0..ROUNDS {
        let begun = Instant::now();
        coordinator.tick().await;
        ticks.push(begun.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    let longest = probe.join().unwrap();
    ticks.sort();
    report("global tick, median", ticks[ROUNDS / 2], "300 ms");
    report("longest look-up of another thread meanwhile", longest, "1 ms");

    let mut times = Vec::new();
    for n in 0..1000 {
        let id = SegmentId(BASE + 1_000_001 + 2 * (n * 7919 % (size.collections * size.segments)));
        let begun = Instant::now();
        std::hint::black_box(coordinator.explain_segment(id).await.unwrap());
        times.push(begun.elapsed());
    }
    report("explain a segment, p99", percentile(&mut times, 99), "5 ms");

    // The first data of the page: every segment is looked at once, and again where something has changed.
    for what in ["overview, the first", "overview, nothing has changed"] {
        let begun = Instant::now();
        std::hint::black_box(standalone.overview(100, &|_| true));
        report(what, begun.elapsed(), "100 ms");
    }
    let cell = coordinator.collection(group_of(0).collection).unwrap();
    let begun = Instant::now();
    std::hint::black_box(coordinator.segment_page(&cell, None, 500, false));
    report("first page of segments", begun.elapsed(), "100 ms");

    for (first, ticking, when) in [(0, false, ""), (FLUSHES, true, " while ticking")] {
        let mut waits = flush(&standalone, &moments, first..first + FLUSHES, ticking).await;
        report(&format!("flush event to durable plan{when}, median"), percentile(&mut waits, 50), "10 ms");
        report(&format!("flush event to durable plan{when}, p99"), percentile(&mut waits, 99), "10 ms");
        report(&format!("flush event to durable plan{when}, longest"), percentile(&mut waits, 100), "10 ms");
    }

    #[cfg(feature = "lock-times")]
    {
        use datacoord::coordinator::sync::timed;
        // Time in which the virtual processor is taken away is counted too. A lock that the code itself holds for long
        // shows in every round.
        let mut longest = Vec::new();
        for round in 0..ROUNDS as i64 {
            timed::measure(true);
            let first = 2 * FLUSHES + round * MORE_FLUSHES;
            flush(&standalone, &moments, first..first + MORE_FLUSHES, true).await;
            for n in 0..100 {
                let id = SegmentId(BASE + 1_000_001 + 2 * (n * 7919 % (size.collections * size.segments)));
                std::hint::black_box(coordinator.explain_segment(id).await.unwrap());
                std::hint::black_box(coordinator.jobs().of_collection(group_of(n).collection));
                standalone.refresh_metrics();
            }
            timed::measure(false);
            longest.push(timed::longest());
        }
        longest.sort();
        report("longest hold of a lock, in the best of five rounds", longest[0], "1 ms");
        report("longest hold of a lock, in the worst", longest[ROUNDS - 1], "1 ms");
    }
    standalone.shutdown().await;
}

/// Gives each of these collections, which are nearly due, one more small segment by inserting a row and flushing it. If
/// `ticking`, global ticks follow each other meanwhile (a server has one a minute). Returns the times from the commit of
/// the segment to the moment at which job and plans are durable.
async fn flush(
    standalone: &Arc<Standalone>,
    moments: &Moments,
    which: std::ops::Range<i64>,
    ticking: bool,
) -> Vec<Duration> {
    let coordinator = standalone.coordinator();
    let stop = Arc::new(AtomicBool::new(!ticking));
    let ticking = tokio::spawn({
        let (coordinator, stop) = (Arc::clone(coordinator), Arc::clone(&stop));
        async move {
            while !stop.load(Ordering::Relaxed) {
                coordinator.tick().await;
            }
        }
    });
    let mut waits = Vec::new();
    for n in which {
        let collection = group_of(n * NEARLY_DUE).collection;
        let cell = coordinator.collection(collection).unwrap();
        let mut changes = coordinator.jobs().changes();
        standalone.insert(&cell, "", row()).await.unwrap();
        standalone.flush(&cell).await.unwrap();
        while coordinator.jobs().plan(changes.recv().await.unwrap()).unwrap().group.collection != collection {}
        let (flushed, planned) = *moments.0.lock().unwrap();
        waits.push(planned.unwrap().duration_since(flushed.unwrap()));
    }
    stop.store(true, Ordering::Relaxed);
    ticking.await.unwrap();
    waits
}

fn row() -> RecordBatch {
    let fields = vec![
        ArrowField::new("100", ArrowType::Int64, false),
        ArrowField::new("101", ArrowType::FixedSizeBinary(32), false),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![1])),
        Arc::new(FixedSizeBinaryArray::try_from_iter([[0u8; 32]].into_iter()).unwrap()),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// When a segment was last committed by a flush, and when a job was last made: read off the log lines.
#[derive(Clone, Default)]
struct Moments(Arc<Mutex<(Option<Instant>, Option<Instant>)>>);

impl<S: Subscriber> Layer<S> for Moments {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        match message.0.as_str() {
            "segment flushed" => self.0.lock().unwrap().0 = Some(Instant::now()),
            "compaction job made" => self.0.lock().unwrap().1 = Some(Instant::now()),
            "a lock was held for long" => println!("{}", message.1),
            _ => {}
        }
    }
}

#[derive(Default)]
struct Message(String, String);

impl Visit for Message {
    fn record_debug(&mut self, field: &TracingField, value: &dyn std::fmt::Debug) {
        match field.name() {
            "message" => self.0 = format!("{value:?}"),
            "place" => self.1 = format!("{value:?}"),
            _ => {}
        }
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort();
    times[(times.len() * percent / 100).min(times.len() - 1)]
}

fn report(what: &str, took: Duration, aim: &str) {
    println!("{what:<44} {:>10.2} ms   aim {aim}", took.as_secs_f64() * 1e3);
}
