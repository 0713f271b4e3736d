//! Random histories against a model that is nothing but two lists: rows and deletes.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::{super::*, world::*};
use crate::error::ErrorKind;

#[derive(Debug, Clone)]
enum Op {
    Insert(i64, Vec<i64>),
    Delete(Option<i64>, Vec<i64>),
    Upsert(i64, Vec<i64>),
    /// Remembers the moment, for deletes that are decided by it.
    Read,
    /// Deletes rows that were there at one of these moments.
    DeleteRead(Option<i64>, Vec<i64>, usize),
    Seal,
    /// Begins a delta flush and does not wait for it.
    FlushDeltas,
    /// Holds up every call at a step.
    Hold(usize),
    /// Lets one pass.
    Release(usize),
    Fail(usize),
    /// Moves the clock and applies the rules.
    Tick(u64),
    /// Lets other tasks run for a while.
    Yield(usize),
    /// Opens all gates and waits until nothing is under way.
    Settle,
    Compact {
        collect_garbage: bool,
    },
    Kill,
    /// The next write is torn after so many bytes, and the process is killed.
    TornWrite(usize),
}

fn op() -> impl Strategy<Value = Op> {
    let keys = || {
        prop::collection::vec(0i64..12, 1..5).prop_map(|mut keys| {
            keys.sort_unstable();
            keys.dedup();
            keys
        })
    };
    let partition = || 1i64..3;
    let point = || 0..POINTS.len();
    prop_oneof![
        6 => (partition(), keys()).prop_map(|(p, k)| Op::Insert(p, k)),
        4 => (prop::option::of(partition()), keys()).prop_map(|(p, k)| Op::Delete(p, k)),
        3 => (partition(), keys()).prop_map(|(p, k)| Op::Upsert(p, k)),
        2 => Just(Op::Read),
        3 => (prop::option::of(partition()), keys(), any::<usize>()).prop_map(|(p, k, n)| Op::DeleteRead(p, k, n)),
        3 => Just(Op::Seal),
        3 => Just(Op::FlushDeltas),
        3 => point().prop_map(Op::Hold),
        3 => point().prop_map(Op::Release),
        1 => point().prop_map(Op::Fail),
        2 => (0u64..3_000).prop_map(Op::Tick),
        3 => (1usize..20).prop_map(Op::Yield),
        2 => Just(Op::Settle),
        1 => any::<bool>().prop_map(|collect_garbage| Op::Compact { collect_garbage }),
        1 => Just(Op::Kill),
        1 => (0usize..400).prop_map(Op::TornWrite),
    ]
}

/// The rows that a reader must see.
#[derive(Debug, Default)]
struct Model {
    rows: Vec<(i64, Row)>,
    deletes: Vec<(Option<i64>, Vec<i64>, u64)>,
}

impl Model {
    fn live(&self) -> BTreeSet<Row> {
        let dead = |partition: i64, row: &Row| {
            self.deletes
                .iter()
                .any(|(p, keys, ts)| p.is_none_or(|p| p == partition) && keys.contains(&row.key) && *ts > row.ts)
        };
        self.rows.iter().filter(|(p, r)| !dead(*p, r)).map(|(_, r)| *r).collect()
    }
}

type Deltas = tokio::task::JoinHandle<Result<(), IngestError>>;

async fn settle(world: &World, process: &Process, deltas: &mut Vec<Deltas>) {
    world.catalog.stop_refusing();
    POINTS.iter().for_each(|p| world.catalog.unhold(*p));
    for task in deltas.drain(..) {
        // One that failed before leaves its deletes waiting.
        let _ = task.await.unwrap();
    }
    let mut changes = process.ingest.changes();
    let busy = |process: &Process| process.ingest.unflushed().iter().any(|s| s.sealed.is_some());
    while busy(process) {
        world.clock.advance(Duration::from_secs(60));
        process.ingest.tick().await.unwrap();
        if busy(process) {
            changes.changed().await.unwrap();
        }
    }
}

async fn kill(process: Process, deltas: &mut Vec<Deltas>) {
    for task in deltas.drain(..) {
        task.abort();
        let _ = task.await;
    }
    process.kill().await;
}

async fn run(ops: Vec<Op>) {
    let mut world = World::new();
    world.config.max_segment_bytes = 1_000;
    world.config.seal_proportion = 0.5;
    world.config.wal_file_bytes = 700;
    world.config.delta_max_rows = 12;
    let mut model = Model::default();
    let mut process = world.open().await;
    let mut deltas: Vec<Deltas> = Vec::new();
    let mut reads = vec![process.ingest.snapshot(COLLECTION).deletes_older_than()];
    for op in ops {
        match op.clone() {
            Op::Insert(partition, keys) => {
                model.rows.extend(process.insert(partition, &keys).await.unwrap().into_iter().map(|r| (partition, r)));
            }
            Op::Delete(partition, keys) => {
                let ack = process.delete(partition, &keys).await.unwrap();
                model.deletes.push((partition, keys, ack.ts.0));
            }
            Op::Upsert(partition, keys) => {
                let rows = process.upsert(partition, &keys).await.unwrap();
                model.deletes.push((None, keys, rows[0].ts));
                model.rows.extend(rows.into_iter().map(|r| (partition, r)));
            }
            Op::Read => reads.push(process.ingest.snapshot(COLLECTION).deletes_older_than()),
            Op::DeleteRead(partition, keys, which) => {
                let read = reads[which % reads.len()];
                process.delete_older(partition, &keys, Some(read)).await.unwrap();
                model.deletes.push((partition, keys, read.0));
            }
            Op::Seal => drop(process.ingest.seal(COLLECTION).await.unwrap()),
            Op::FlushDeltas => {
                let ingest = process.ingest.clone();
                deltas.push(tokio::spawn(async move { ingest.flush_deltas(COLLECTION).await }));
            }
            Op::Hold(point) => {
                world.catalog.unhold(POINTS[point]);
                world.catalog.hold(POINTS[point]);
            }
            Op::Release(point) => world.catalog.release(POINTS[point]),
            Op::Fail(point) => world.catalog.refuse(POINTS[point], ErrorKind::Transient),
            Op::Tick(ms) => {
                world.clock.advance(Duration::from_millis(ms));
                process.ingest.tick().await.unwrap();
            }
            Op::Yield(times) => {
                for _ in 0..times {
                    tokio::task::yield_now().await;
                }
            }
            Op::Settle => settle(&world, &process, &mut deltas).await,
            Op::Compact { collect_garbage } => {
                // A segment whose flush has not been answered yet can't be collected: its Flushed frame comes first.
                let answered = process.ingest.unflushed().iter().all(|s| s.sealed.is_none());
                if answered && collect_garbage {
                    process.ingest.flushes_noted().await.unwrap();
                }
                world.catalog.compact(&process.ids, answered && collect_garbage);
            }
            Op::Kill => {
                kill(process, &mut deltas).await;
                process = world.open().await;
            }
            Op::TornWrite(keep) => {
                *process.faults.tear.lock() = Some(keep);
                let before = model.live();
                let (write, _) = process.insert_op(1, &[3, 5]);
                assert!(process.ingest.write(write).await.is_err());
                assert_eq!(process.live(), before, "what failed is not visible");
                kill(process, &mut deltas).await;
                process = world.open().await;
                // Never acknowledged, so it is there only if all of its bytes are.
                for row in process.live().difference(&before) {
                    assert!([3, 5].contains(&row.key));
                    model.rows.push((1, *row));
                }
            }
        }
        assert_eq!(process.live(), model.live(), "after {op:?}");
    }
    settle(&world, &process, &mut deltas).await;
    process.flush().await;
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    assert_eq!(process.live(), model.live(), "everything is flushed");
    assert_eq!((process.ingest.stats().pending_deletes, process.ingest.stats().memory_bytes), (0, 0));
    kill(process, &mut deltas).await;
    let process = world.open().await;
    assert_eq!((process.live(), process.report.rows), (model.live(), 0), "after a restart");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_reader_always_sees_acknowledged_rows(ops in prop::collection::vec(op(), 1..60)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(run(ops));
    }
}
