//! Our merge of segments that Milvus flushed gives what Milvus' own compaction gave: the same rows, and the same filter
//! bit by bit.

use std::{collections::BTreeSet, ops::Range, sync::Arc, time::Duration};

use arrow_array::{RecordBatch, cast::AsArray, types::Int64Type};
use datacoord::{
    binlog::LogIds,
    compactor::{CompactionInput, CompactionOutcome, CompactionTask, Compactor, OutputSegment, ProgressSink},
    config::{BinlogConfig, WorkerConfig},
    model::{Channel, CollectionSchema, FieldId, Group, Plan, PlanState, Timestamp},
    storage::{SegmentStore, read_columns, read_stats},
};
use futures::TryStreamExt;
use rstest::rstest;
use tokio_util::sync::CancellationToken;

use crate::{
    digest::Rows,
    kit::model,
    manifest::{Fixture, FixtureSegment, Group as FixtureGroup, SETS},
};

/// Smaller than any id in the fixtures, so that none is used twice.
const IDS: Range<i64> = 1000..500_000;

fn input(segment: &FixtureSegment) -> CompactionInput {
    let mut summary = model::segment(segment.ids.segment.0, &Arc::new(group(segment)));
    summary.summarise(&segment.logs);
    CompactionInput { segment: summary, logs: segment.logs.clone() }
}

fn group(segment: &FixtureSegment) -> Group {
    Group {
        collection: segment.ids.collection,
        partition: segment.ids.partition,
        channel: Channel::new(&segment.channel),
    }
}

/// A plan for all segments of a group.
fn task(fixture: &Fixture, members: &FixtureGroup) -> CompactionTask {
    let mut ids = members.segments.clone();
    ids.sort();
    let inputs: Vec<CompactionInput> = ids.iter().map(|id| input(fixture.segment(*id))).collect();
    let planned = inputs.iter().map(|i| model::input(&i.segment)).collect();
    CompactionTask {
        plan: Plan {
            max_output_bytes: u64::MAX,
            attempts: 1,
            state: PlanState::Executing { started_at_ms: 1 },
            ..model::plan(1, 1, group(fixture.segment(ids[0])), planned)
        },
        schema: Arc::new(fixture.schema.clone()),
        inputs,
        now_ms: 1_800_000_000_000,
        ids: IDS,
        max_outputs: u64::MAX,
    }
}

#[derive(Debug, Clone, Default)]
struct Settings {
    binlog: BinlogConfig,
    worker: WorkerConfig,
}

async fn run(store: &SegmentStore, task: &CompactionTask, settings: &Settings) -> CompactionOutcome {
    let compactor = Compactor::new(store.clone(), settings.binlog.clone(), &settings.worker);
    compactor.run(task, &ProgressSink::new(), &CancellationToken::new()).await.unwrap()
}

fn ids(task: &CompactionTask, output: &OutputSegment) -> LogIds {
    let Group { collection, partition, .. } = task.plan.group;
    LogIds { collection, partition, segment: output.id }
}

async fn rows(store: &SegmentStore, ids: LogIds, output: &OutputSegment, schema: &CollectionSchema) -> Rows {
    let mut rows = Rows::new(schema);
    let fields: Vec<FieldId> = schema.stored_fields().iter().map(|field| field.id).collect();
    let batches: Vec<RecordBatch> =
        read_columns(store, ids, &output.logs, schema, &fields, 1 << 20).try_collect().await.unwrap();
    // One batch is one binlog: its rows ascend.
    assert_eq!(batches.len(), output.logs.batches());
    for batch in batches {
        assert!(batch.column(0).as_primitive::<Int64Type>().values().is_sorted());
        rows.add(&batch);
    }
    rows
}

fn small_binlogs() -> Settings {
    Settings { binlog: BinlogConfig { max_bytes: 131_072, ..BinlogConfig::default() }, ..Settings::default() }
}

fn little_memory() -> Settings {
    let worker = WorkerConfig { memory_limit_bytes: 65_536, ..WorkerConfig::default() };
    Settings { worker, ..Settings::default() }
}

#[rstest]
#[tokio::test]
async fn every_group_is_merged_as_milvus_merged_it(
    #[values("a_mixed", "b_varchar", "c_vec128", "d_split", "e_ttl")] set: &str,
    #[values(Settings::default(), small_binlogs(), little_memory())] settings: Settings,
) {
    assert!(SETS.contains(&set));
    let (before, after) = (Fixture::load(set, "before"), Fixture::load(set, "after"));
    let (store, stock) = (before.store().await, after.store().await);
    let mut all = Rows::new(&before.schema);
    for members in &before.groups {
        let mut task = task(&before, members);
        let sources: BTreeSet<i64> = members.segments.iter().map(|id| id.0).collect();
        let result = after.segments.iter().find(|s| sources == s.compaction_from.iter().copied().collect()).unwrap();
        let mut expected = members.expected.clone();
        if set == "e_ttl" {
            let results = after.json["compaction"]["results"].as_array().unwrap();
            let start = results.iter().find(|r| r["segment"] == result.ids.segment.0).unwrap()["start_time"].as_u64();
            task.plan.ttl = Some(Duration::from_secs(60));
            task.now_ms = Timestamp(start.unwrap()).physical_ms();
            expected = result.surviving.clone();
        }
        let outcome = run(&store, &task, &settings).await;
        let [output] = outcome.outputs.as_slice() else { panic!("{} outputs", outcome.outputs.len()) };
        let ids = ids(&task, output);
        let rows = rows(&store, ids, output, &before.schema).await;
        all.join(&rows);
        assert_eq!(rows.digest(), expected);
        assert_eq!(outcome.rows_out, result.rows);

        let ours = read_stats(&store, ids, &output.logs).await.unwrap();
        assert_eq!(ours, read_stats(&stock, result.ids, &result.logs).await.unwrap());
        assert_eq!(output.pk_range, ours[0].range);
        assert!(output.logs.delta.is_empty());
        assert!(settings.binlog.max_bytes > 131_072 || set != "d_split" || output.logs.batches() > 1);
    }
    assert_eq!(all.digest(), after.expected);
}

/// With a small limit a group becomes several segments, which together hold the rows of one.
#[rstest]
#[tokio::test]
async fn groups_are_divided_by_size(#[values("a_mixed", "c_vec128", "d_split")] set: &str) {
    let before = Fixture::load(set, "before");
    let store = before.store().await;
    for members in &before.groups {
        let mut task = task(&before, members);
        task.plan.max_output_bytes = task.plan.input_bytes() / 3;
        let outcome = run(&store, &task, &Settings::default()).await;
        assert!(outcome.outputs.len() > 2);
        let mut all = Rows::new(&before.schema);
        for output in &outcome.outputs {
            assert!(output.logs.insert_bytes() <= task.plan.max_output_bytes);
            all.join(&rows(&store, ids(&task, output), output, &before.schema).await);
        }
        assert_eq!(all.digest(), members.expected);
    }
}

/// With the horizon at 0 no delete is applied: every row stays. Applying the deletes that were passed on gives the same
/// rows as applying them at once.
#[rstest]
#[tokio::test]
async fn retained_deletes_lose_nothing(#[values("a_mixed", "b_varchar")] set: &str) {
    let before = Fixture::load(set, "before");
    let store = before.store().await;
    for members in &before.groups {
        let mut first = task(&before, members);
        first.plan.keep_deletes_after = Timestamp::ZERO;
        let kept = run(&store, &first, &Settings::default()).await;
        assert_eq!((kept.rows_out, kept.rows_deleted), (first.plan.input_rows(), 0));
        let [output] = kept.outputs.as_slice() else { panic!("{} outputs", kept.outputs.len()) };

        let mut second = first.clone();
        second.plan.keep_deletes_after = Timestamp::MAX;
        second.inputs.truncate(1);
        second.inputs[0].segment.id = output.id;
        second.inputs[0].logs = output.logs.clone();
        second.plan.inputs.truncate(1);
        second.plan.inputs[0].segment = output.id;
        second.ids = IDS.end..IDS.end + 500_000;
        let compactor = Compactor::new(store.clone(), BinlogConfig::default(), &WorkerConfig::default());
        let outcome = compactor.run(&second, &ProgressSink::new(), &CancellationToken::new()).await.unwrap();
        let [output] = outcome.outputs.as_slice() else { panic!("{} outputs", outcome.outputs.len()) };
        assert_eq!(rows(&store, ids(&second, output), output, &before.schema).await.digest(), members.expected);
    }
}

/// Segments that Milvus compacted have nothing to drop: a second merge copies them unchanged.
#[rstest]
#[tokio::test]
async fn compacted_segments_are_copied(#[values("a_mixed", "b_varchar", "c_vec128", "d_split", "e_ttl")] set: &str) {
    let after = Fixture::load(set, "after");
    let store = after.store().await;
    for members in &after.groups {
        let task = task(&after, members);
        let outcome = run(&store, &task, &Settings::default()).await;
        let [output] = outcome.outputs.as_slice() else { panic!("{} outputs", outcome.outputs.len()) };
        let rows = rows(&store, ids(&task, output), output, &after.schema).await;
        assert_eq!(rows.digest(), members.expected);
        assert_eq!(outcome.rows_deleted, 0);
    }
}
