//! The merge alone, with real files in a directory: segments of 768-dimensional vectors into one.
//!
//! `cargo bench --bench merge [-- MIB_PER_SEGMENT [DIRECTORY]]`: 4 segments of 32 MiB in a temporary directory by default.
//! Prints, without deletes, with 10 % of the rows deleted and with one object a column, the best of three runs under
//! several memory limits. *Floor* is reading the same objects and writing them again, synced, and nothing else.
//!
//! `cargo bench --bench merge -- memory [DIRECTORY]`: the memory of a merge while its input grows ([`memory`]).
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "not shipped")]

mod counting;
mod data;
#[path = "../../tests/kit/mod.rs"]
mod kit;
mod memory;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use datacoord::{
    compactor::{CompactionOutcome, CompactionTask, Compactor, ProgressSink},
    config::{BinlogConfig, StorageConfig, WorkerConfig},
    model::SegmentId,
    storage::SegmentStore,
};
use tokio_util::sync::CancellationToken;

use crate::data::{IDS, paths, remove, rows_of, schema, segment, task};

#[global_allocator]
static ALLOCATOR: counting::Counting = counting::Counting;

const SEGMENTS: i64 = 4;
const RUNS: usize = 3;
const IDS_OF_A_RUN: i64 = 1_000_000;
/// Limits of the memory for merging in MiB; the first is the default.
const LIMITS: [u64; 3] = [256, 64, 16];

async fn measure(store: &SegmentStore, name: &str, task: &CompactionTask, limit_mib: u64) {
    let worker = WorkerConfig { memory_limit_bytes: limit_mib << 20, ..WorkerConfig::default() };
    let compactor = Compactor::new(store.clone(), BinlogConfig::default(), &worker);
    let mut best: Option<(f64, CompactionOutcome)> = None;
    for run in 0..RUNS as i64 {
        // Names are never used again.
        let ids = IDS.start + run * IDS_OF_A_RUN..IDS.start + (run + 1) * IDS_OF_A_RUN;
        let task = &CompactionTask { ids, ..task.clone() };
        let start = Instant::now();
        let outcome = compactor.run(task, &ProgressSink::new(), &CancellationToken::new()).await.unwrap();
        let seconds = start.elapsed().as_secs_f64();
        for output in &outcome.outputs {
            remove(store, output.id, &output.logs).await;
        }
        if best.as_ref().is_none_or(|(least, _)| seconds < *least) {
            best = Some((seconds, outcome));
        }
    }
    let (seconds, outcome) = best.unwrap();
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{name}, limit {limit_mib:>3} MiB: {:.0} MiB in, {:.0} MiB out, {} of {} rows, {seconds:.3} s, {:.0} MiB/s",
        mib(outcome.bytes_read),
        mib(outcome.bytes_written),
        outcome.rows_out,
        outcome.rows_in,
        mib(task.plan.input_bytes()) / seconds,
    );
}

/// Seconds for reading all objects of the inputs and writing the same bytes to one synced file each.
async fn floor(store: &SegmentStore, name: &str, task: &CompactionTask) {
    let start = Instant::now();
    let mut copies = Vec::new();
    for input in &task.inputs {
        let copy = SegmentId(input.segment.id.0 + 1000);
        for (from, to) in paths(input.segment.id, &input.logs).into_iter().zip(paths(copy, &input.logs)) {
            store.put(&to, store.get(&from).await.unwrap()).await.unwrap();
            copies.push(to);
        }
    }
    println!("{name}, floor: {:.3} s", start.elapsed().as_secs_f64());
    for copy in copies {
        store.delete(&copy).await.unwrap();
    }
}

fn main() {
    // Cargo passes `--bench`.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with("--")).collect();
    let temporary = tempfile::tempdir().unwrap();
    let directory = |at: usize| args.get(at).map_or_else(|| temporary.path().to_path_buf(), PathBuf::from);
    match args.first().map(String::as_str) {
        Some("memory") => memory::all(&directory(1)),
        Some(memory::CHILD) => memory::child(&args[1..]),
        mib => {
            let mib = mib.map_or(32, |mib| mib.parse().expect("MiB per segment, or \"memory\""));
            runtime().block_on(speed(mib, &directory(1)));
        }
    }
}

/// As many blocking threads as merges have in the server.
fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().max_blocking_threads(16).enable_all().build().unwrap()
}

async fn speed(mib: usize, directory: &Path) {
    let schema = schema();
    let store = SegmentStore::open(&StorageConfig::default(), directory).unwrap();
    let rows = rows_of(mib);
    let usual = BinlogConfig::default();
    // Other writers may write one object for each column.
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
