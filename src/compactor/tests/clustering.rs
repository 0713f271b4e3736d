//! The outputs of clustering. The clustering key is the primary key, so that rows show it.

use std::collections::BTreeSet;

use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    config::StorageConfig,
    error::Classify,
    kit::gate::{Gate, Operation},
    model::{ClusterRange, Progress, Scalar},
};

fn clustered_world(key_type: DataType) -> World {
    let mut world = World::new(key_type);
    let mut schema = CollectionSchema::clone(&world.schema);
    schema.fields[1].is_clustering_key = true;
    (world.schema, world.kind) = (Arc::new(schema), PlanKind::Clustering);
    world
}

fn scalar(key: &PrimaryKey) -> Scalar {
    match key {
        PrimaryKey::Int(key) => Scalar::Int(*key),
        PrimaryKey::Str(key) => Scalar::Str(key.clone()),
    }
}

/// Reads the outputs and checks that their ranges are true and apart, except at a value that two of them share.
async fn check_ranges(world: &World, outcome: &CompactionOutcome) -> Vec<Row> {
    let mut all = vec![];
    let mut last: Option<&ClusterRange> = None;
    let mut outputs: Vec<_> = outcome.outputs.iter().collect();
    outputs.sort_by_key(|o| o.cluster_range.as_ref().map(|range| (range.min.clone(), range.max.clone())));
    for output in outputs {
        let rows = world.read(output).await.concat();
        let range = output.cluster_range.as_ref().unwrap();
        assert_eq!(range.field, FieldId(101));
        assert_eq!(Some(&range.min), rows.iter().map(|r| scalar(&r.key)).min().as_ref());
        assert_eq!(Some(&range.max), rows.iter().map(|r| scalar(&r.key)).max().as_ref());
        if let Some(last) = last {
            assert!(last.max < range.min || (last.min == range.max && last.max == range.min), "{last:?} {range:?}");
        }
        last = Some(range);
        all.extend(rows);
    }
    all
}

/// Three segments whose keys are spread over the same range.
async fn spread_world(key: impl Fn(i64) -> i64) -> (World, Vec<Row>) {
    let mut world = clustered_world(DataType::Int64);
    let mut all = vec![];
    for segment in 0..3 {
        let rows: Vec<Row> =
            (0..4000).map(|n| segment * 4000 + n).map(|id| int(id, key(id), 100 + id as u64)).collect();
        world.segment(segment + 1, &[rows[..2500].to_vec(), rows[2500..].to_vec()], &[]).await;
        all.extend(rows);
    }
    let total: u64 = world.inputs.iter().map(|i| i.segment.insert_bytes).sum();
    world.max_output_bytes = total * 3 / 10;
    (world, all)
}

#[tokio::test]
async fn outputs_have_ranges_of_keys_apart() {
    let (world, mut expected) = spread_world(|id| (id * 7919) % 12_007 - 6000).await;
    let progress = ProgressSink::new();
    let outcome = world.compactor().run(&world.task(), &progress, &CancellationToken::new()).await.unwrap();
    assert_eq!(outcome.outputs.len(), 4);
    for output in &outcome.outputs {
        let bytes = output.logs.insert_bytes();
        assert!(bytes <= world.max_output_bytes && bytes * 2 > world.max_output_bytes, "{bytes}");
    }
    let mut all = check_ranges(&world, &outcome).await;
    all.sort();
    expected.sort();
    assert_eq!(all, expected);
    let Progress { total_rows, done_rows, total_bytes, done_bytes } = progress.snapshot();
    assert_eq!((done_rows, done_bytes), (total_rows, total_bytes));
}

#[tokio::test]
async fn a_key_that_fills_several_outputs_has_them_to_itself() {
    // Three quarters of the rows have the key 5.
    let (world, mut expected) = spread_world(|id| if id % 4 == 0 { id % 11 } else { 5 }).await;
    let outcome = world.run().await.unwrap();
    let ranges: Vec<_> = outcome.outputs.iter().flat_map(|o| &o.cluster_range).map(|r| (&r.min, &r.max)).collect();
    assert!(
        ranges.iter().filter(|(min, max)| (*min, *max) == (&Scalar::Int(5), &Scalar::Int(5))).count() >= 3,
        "{ranges:?}"
    );
    assert!(outcome.outputs.iter().all(|o| o.logs.insert_bytes() <= world.max_output_bytes));
    let mut all = check_ranges(&world, &outcome).await;
    all.sort();
    expected.sort();
    assert_eq!(all, expected);
}

/// The rows of the lower half of the keys are all alike and shrink to nothing, so those of the upper half take twice
/// the average. That shows only after ranges of the lower half are written.
#[tokio::test]
async fn ranges_are_divided_again_where_rows_are_larger_than_the_average() {
    let mut world = clustered_world(DataType::Int64);
    let mut expected = vec![];
    for segment in 0..3 {
        let rows: Vec<Row> = (0..4000)
            .map(|n| (segment * 4000 + n) * 7919 % 12_000)
            .map(|key| int(if key < 6000 { 1 } else { key }, key, 100))
            .collect();
        world.segment(segment + 1, std::slice::from_ref(&rows), &[]).await;
        expected.extend(rows);
    }
    let total: u64 = world.inputs.iter().map(|i| i.segment.insert_bytes).sum();
    world.max_output_bytes = total / 25;
    let mut named = world.objects().await;
    let outcome = world.run().await.unwrap();
    let sizes: Vec<u64> = outcome.outputs.iter().map(|o| o.logs.insert_bytes()).collect();
    assert!(sizes.iter().all(|bytes| *bytes <= world.max_output_bytes), "{sizes:?} of {}", world.max_output_bytes);
    let mut all = check_ranges(&world, &outcome).await;
    all.sort();
    expected.sort();
    assert_eq!(all, expected);
    named.extend(outcome.outputs.iter().flat_map(|output| world.names(output)));
    named.sort();
    assert_eq!(world.objects().await, named, "the outcome names every object");
}

/// The sizes of the inputs, or the sample of the keys, tell it.
#[rstest]
#[tokio::test]
async fn too_many_outputs_are_refused_before_one_is_written(
    #[values(PlanKind::Mix, PlanKind::Clustering)] kind: PlanKind,
) {
    let (mut world, _) = spread_world(|id| id * 7919 % 12_007).await;
    world.kind = kind;
    let gate = Gate::new(world.store.backend());
    world.store = SegmentStore::with_backend(gate.clone(), &StorageConfig::default());
    let run = |max_outputs| {
        let task = CompactionTask { max_outputs, ..world.task() };
        let compactor = world.compactor();
        async move { compactor.run(&task, &ProgressSink::new(), &CancellationToken::new()).await }
    };
    let error = run(3).await.unwrap_err();
    assert!(matches!(error, CompactError::TooManyOutputs { limit: 3, .. }), "{error}");
    assert_eq!((error.kind(), gate.count(Operation::Put)), (ErrorKind::Invalid, 0));
    assert_eq!(run(4).await.unwrap().outputs.len(), 4);
}

/// Ranges are written a few at a time. The sample tells their number before the first ones.
#[tokio::test]
async fn too_many_ranges_are_refused_before_the_first_ones_are_written() {
    let (mut world, _) = spread_world(|id| id * 7919 % 12_007).await;
    world.max_output_bytes /= 8;
    let gate = Gate::new(world.store.backend());
    world.store = SegmentStore::with_backend(gate.clone(), &StorageConfig::default());
    let task = CompactionTask { max_outputs: 20, ..world.task() };
    let error = world.compactor().run(&task, &ProgressSink::new(), &CancellationToken::new()).await.unwrap_err();
    assert!(matches!(error, CompactError::TooManyOutputs { limit: 20, .. }), "{error}");
    assert_eq!(gate.count(Operation::Put), 0);
}

/// More than the inputs of any other plan may be; each has keys from everywhere.
#[tokio::test]
async fn more_than_a_thousand_small_segments_have_ranges_apart() {
    let mut world = clustered_world(DataType::Int64);
    let mut expected = vec![];
    for segment in 0..1100 {
        let rows: Vec<Row> =
            (0..3).map(|n| segment * 3 + n).map(|id| int(id, (id * 7919) % 3301, 100 + id as u64)).collect();
        world.segment(segment + 1, std::slice::from_ref(&rows), &[]).await;
        expected.extend(rows);
    }
    // The objects of the inputs are nearly nothing but headers.
    world.max_output_bytes = 40_000;
    let outcome = world.run().await.unwrap();
    assert!(outcome.outputs.len() > 1);
    assert!(outcome.outputs.iter().all(|o| o.logs.insert_bytes() <= world.max_output_bytes));
    let mut all = check_ranges(&world, &outcome).await;
    all.sort();
    expected.sort();
    assert_eq!(all, expected);
}

#[tokio::test]
async fn pieces_in_order_are_copied() {
    let (mut world, expected) = spread_world(|id| id).await;
    world.binlog.max_bytes = world.inputs[0].logs.memory_bytes() / 2;
    let outcome = world.run().await.unwrap();
    let all = check_ranges(&world, &outcome).await;
    assert_eq!(all, expected);
}

#[tokio::test]
async fn a_schema_without_clustering_key_is_a_defect_of_the_plan() {
    let mut world = World::new(DataType::Int64);
    world.kind = PlanKind::Clustering;
    world.segment(1, &[vec![int(1, 1, 1)]], &[]).await;
    let error = world.run().await.unwrap_err();
    assert!(error.to_string().contains("without a clustering key"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Internal);
}

/// Batches of (row id, key), and deletes (key, time).
type Stored = (Vec<Vec<(i64, i64)>>, Vec<(i64, u64)>);

#[derive(Debug, Clone)]
struct Case {
    strings: bool,
    segments: Vec<Stored>,
    horizon: Option<u64>,
    output_bytes: u64,
    binlog_bytes: u64,
}

fn cases() -> impl Strategy<Value = Case> {
    let row = (0i64..100_000, prop_oneof![3 => 0i64..60, 1 => Just(7i64)]);
    let batch = prop::collection::vec(row, 1..120);
    let segment = (prop::collection::vec(batch, 0..4), prop::collection::vec((0i64..60, 1u64..100), 0..6));
    (
        any::<bool>(),
        prop::collection::vec(segment, 1..4),
        prop::option::of(0u64..100),
        3000u64..120_000,
        prop_oneof![Just(u64::MAX / 2), 9000u64..20_000],
    )
        .prop_map(|(strings, segments, horizon, output_bytes, binlog_bytes)| Case {
            strings,
            segments,
            horizon,
            output_bytes,
            binlog_bytes,
        })
}

async fn check(case: Case) -> Result<(), TestCaseError> {
    let mut world = clustered_world(if case.strings { DataType::VarChar } else { DataType::Int64 });
    let key =
        |key: i64| if case.strings { PrimaryKey::Str(format!("k{key}").into()) } else { PrimaryKey::Int(key - 30) };
    let horizon = case.horizon.map_or(Timestamp::MAX, ts);
    let all_deletes: Vec<Delete> = case
        .segments
        .iter()
        .flat_map(|(_, deletes)| deletes.iter().map(|(k, at)| Delete { key: key(*k), ts: ts(*at) }))
        .collect();
    let mut expected = vec![];
    for (number, (batches, deletes)) in case.segments.iter().enumerate() {
        let batches: Vec<Vec<Row>> = batches
            .iter()
            .map(|b| b.iter().map(|(id, k)| Row { id: *id, key: key(*k), at: 1 + *id as u64 % 90 }).collect())
            .collect();
        let deltas: Vec<Vec<Delete>> =
            deletes.iter().map(|(k, at)| vec![Delete { key: key(*k), ts: ts(*at) }]).collect();
        world.segment(number as i64 + 1, &batches, &deltas).await;
        expected.extend(batches.concat());
    }
    expected.retain(|row| !all_deletes.iter().any(|d| d.key == row.key && d.ts <= horizon && d.ts > ts(row.at)));
    (world.max_output_bytes, world.binlog.max_bytes) = (case.output_bytes, case.binlog_bytes);
    world.keep_deletes_after = horizon;
    let mut named = world.objects().await;
    let outcome = world.run().await.unwrap();

    let mut all = check_ranges(&world, &outcome).await;
    all.sort();
    expected.sort();
    prop_assert_eq!(&all, &expected);
    prop_assert_eq!(outcome.rows_out, expected.len() as u64);
    prop_assert_eq!(outcome.rows_in, outcome.rows_out + outcome.rows_deleted);
    named.extend(outcome.outputs.iter().flat_map(|output| world.names(output)));
    named.sort();
    prop_assert_eq!(world.objects().await, named, "the outcome names every object");
    for output in &outcome.outputs {
        prop_assert!(output.logs.insert_bytes() <= case.output_bytes || output.rows == 1);
        // Deletes that are not applied are where their rows are.
        let deltas: BTreeSet<Delete> = world.read_deltas(output).await.concat().into_iter().collect();
        let keys: BTreeSet<PrimaryKey> = world.read(output).await.concat().into_iter().map(|r| r.key).collect();
        let kept = all_deletes.iter().filter(|d| d.ts > horizon && keys.contains(&d.key));
        for delete in kept {
            prop_assert!(deltas.contains(delete), "{delete:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn rows_are_neither_lost_nor_doubled(case in cases()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(check(case))?;
    }
}
