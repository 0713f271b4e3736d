use std::collections::HashSet;

use arrow_select::concat::concat_batches;
use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::{
    config::StorageConfig,
    kit::gate::{Fault, Gate, Operation},
    model::{DataType, PrimaryKey},
    storage::{
        checksum::StoredObject,
        fixtures::{IDS, config, read_all, rows, schema, write},
        local::LocalFiles,
        segment_reader::{read_deletes, read_stats},
        store::ListedLog,
    },
};

#[tokio::test]
async fn a_compacted_segment_has_one_statistics_log() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let all = rows(&schema, 0, 1000);
    let layout = StatsLayout::Compacted { capacity: 2000 };
    let output = write(&store, &schema, layout, 20_000, std::slice::from_ref(&all), &[]).await.unwrap();
    assert!(output.logs.batches() > 2 && output.logs.delta.is_empty());
    assert_eq!(output.logs.stats[0].1.len(), 1);
    assert_eq!(output.logs.stats[0].1[0].rows, 1000);
    let stats = read_stats(&store, IDS, &output.logs).await.unwrap();
    assert_eq!((stats.len(), stats[0].filter.bits()), (1, 12_471), "made for the rows of the sources");
    assert!((0..1000).all(|i| stats[0].may_contain(&PrimaryKey::Int(i))));
    assert_eq!(read_all(&store, &schema, &output).await, all);
}

#[tokio::test]
async fn without_rows_only_deletes_are_written() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let empty = write(&store, &schema, StatsLayout::Flushed, 1, &[], &[]).await.unwrap();
    assert_eq!((empty.rows, empty.pk_range, empty.logs), (0, None, Default::default()));
    let deletes = [Delete { key: PrimaryKey::Int(1), ts: Timestamp(5) }];
    let output = write(&store, &schema, StatsLayout::Flushed, 1, &[], &deletes).await.unwrap();
    assert!(output.logs.insert.is_empty() && output.logs.stats.is_empty());
    assert_eq!(read_deletes(&store, IDS, &output.logs).await.unwrap(), deletes);
}

#[tokio::test]
async fn wrong_rows_and_ids_are_refused() {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let refused = async |batches: &[RecordBatch]| {
        write(&store, &schema, StatsLayout::Flushed, 1 << 20, batches, &[]).await.unwrap_err().to_string()
    };
    let error = refused(&[rows(&schema, 10, 5), rows(&schema, 9, 1)]).await;
    assert_eq!(error, "rows of segment 3: row id 9 after 14");
    let good = rows(&schema, 1, 3);
    let error = refused(&[good.project(&[0, 1, 2]).unwrap()]).await;
    assert!(
        error.starts_with("rows of segment 3: columns [\"0 Int64\", \"1 Int64\", \"100 Int64\"], expected"),
        "{error}"
    );

    let config = BinlogConfig::default();
    let stats = StatsLayout::Flushed;
    let target = SegmentTarget { ids: IDS, schema: &schema, stats, config: &config, written_at_ms: 1 };
    let mut one = || Ok(LogId(1));
    let error = write_segment(&store, &target, [good].into_iter(), &[], &mut one).await.unwrap_err();
    assert_eq!(error.to_string(), "no log id: 1 is reserved");
}

/// A server that was taken over may write a segment at the same time as the new owner, and must not replace its objects.
#[rstest]
#[tokio::test]
async fn two_attempts_share_no_name(
    #[values(StatsLayout::Flushed, StatsLayout::Compacted { capacity: 300 })] stats: StatsLayout,
) {
    let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
    let config = BinlogConfig { max_bytes: 10_000, ..BinlogConfig::default() };
    let target = SegmentTarget { ids: IDS, schema: &schema, stats, config: &config, written_at_ms: 1 };
    let deletes = [Delete { key: PrimaryKey::Int(1), ts: Timestamp(5) }];
    let (mut ids, mut names) = ((100..).map(LogId), HashSet::new());
    for attempt in 1..=2 {
        let rows = [rows(&schema, 0, 200 + attempt)].into_iter();
        let output = write_segment(&store, &target, rows, &deletes, &mut || Ok(ids.next().unwrap())).await.unwrap();
        for object in StoredObject::all(IDS, &output.logs) {
            assert!(names.insert(object.path), "{} is written by attempt {attempt} too", object.path);
        }
    }
    let listed: Vec<ListedLog> = store.list("").try_collect().await.unwrap();
    assert_eq!(listed.len(), names.len());
}

#[tokio::test]
async fn a_failing_store_fails_the_write_and_a_passing_fault_does_not() {
    let schema = schema(DataType::Int64);
    let batches = [rows(&schema, 0, 1000)];
    for (attempts, healthy) in [(1, false), (2, true)] {
        for nth in 1..=3 {
            let dir = tempfile::tempdir().unwrap();
            let faulty = Gate::new(Arc::new(LocalFiles::open(dir.path()).unwrap()));
            faulty.fail(Some(Operation::Put), nth, Fault::Torn);
            let store =
                SegmentStore::with_backend(faulty.clone(), &StorageConfig { max_attempts: attempts, ..config() });
            let output = write(&store, &schema, StatsLayout::Flushed, 20_000, &batches, &[]).await;
            assert_eq!(output.is_ok(), healthy, "put {nth} of {:?}", faulty.calls().len());
            if let Ok(output) = output {
                assert_eq!(read_all(&store, &schema, &output).await, batches[0]);
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However rows are batched, none is lost or moved, and every binlog but the last ends at a cut of [`BinlogCuts`].
    #[test]
    fn cuts_keep_rows_and_limits(
        sizes in proptest::collection::vec(0..400_i64, 1..6),
        max_bytes in 1_u64..60_000,
    ) {
        let (store, schema) = (SegmentStore::in_memory(), schema(DataType::Int64));
        let mut first = 0;
        let batches: Vec<RecordBatch> = sizes.iter().map(|count| {
            first += count;
            rows(&schema, first - count, *count)
        }).collect();
        let all = concat_batches(&schema.arrow_schema(), &batches).unwrap();
        let output = runtime()
            .block_on(write(&store, &schema, StatsLayout::Flushed, max_bytes, &batches, &[]))
            .unwrap();
        prop_assert_eq!(output.rows, all.num_rows() as u64);
        if all.num_rows() == 0 {
            return Ok(());
        }
        prop_assert_eq!(&runtime().block_on(read_all(&store, &schema, &output)), &all);
        let cuts = output.logs.field(FieldId::ROW_ID);
        let fields = schema.stored_fields();
        let size = |from: usize, rows: usize| -> u64 {
            let part = all.slice(from, rows);
            fields.iter().zip(part.columns()).map(|(f, c)| memory_size(f, c)).sum()
        };
        let mut from = 0;
        for (at, cut) in cuts.iter().enumerate() {
            let rows = cut.rows as usize;
            if at + 1 < cuts.len() {
                prop_assert_eq!(rows % 100, 99);
                prop_assert!(size(from, rows) > max_bytes);
            }
            // It did not end at the boundary before, so that one was within the limit.
            if rows > 100 {
                let before = (rows - 100) / 100 * 100 + 99;
                let before = if before >= rows { before - 100 } else { before };
                prop_assert!(before < rows && size(from, before) <= max_bytes);
            }
            let memory: u64 = output.logs.insert.iter().map(|(_, files)| files[at].memory_bytes).sum();
            prop_assert_eq!(memory, size(from, rows));
            from += rows;
        }
        let row_ids = all.column(0).as_primitive::<Int64Type>();
        prop_assert_eq!(row_ids.len(), from);
    }
}
