//! The outputs of a merge.

use std::collections::{BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::{binlog::decode_stats, model::Progress};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[tokio::test]
async fn deletes_of_one_input_kill_rows_of_another() {
    let mut world = World::new(DataType::Int64);
    world.segment(1, &[vec![int(1, 10, 100), int(2, 20, 100)]], &[]).await;
    world.segment(2, &[vec![int(3, 30, 200), int(4, 10, 300)]], &[vec![delete(10, 250), delete(30, 200)]]).await;
    let outcome = world.run().await.unwrap();
    let [output] = outcome.outputs.as_slice() else { panic!("{outcome:?}") };
    // Row 1 is older than the delete of its key, row 4 newer, row 3 of the same time.
    assert_eq!(world.read(output).await, [vec![int(2, 20, 100), int(3, 30, 200), int(4, 10, 300)]]);
    assert_eq!((outcome.rows_in, outcome.rows_deleted, outcome.rows_expired, outcome.rows_out), (4, 1, 0, 3));
    assert_eq!(output.rows, 3);
    assert_eq!(output.pk_range, Some(PkRange { min: PrimaryKey::Int(10), max: PrimaryKey::Int(30) }));
    assert_eq!(outcome.consumed_deltas, [(SegmentId(2), world.inputs[1].logs.delta[0].id)]);
    assert!(output.logs.delta.is_empty());
}

#[tokio::test]
async fn deletes_beyond_the_horizon_stay_deletes() {
    let mut world = World::new(DataType::Int64);
    world.keep_deletes_after = ts(200);
    let newer = [delete(10, 201), delete(20, 300)];
    world.segment(1, &[vec![int(1, 10, 100), int(2, 20, 100)]], &[newer.to_vec(), vec![delete(20, 200)]]).await;
    world.segment(2, &[vec![int(3, 30, 100)]], &[vec![newer[0].clone(), delete(7_000_000, 400)]]).await;
    let outcome = world.run().await.unwrap();
    let [output] = outcome.outputs.as_slice() else { panic!("{outcome:?}") };
    assert_eq!(world.read(output).await, [vec![int(1, 10, 100), int(3, 30, 100)]]);
    // Once, though two inputs logged it; not those of keys that are not there.
    assert_eq!(world.read_deltas(output).await, [vec![newer[0].clone()]]);
    assert_eq!((output.logs.delta[0].rows, output.logs.delta[0].ts_to), (1, ts(201)));
    assert_eq!(outcome.consumed_deltas.len(), 3);
}

#[tokio::test]
async fn if_nothing_survives_nothing_is_written() {
    let mut world = World::new(DataType::Int64);
    world.ttl = Some(Duration::from_millis(10));
    world.segment(1, &[vec![int(1, 1, 100)], vec![int(2, 2, 110)]], &[vec![delete(1, 500)]]).await;
    let before = world.objects().await;
    let progress = ProgressSink::new();
    let run = world.compactor();
    let outcome = run.run(&world.task(), &progress, &CancellationToken::new()).await.unwrap();
    assert_eq!(outcome.outputs, []);
    assert_eq!((outcome.rows_deleted, outcome.rows_expired, outcome.bytes_written), (1, 1, 0));
    assert_eq!(world.objects().await, before);
    let Progress { total_rows, done_rows, total_bytes, done_bytes } = progress.snapshot();
    assert_eq!((total_rows, total_bytes), (2, world.inputs[0].logs.insert_bytes()));
    assert_eq!((done_rows, done_bytes), (total_rows, total_bytes));
}

#[tokio::test]
async fn a_segment_without_rows_still_brings_its_deletes() {
    let mut world = World::new(DataType::Int64);
    world.segment(1, &[], &[vec![delete(1, 500)]]).await;
    world.segment(2, &[vec![int(1, 1, 100), int(2, 2, 100)]], &[]).await;
    let outcome = world.run().await.unwrap();
    assert_eq!(world.read(&outcome.outputs[0]).await, [vec![int(2, 2, 100)]]);
}

#[tokio::test]
async fn rows_are_put_in_order_within_a_binlog() {
    let mut world = World::new(DataType::Int64);
    world.segment(1, &[vec![int(9, 1, 100), int(3, 2, 100)], vec![int(4, 3, 100)]], &[]).await;
    world.segment(2, &[vec![int(1, 4, 50), int(8, 5, 200)]], &[vec![delete(3, 500)]]).await;
    let outcome = world.run().await.unwrap();
    let expected = vec![int(1, 4, 50), int(3, 2, 100), int(8, 5, 200), int(9, 1, 100)];
    assert_eq!(world.read(&outcome.outputs[0]).await, [expected]);
}

#[tokio::test]
async fn a_large_batch_without_dead_rows_is_copied_as_it_is() {
    let mut world = World::new(DataType::Int64);
    let rows = |ids: std::ops::Range<i64>| ids.map(|id| int(id, id, 100)).collect::<Vec<_>>();
    world.segment(1, &[rows(0..1000)], &[]).await;
    // Another writer's settings would show in a payload that was made anew.
    world.binlog.zstd_level = 9;
    world.binlog.max_bytes = world.inputs[0].logs.memory_bytes();
    world.segment(2, &[rows(1000..1010)], &[vec![delete(1001, 500)]]).await;
    let outcome = world.run().await.unwrap();
    let output = &outcome.outputs[0];
    let lengths: Vec<usize> = world.read(output).await.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1000, 9]);
    for field in world.schema.stored_fields() {
        let from = LogPath::insert(world.ids(SegmentId(1)), field.id, world.inputs[0].logs.field(field.id)[0].id);
        let to = LogPath::insert(world.ids(output.id), field.id, output.logs.field(field.id)[0].id);
        let (from, to) = (world.store.get(&from).await.unwrap(), world.store.get(&to).await.unwrap());
        let payload = |file: &bytes::Bytes| file.slice(file.windows(4).position(|w| w == b"PAR1").unwrap()..);
        assert_eq!(payload(&from), payload(&to), "field {}", field.id);
    }
    assert!(stats_hold(&world, output, &rows(0..1000)).await);
}

#[tokio::test]
async fn outputs_stay_below_their_limit() {
    let mut world = World::new(DataType::Int64);
    for segment in 1..=3 {
        let rows = (0..4000).map(|n| int(segment * 10_000 + n, n, 100)).collect::<Vec<_>>();
        world.segment(segment, &[rows[..2500].to_vec(), rows[2500..].to_vec()], &[]).await;
    }
    let total: u64 = world.inputs.iter().map(|i| i.segment.insert_bytes).sum();
    world.max_output_bytes = total * 2 / 5;
    let outcome = world.run().await.unwrap();
    assert!(outcome.outputs.len() > 1);
    let mut last = i64::MIN;
    for output in &outcome.outputs {
        assert!(output.logs.insert_bytes() <= world.max_output_bytes, "{} bytes", output.logs.insert_bytes());
        let rows = world.read(output).await.concat();
        assert!(rows.iter().map(|r| r.id).is_sorted() && rows[0].id > last);
        assert!(stats_hold(&world, output, &rows).await);
        last = rows.last().unwrap().id;
    }
    assert_eq!(outcome.rows_out, 12_000);
}

#[tokio::test]
async fn a_large_segment_is_split_into_well_filled_ones() {
    for (part, even) in [(0.3, false), (0.12, true)] {
        let mut world = World::new(DataType::Int64);
        let rows = (0..40_000).map(|n| int(n, n, 100)).collect::<Vec<_>>();
        world.segment(1, &rows.chunks(3000).map(<[Row]>::to_vec).collect::<Vec<_>>(), &[]).await;
        world.max_output_bytes = (world.inputs[0].segment.insert_bytes as f64 * part) as u64;
        let outcome = world.run().await.unwrap();
        let sizes: Vec<u64> = outcome.outputs.iter().map(|o| o.logs.insert_bytes()).collect();
        assert!(sizes.iter().all(|bytes| *bytes <= world.max_output_bytes), "{sizes:?}");
        let below = sizes.iter().take(sizes.len() - usize::from(!even)).filter(|b| *b * 5 < world.max_output_bytes * 4);
        assert_eq!(below.count(), 0, "{sizes:?} of {}", world.max_output_bytes);
        let mut all = vec![];
        for output in &outcome.outputs {
            all.extend(world.read(output).await.concat());
        }
        assert_eq!(all, rows);
    }
}

#[tokio::test]
async fn rows_that_compress_better_than_they_did_leave_no_half_empty_outputs() {
    let mut world = World::new(DataType::Int64);
    // Stored with hardly any compression: documents shrink to a fraction when they are written again.
    world.binlog.zstd_level = -100;
    let rows = (0..6000).map(|n| int(n, n, 100)).collect::<Vec<_>>();
    world.segment(1, &rows.chunks(1000).map(<[Row]>::to_vec).collect::<Vec<_>>(), &[vec![delete(7, 500)]]).await;
    world.binlog.zstd_level = 9;
    world.max_output_bytes = world.inputs[0].segment.insert_bytes / 3;
    let outcome = world.run().await.unwrap();
    let sizes: Vec<u64> = outcome.outputs.iter().map(|o| o.logs.insert_bytes()).collect();
    assert!(sizes.iter().all(|bytes| *bytes <= world.max_output_bytes), "{sizes:?}");
    let filled = sizes.iter().take(sizes.len() - 1).all(|bytes| *bytes * 5 >= world.max_output_bytes * 4);
    assert!(filled, "{sizes:?} of {}", world.max_output_bytes);
    assert_eq!(outcome.rows_out, 5999);
}

/// Whether the one statistics log of an output has exactly these keys' range and holds each of them.
pub(super) async fn stats_hold(world: &World, output: &OutputSegment, rows: &[Row]) -> bool {
    let [(field, files)] = output.logs.stats.as_slice() else { panic!("{:?}", output.logs.stats) };
    let [file] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!((*field, file.rows), (FieldId(101), output.rows));
    let path = LogPath::stats(world.ids(output.id), *field, file.id);
    let bytes = world.store.get(&path).await.unwrap();
    let stats = decode_stats(&bytes, false).unwrap().remove(0);
    assert_eq!(stats.range, output.pk_range);
    rows.iter().all(|row| stats.may_contain(&row.key))
}

#[tokio::test]
async fn plans_share_the_memory_and_all_come_to_their_end() {
    let mut world = World::new(DataType::Int64);
    world.worker.memory_limit_bytes = 4096;
    for segment in 1..=3 {
        let rows = (0..500).map(|n| int(segment * 1000 + n, n, 100)).collect::<Vec<_>>();
        world.segment(segment, &[rows], &[vec![delete(segment, 200)]]).await;
    }
    let compactor = world.compactor();
    let runs = (0..4).map(|run| {
        let ids = IDS.start + run * 100_000..IDS.start + (run + 1) * 100_000;
        let (compactor, task) = (compactor.clone(), CompactionTask { ids, ..world.task() });
        // Spawning proves that a run may move between threads.
        tokio::spawn(async move { compactor.run(&task, &ProgressSink::new(), &CancellationToken::new()).await })
    });
    for outcome in futures::future::join_all(runs).await {
        // Three keys of three segments each.
        assert_eq!(outcome.unwrap().unwrap().rows_deleted, 9);
    }
}

/// Its time without progress must not run out because others work.
#[tokio::test]
async fn a_plan_that_waits_for_memory_shows_that_it_lives() {
    let mut world = World::new(DataType::Int64);
    world.segment(1, &[vec![int(1, 1, 100)]], &[vec![delete(1, 200)]]).await;
    let compactor = world.compactor();
    let (task, progress, stop) = (world.task(), ProgressSink::new(), CancellationToken::new());
    let all = compactor.shared.budget.reserve(u64::MAX).await;
    let run = compactor.run(&task, &progress, &stop);
    let watch = async {
        // More beats than steps that need no memory could give.
        while progress.beat() < 6 {
            tokio::task::yield_now().await;
        }
        drop(all);
    };
    let (outcome, ()) = tokio::join!(run, watch);
    assert_eq!(outcome.unwrap().rows_deleted, 1);
}

/// Batches and delta logs of a segment.
type Stored = (Vec<Vec<Row>>, Vec<Vec<Delete>>);

#[derive(Debug, Clone)]
struct Case {
    segments: Vec<Stored>,
    horizon: Option<u64>,
    ttl: Option<u64>,
    binlog_bytes: u64,
    output_bytes: u64,
    memory_bytes: u64,
}

fn keys(strings: bool) -> impl Strategy<Value = PrimaryKey> {
    (0i64..40).prop_map(move |key| match strings {
        true => PrimaryKey::Str(format!("k{key}").into()),
        false => PrimaryKey::Int(key - 20),
    })
}

fn cases(strings: bool) -> impl Strategy<Value = Case> {
    let row = move || (0i64..100_000, keys(strings), 1u64..100).prop_map(|(id, key, at)| Row { id, key, at });
    let batch = prop::collection::vec(row(), 1..80).prop_flat_map(|rows| {
        // Mostly in order, as real ones are.
        let sorted = {
            let mut sorted = rows.clone();
            sorted.sort();
            sorted
        };
        prop_oneof![3 => Just(sorted), 1 => Just(rows)]
    });
    let entry = move || (keys(strings), 1u64..100).prop_map(|(key, at)| Delete { key, ts: ts(at) });
    let delta = prop::collection::vec(entry(), 1..10);
    let segment = (prop::collection::vec(batch, 0..4), prop::collection::vec(delta, 0..3));
    (
        prop::collection::vec(segment, 1..5),
        prop::option::of(0u64..100),
        prop::option::of(1u64..100),
        prop_oneof![Just(u64::MAX / 2), 200u64..8000],
        prop_oneof![Just(u64::MAX), 2500u64..60_000],
        prop_oneof![Just(1u64 << 28), 1u64..100_000],
    )
        .prop_map(|(segments, horizon, ttl, binlog_bytes, output_bytes, memory_bytes)| Case {
            segments,
            horizon,
            ttl,
            binlog_bytes,
            output_bytes,
            memory_bytes,
        })
}

/// The rule, written down naively: which rows survive, and which deletes stay.
fn reference(case: &Case) -> (Vec<Row>, BTreeSet<Delete>) {
    let horizon = case.horizon.map_or(Timestamp::MAX, ts);
    let mut newest: HashMap<&PrimaryKey, Timestamp> = HashMap::new();
    let mut retained = BTreeSet::new();
    for delete in case.segments.iter().flat_map(|(_, deltas)| deltas.iter().flatten()) {
        if delete.ts > horizon {
            retained.insert(delete.clone());
        } else {
            let slot = newest.entry(&delete.key).or_default();
            *slot = (*slot).max(delete.ts);
        }
    }
    let mut rows: Vec<Row> = case.segments.iter().flat_map(|(batches, _)| batches.concat()).collect();
    rows.retain(|row| newest.get(&row.key).is_none_or(|deleted| *deleted <= ts(row.at)));
    rows.retain(|row| case.ttl.is_none_or(|ttl| row.at + ttl >= 100));
    rows.sort();
    (rows, retained)
}

async fn check(case: Case, key_type: DataType) -> Result<(), TestCaseError> {
    let mut world = World::new(key_type);
    for (number, (batches, deltas)) in case.segments.iter().enumerate() {
        world.segment(number as i64 + 1, batches, deltas).await;
    }
    world.binlog.max_bytes = case.binlog_bytes;
    world.max_output_bytes = case.output_bytes;
    world.worker.memory_limit_bytes = case.memory_bytes;
    world.keep_deletes_after = case.horizon.map_or(Timestamp::MAX, ts);
    world.ttl = case.ttl.map(Duration::from_millis);
    world.now_ms = 100;
    let before = world.objects().await;
    let progress = ProgressSink::new();
    let compactor = world.compactor();
    let outcome = compactor.run(&world.task(), &progress, &CancellationToken::new()).await.unwrap();

    let (expected, retained) = reference(&case);
    let (mut all, mut named) = (vec![], before);
    for output in &outcome.outputs {
        let binlogs = world.read(output).await;
        for binlog in &binlogs {
            prop_assert!(binlog.iter().map(|row| row.id).is_sorted());
        }
        let rows = binlogs.concat();
        prop_assert_eq!(output.rows, rows.len() as u64);
        let range = (rows.iter().map(|r| &r.key).min().cloned(), rows.iter().map(|r| &r.key).max().cloned());
        prop_assert_eq!(output.pk_range.clone().map(|r| (Some(r.min), Some(r.max))), Some(range));
        prop_assert!(stats_hold(&world, output, &rows).await);
        prop_assert!(output.logs.insert_bytes() <= case.output_bytes || output.rows == 1);
        // The deletes that stay are with their rows, and no others are.
        let deltas: Vec<Delete> = world.read_deltas(output).await.concat();
        let unique: BTreeSet<Delete> = deltas.iter().cloned().collect();
        prop_assert!(deltas.len() == unique.len() && unique.is_subset(&retained));
        for delete in &retained {
            prop_assert!(unique.contains(delete) || rows.iter().all(|row| row.key != delete.key), "{delete:?}");
        }
        all.extend(rows);
        named.extend(world.names(output));
    }
    all.sort();
    prop_assert_eq!(&all, &expected);
    prop_assert_eq!(outcome.rows_out, expected.len() as u64);
    prop_assert_eq!(outcome.rows_in, outcome.rows_out + outcome.rows_deleted + outcome.rows_expired);
    named.sort();
    prop_assert_eq!(world.objects().await, named, "the outcome names every object");
    let Progress { total_rows, done_rows, total_bytes, done_bytes } = progress.snapshot();
    prop_assert_eq!((done_rows, done_bytes), (total_rows, total_bytes));
    prop_assert_eq!(total_rows, outcome.rows_in);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn a_merge_of_int_keys_is_the_rule(case in cases(false)) {
        runtime().block_on(check(case, DataType::Int64))?;
    }

    #[test]
    fn a_merge_of_string_keys_is_the_rule(case in cases(true)) {
        runtime().block_on(check(case, DataType::VarChar))?;
    }
}
