//! One rule per test.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::BoxStream};

use super::*;
use crate::{
    config::StorageConfig,
    error::{Classify, ErrorKind},
    kit::gate::{Fault, Gate, Operation},
    memory::{Pool, Spare},
    model::RequestError,
    query::{
        Query, QueryError, QueryLimits, ReadSet, Scope, ScopedDelete, count, interrupt::Interrupt, matching_keys,
        query, search,
    },
    storage::{NewestDeletes, StorageError, Vectors},
};

fn row(row_id: i64, ts: u64, key: i64, number: i64) -> Row {
    Row { row_id, ts, key, number }
}

fn scope(schema: &CollectionSchema, filter: &str) -> Scope {
    Scope { filter: compile(filter, schema).unwrap().map(Arc::new), ..Scope::default() }
}

fn ask(schema: &CollectionSchema, filter: &str) -> Query {
    Query { scope: scope(schema, filter), output: vec![FieldId::ROW_ID], limit: None, offset: 0 }
}

async fn row_ids(schema: &Arc<CollectionSchema>, set: ReadSet, asked: Query) -> Vec<i64> {
    int_column(&query(schema, set, asked, &QueryLimits::default()).await.unwrap(), 0)
}

fn pending(schema: &CollectionSchema, key: i64, ts: u64, partition: Option<i64>, number: u8) -> ScopedDelete {
    ScopedDelete { delete: delete(schema, key, ts), partition: partition.map(PartitionId), channel: channel(number) }
}

/// The sequence that was run on Milvus 2.3.5: two rows of one key in one insert, a third, then a growing one.
fn duplicates(schema: &CollectionSchema) -> ReadSet {
    let first = vec![row(1, 10, 7, 1), row(2, 10, 7, 2), row(3, 10, 3, 2)];
    let second = vec![row(4, 20, 7, 3), row(5, 20, 1, 3)];
    let third = vec![row(6, 30, 7, 3)];
    let sources = [first, second, third].map(|rows| growing(schema, 1, 0, &[rows], Vec::new()));
    ReadSet { sources: sources.into(), deletes: Vec::new() }
}

#[tokio::test]
async fn several_rows_of_one_key_as_observed() {
    let schema = schema(DataType::Int64);
    for (filter, rows, number) in [
        ("id >= 0", vec![5, 3, 6], 6),
        ("id == 7", vec![6], 4),
        // The filter comes first: an older row that matches is returned although a newer one does not match.
        ("n == 1", vec![1], 1),
        ("n == 2", vec![3, 2], 2),
        ("", vec![5, 3, 6], 6),
    ] {
        assert_eq!(row_ids(&schema, duplicates(&schema), ask(&schema, filter)).await, rows, "{filter}");
        let counted = count(&schema, duplicates(&schema), scope(&schema, filter)).await.unwrap();
        assert_eq!(counted, number, "{filter}");
    }
    // Of rows with equal timestamps the first is returned.
    let set = ReadSet { sources: duplicates(&schema).sources.into_iter().take(1).collect(), deletes: Vec::new() };
    assert_eq!(row_ids(&schema, set, ask(&schema, "")).await, [3, 1]);
}

#[tokio::test]
async fn windows_as_observed() {
    let schema = schema(DataType::Int64);
    for (limit, offset, rows) in [
        (Some(2), 0, vec![5, 3]),
        (Some(2), 1, vec![3, 6]),
        (Some(2), 2, vec![6]),
        (Some(2), 3, vec![]),
        (Some(0), 0, vec![]),
        (Some(16_384), 0, vec![5, 3, 6]),
        // Without a limit the offset is ignored.
        (None, 2, vec![5, 3, 6]),
    ] {
        let asked = Query { limit, offset, ..ask(&schema, "") };
        assert_eq!(row_ids(&schema, duplicates(&schema), asked).await, rows, "{limit:?} {offset}");
    }
    for (limit, offset) in [(16_384, 1), (u64::MAX, 1), (1, u64::MAX)] {
        let asked = Query { limit: Some(limit), offset, ..ask(&schema, "") };
        let error = query(&schema, duplicates(&schema), asked, &QueryLimits::default()).await.unwrap_err();
        assert!(matches!(error, QueryError::Request(RequestError::QueryWindow { .. })), "{error}");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[tokio::test]
async fn a_delete_kills_strictly_older_rows_of_its_scope() {
    let schema = schema(DataType::Int64);
    let sources = || -> Vec<Box<dyn RowSource>> {
        vec![
            growing(&schema, 1, 0, &[vec![row(1, 10, 1, 0)]], Vec::new()),
            growing(&schema, 2, 0, &[vec![row(2, 10, 2, 0)]], Vec::new()),
            growing(&schema, 1, 1, &[vec![row(3, 10, 3, 0)]], Vec::new()),
        ]
    };
    let all = |ts, partition, number| (1..=3).map(move |key| (key, ts, partition, number)).collect::<Vec<_>>();
    for (deletes, left) in [
        (all(9, None, 0), vec![1, 2, 3]),
        (all(10, None, 0), vec![1, 2, 3]),
        (all(11, None, 0), vec![3]),
        (all(11, Some(1), 0), vec![2, 3]),
        (all(11, Some(2), 0), vec![1, 3]),
        (all(11, None, 1), vec![1, 2]),
        (vec![(1, 11, None, 0), (1, 5, None, 0)], vec![2, 3]),
    ] {
        let deletes: Vec<_> = deletes.into_iter().map(|(k, ts, p, c)| pending(&schema, k, ts, p, c)).collect();
        let set = || ReadSet { sources: sources(), deletes: deletes.clone() };
        assert_eq!(row_ids(&schema, set(), ask(&schema, "")).await, left, "{deletes:?}");
        assert_eq!(count(&schema, set(), Scope::default()).await.unwrap(), left.len() as u64);
    }
}

#[tokio::test]
async fn deletes_of_a_segment_do_not_reach_others() {
    let schema = schema(DataType::Int64);
    let store = SegmentStore::in_memory();
    let dead = flushed(&store, &schema, 10, 1, 0, &[row(1, 10, 1, 0)], &[delete(&schema, 1, 11)]).await;
    let live = flushed(&store, &schema, 11, 1, 0, &[row(2, 10, 1, 0)], &[]).await;
    let set = || ReadSet { sources: vec![Box::new(dead.clone()), Box::new(live.clone())], deletes: Vec::new() };
    assert_eq!(row_ids(&schema, set(), ask(&schema, "")).await, [2]);
    assert_eq!(count(&schema, set(), Scope::default()).await.unwrap(), 1);
}

#[tokio::test]
async fn rows_expire_by_the_same_rule_as_in_compaction() {
    let (ttl, now_ms) = (Duration::from_secs(10), 60_000);
    let bound = Timestamp::expire_before(ttl, now_ms);
    for ms in [49_998, 49_999, 50_000, 50_001] {
        for logical in [0, 1, (1 << 18) - 1] {
            let ts = Timestamp(Timestamp::from_ms(ms).0 + logical);
            assert_eq!(ts < bound, ts.is_expired(ttl, now_ms), "{ms} {logical}");
        }
    }
    assert_eq!(Timestamp::expire_before(Duration::MAX, now_ms), Timestamp::ZERO);

    let schema = schema(DataType::Int64);
    let chunks = [bound.0 - 1, bound.0].map(|ts| vec![row(ts as i64, ts, ts as i64, 0)]);
    let set = || ReadSet { sources: vec![growing(&schema, 1, 0, &chunks, Vec::new())], deletes: Vec::new() };
    let scope = Scope { expire_before: Some(bound), ..Scope::default() };
    assert_eq!(row_ids(&schema, set(), Query { scope: scope.clone(), ..ask(&schema, "") }).await, [bound.0 as i64]);
    assert_eq!(count(&schema, set(), scope).await.unwrap(), 1);
}

#[tokio::test]
async fn keys_of_a_delete_by_filter() {
    let schema = schema(DataType::VarChar);
    let rows = vec![row(1, 10, 9, 1), row(2, 10, 10, 1), row(3, 10, 9, 1), row(4, 10, 8, 2)];
    let set = || ReadSet {
        sources: vec![growing(&schema, 1, 0, std::slice::from_ref(&rows), Vec::new())],
        deletes: Vec::new(),
    };
    let limits = QueryLimits::default();
    let keys = matching_keys(&schema, set(), scope(&schema, "n == 1"), &limits).await.unwrap();
    // By bytes, not by number.
    assert_eq!(keys, [key_of(&schema, 10), key_of(&schema, 9)]);
    let limits = QueryLimits { max_rows: 1, ..limits };
    let error = matching_keys(&schema, set(), scope(&schema, "n == 1"), &limits).await.unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("more than 1 keys")), (ErrorKind::Exhausted, true));
}

#[tokio::test]
async fn answers_are_bounded() {
    let schema = schema(DataType::Int64);
    let rows: Vec<Row> = (0..50).map(|i| row(i, 10, i, 0)).collect();
    let set = || ReadSet {
        sources: vec![growing(&schema, 1, 0, std::slice::from_ref(&rows), Vec::new())],
        deletes: Vec::new(),
    };
    let fits = QueryLimits { max_rows: 50, ..QueryLimits::default() };
    assert_eq!(query(&schema, set(), ask(&schema, ""), &fits).await.unwrap().num_rows(), 50);
    let few = QueryLimits { max_rows: 49, ..QueryLimits::default() };
    let error = query(&schema, set(), ask(&schema, ""), &few).await.unwrap_err();
    assert!(matches!(error, QueryError::TooLarge { what: "rows", max: 49 }), "{error}");
    let small = QueryLimits { max_bytes: 100, ..QueryLimits::default() };
    let error = query(&schema, set(), ask(&schema, ""), &small).await.unwrap_err();
    assert!(matches!(error, QueryError::TooLarge { what: "bytes", max: 100 }), "{error}");
}

#[tokio::test]
async fn columns_of_an_answer() {
    let schema = schema(DataType::Int64);
    let set = || duplicates(&schema);
    let limits = QueryLimits::default();
    let asked = Query { output: vec![VECTOR, KEY, VECTOR], ..ask(&schema, "") };
    let answer = query(&schema, set(), asked.clone(), &limits).await.unwrap();
    let names: Vec<String> = answer.schema().fields().iter().map(|f| f.name().clone()).collect();
    assert_eq!(names, ["102", "100", "102"]);
    assert_eq!((vector_rows(&answer, 0), int_column(&answer, 1)), (vec![5, 3, 6], vec![1, 3, 7]));

    let none = query(&schema, set(), Query { scope: scope(&schema, "id == 99"), ..asked }, &limits).await.unwrap();
    assert_eq!((none.num_rows(), none.schema()), (0, answer.schema()));

    let bare = query(&schema, set(), Query { output: Vec::new(), ..ask(&schema, "") }, &limits).await.unwrap();
    assert_eq!((bare.num_rows(), bare.num_columns()), (3, 0));

    let unknown = Query { output: vec![FieldId(999)], ..ask(&schema, "") };
    let error = query(&schema, set(), unknown, &limits).await.unwrap_err();
    assert_eq!(error.to_string(), "field 999 is not in collection reads");
}

/// A store that records which objects were read.
fn watched() -> (SegmentStore, Arc<Gate>) {
    let backend = Gate::new(SegmentStore::in_memory().backend());
    let config = StorageConfig { max_attempts: 1, retry_backoff: Duration::ZERO, ..StorageConfig::default() };
    (SegmentStore::with_backend(backend.clone(), &config), backend)
}

/// Fields (or kinds) of the objects read since `from`, each once.
fn read_since(backend: &Gate, from: usize) -> BTreeSet<String> {
    let calls = backend.calls();
    let gets = calls[from..].iter().filter(|(operation, _)| *operation == Operation::Get);
    gets.map(|(_, name)| {
        let parts: Vec<&str> = name.split('/').collect();
        if parts[0] == "insert_log" { parts[4].to_owned() } else { parts[0].to_owned() }
    })
    .collect()
}

fn names(parts: &[&str]) -> BTreeSet<String> {
    parts.iter().map(|p| (*p).to_owned()).collect()
}

/// With room in the cache.
#[tokio::test]
async fn deletes_of_a_segment_are_read_once() {
    let schema = schema(DataType::Int64);
    let (store, backend) = watched();
    let rows: Vec<Row> = (0..10).map(|i| row(i, 10, i, 0)).collect();
    let source = flushed(&store, &schema, 10, 1, 0, &rows, &[delete(&schema, 3, 11)]).await;
    for (bytes, reads) in [(4 << 20, [true, false]), (0, [true, true])] {
        let cache = Arc::new(SegmentCache::new(bytes));
        for is_read in reads {
            let from = backend.calls().len();
            let set =
                ReadSet { sources: vec![Box::new(source.clone().with_cache(Arc::clone(&cache)))], deletes: Vec::new() };
            let answer = query(&schema, set, ask(&schema, "n == 0"), &QueryLimits::default()).await.unwrap();
            assert_eq!(int_column(&answer, 0), [0, 1, 2, 4, 5, 6, 7, 8, 9]);
            assert_eq!(read_since(&backend, from).contains("delta_log"), is_read, "{bytes}");
        }
    }
}

/// With room in the cache, the columns that a read looks at as a whole are read once.
#[tokio::test]
async fn columns_are_read_once() {
    let schema = schema(DataType::Int64);
    let (store, backend) = watched();
    let rows: Vec<Row> = (0..400).map(|i| row(i, 10, i, i % 10)).collect();
    let source = flushed(&store, &schema, 10, 1, 0, &rows, &[]).await;
    let cache = Arc::new(SegmentCache::new(4 << 20));
    let read = async |number: i64, output: Vec<FieldId>, cache: &Arc<SegmentCache>, limits: &QueryLimits| {
        let from = backend.calls().len();
        let source = source.clone().with_cache(Arc::clone(cache));
        let set = ReadSet { sources: vec![Box::new(source)], deletes: Vec::new() };
        let asked = Query { output, ..ask(&schema, &format!("n == {number}")) };
        let answer = query(&schema, set, asked, limits).await.unwrap();
        // Keys and row ids are the same.
        let found: Vec<i64> = (0..400).filter(|i| i % 10 == number).collect();
        assert_eq!(int_column(&answer, 0), found);
        read_since(&backend, from)
    };
    let limits = QueryLimits::default();
    assert_eq!(read(3, vec![KEY], &cache, &limits).await, names(&["1", "100", "101"]));
    assert_eq!(read(4, vec![KEY, NUMBER], &cache, &limits).await, names(&[]));
    assert_eq!(read(4, vec![KEY, VECTOR], &cache, &limits).await, names(&["100", "102"]), "vectors are not kept");
    for _ in 0..2 {
        let read = read(4, vec![FieldId::ROW_ID], &cache, &limits).await;
        assert_eq!(read, names(&["0"]), "a few rows of an answer are no reason to read and keep the whole column");
    }
    cache.forget(|_| true);
    let small = Arc::new(SegmentCache::new(1 << 10));
    for _ in 0..2 {
        assert_eq!(read(3, vec![KEY], &small, &limits).await, names(&["1", "100", "101"]), "no room in the cache");
        // Twice a column of 400 numbers is more.
        let memory = Some(Pool::new("", 12 << 10).account(0).await);
        let scarce = QueryLimits { memory, ..QueryLimits::default() };
        assert_eq!(read(3, vec![KEY], &cache, &scarce).await, names(&["1", "100", "101"]), "no memory");
    }
}

/// The cache counts the columns that it keeps, so others have the memory that a read took to make them.
#[tokio::test]
async fn a_read_gives_back_the_memory_of_the_columns_that_it_kept() {
    let schema = schema(DataType::Int64);
    let (store, _) = watched();
    let rows: Vec<Row> = (0..400).map(|i| row(i, 10, i, i)).collect();
    let source = flushed(&store, &schema, 10, 1, 0, &rows, &[]).await;
    let cache = Arc::new(SegmentCache::new(4 << 20));
    let pool = Pool::new("", 32 << 10);
    let limits = QueryLimits { memory: Some(pool.account(0).await), ..QueryLimits::default() };
    let set = ReadSet { sources: vec![Box::new(source.with_cache(Arc::clone(&cache)))], deletes: Vec::new() };
    let answer = query(&schema, set, ask(&schema, "n == 3"), &limits).await.unwrap();
    assert_eq!(int_column(&answer, 0), [3]);
    assert!(cache.column(SegmentId(10), NUMBER).is_some());
    let column = 400 * 2 * 8;
    assert!(pool.used_bytes() < column, "{}", pool.used_bytes());
}

#[tokio::test]
async fn only_needed_columns_are_read() {
    let schema = schema(DataType::Int64);
    let (store, backend) = watched();
    let rows: Vec<Row> = (0..400).map(|i| row(i, 10, i, i % 10)).collect();
    let clean = flushed(&store, &schema, 10, 1, 0, &rows, &[]).await;
    let touched = flushed(&store, &schema, 11, 1, 0, &rows, &[delete(&schema, 5, 11)]).await;
    let set = |source: &SegmentSource| ReadSet { sources: vec![Box::new(source.clone())], deletes: Vec::new() };
    let at = || backend.calls().len();

    let from = at();
    assert_eq!(count(&schema, set(&clean), Scope::default()).await.unwrap(), 400);
    assert_eq!(read_since(&backend, from), names(&[]), "rows are known from the metadata");

    let from = at();
    let fresh = Scope { expire_before: Some(Timestamp(10)), ..Scope::default() };
    assert_eq!(count(&schema, set(&clean), fresh).await.unwrap(), 400);
    assert_eq!(read_since(&backend, from), names(&[]), "no row is that old");

    let from = at();
    assert_eq!(count(&schema, set(&clean), scope(&schema, "n == 3")).await.unwrap(), 40);
    assert_eq!(read_since(&backend, from), names(&["101"]));

    let from = at();
    assert_eq!(count(&schema, set(&touched), Scope::default()).await.unwrap(), 399);
    assert_eq!(read_since(&backend, from), names(&["1", "100", "delta_log"]));

    let from = at();
    let asked = Query { output: vec![VECTOR], ..ask(&schema, "id == 150") };
    let answer = query(&schema, set(&clean), asked.clone(), &QueryLimits::default()).await.unwrap();
    assert_eq!(vector_rows(&answer, 0), [150]);
    assert_eq!(read_since(&backend, from), names(&["1", "100", "102", "stats_log"]));
    let vectors = backend.calls()[from..].iter().filter(|(_, name)| name.contains("/102/")).count();
    assert_eq!(vectors, 1, "one of five binlogs of vectors");

    let from = at();
    let none = Query { scope: scope(&schema, "id == 1000"), ..asked };
    assert_eq!(query(&schema, set(&clean), none, &QueryLimits::default()).await.unwrap().num_rows(), 0);
    assert_eq!(read_since(&backend, from), names(&[]), "no key of the segment is that large");

    let from = at();
    let other = Scope { partitions: Some(vec![PartitionId(2)]), ..scope(&schema, "n == 3") };
    assert_eq!(count(&schema, set(&clean), other).await.unwrap(), 0);
    assert_eq!(read_since(&backend, from), names(&[]));
}

#[tokio::test]
async fn statistics_exclude_segments() {
    let schema = schema(DataType::Int64);
    let (store, backend) = watched();
    // Keys with gaps, so that only the filter can tell that one is missing.
    let rows: Vec<Row> = (0..100).map(|i| row(i, 10, i * 1_000, 0)).collect();
    let source = flushed(&store, &schema, 10, 1, 0, &rows, &[]).await;
    let absent = (0..100).map(|i| i * 1_000 + 500);
    let mut skipped = 0;
    for key in absent {
        let from = backend.calls().len();
        let set = ReadSet { sources: vec![Box::new(source.clone())], deletes: Vec::new() };
        let asked = Query { scope: scope(&schema, &format!("id == {key}")), ..ask(&schema, "") };
        assert_eq!(row_ids(&schema, set, asked).await, Vec::<i64>::new());
        skipped += u32::from(read_since(&backend, from) == names(&["stats_log"]));
    }
    // The rate of false positives is 5 %.
    assert!(skipped >= 85, "{skipped} of 100");
}

#[tokio::test]
async fn rows_across_binlogs_and_batches() {
    let schema = schema(DataType::Int64);
    let store = SegmentStore::in_memory();
    // Keys descend while places ascend, so the answer begins with the last places.
    let rows: Vec<Row> = (0..1_000).map(|i| row(i, 10, 2_000 - i, i % 7)).collect();
    let source = flushed(&store, &schema, 10, 1, 0, &rows, &[]).await;
    let set = ReadSet { sources: vec![Box::new(source)], deletes: Vec::new() };
    let asked = Query { output: vec![FieldId::ROW_ID, VECTOR, NUMBER], ..ask(&schema, "n == 6") };
    let answer = query(&schema, set, asked, &QueryLimits::default()).await.unwrap();
    let expected: Vec<i64> = (0..1_000).rev().filter(|i| i % 7 == 6).collect();
    assert_eq!(int_column(&answer, 0), expected);
    assert_eq!(vector_rows(&answer, 1), expected);
    assert!(int_column(&answer, 2).iter().all(|n| *n == 6));
}

#[tokio::test]
async fn a_source_that_fails_fails_the_read() {
    let schema = schema(DataType::Int64);
    let (store, backend) = watched();
    let rows: Vec<Row> = (0..10).map(|i| row(i, 10, i, 0)).collect();
    let source = flushed(&store, &schema, 10, 1, 0, &rows, &[delete(&schema, 1, 11)]).await;
    assert_eq!(backend.count(Operation::Get), 0);
    // There are four reads: delta log, key, timestamp, output column. Each of them may fail.
    for nth in 1..=4 {
        let gets = backend.count(Operation::Get);
        backend.heal();
        backend.fail(Some(Operation::Get), gets + nth, Fault::Unavailable);
        let set = ReadSet { sources: vec![Box::new(source.clone())], deletes: Vec::new() };
        let error = query(&schema, set, ask(&schema, ""), &QueryLimits::default()).await.expect_err("injected");
        assert!(matches!(error, QueryError::Storage(StorageError::Unavailable { .. })), "{nth}: {error}");
        assert_eq!(error.kind(), ErrorKind::Transient);
    }
}

/// Returns one batch and then waits for ever.
struct Stuck {
    rows: RecordBatch,
    channel: Channel,
    dropped: Arc<tokio::sync::Notify>,
}

struct NotifyOnDrop(Arc<tokio::sync::Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[async_trait::async_trait]
impl RowSource for Stuck {
    fn partition(&self) -> PartitionId {
        PartitionId(1)
    }

    fn channel(&self) -> &Channel {
        &self.channel
    }

    fn rows(&self) -> u64 {
        1 << 40
    }

    fn pk_range(&self) -> Option<&crate::model::PkRange> {
        None
    }

    fn ts_from(&self) -> Timestamp {
        Timestamp::ZERO
    }

    async fn may_contain(&self, _: &BTreeSet<PrimaryKey>) -> Result<bool, QueryError> {
        Ok(true)
    }

    async fn deletes(&self, _: &Interrupt, _: &Spare) -> Result<Vec<Arc<NewestDeletes>>, QueryError> {
        Ok(Vec::new())
    }

    fn read(&self, _: &[FieldId]) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
        let guard = NotifyOnDrop(self.dropped.clone());
        let rows = self.rows.clone();
        let rest = futures::stream::pending().map(move |item| {
            let _held = &guard;
            item
        });
        futures::stream::iter([Ok(rows)]).chain(rest).boxed()
    }

    fn vector_parts(&self) -> Vec<u64> {
        vec![self.rows.num_rows() as u64]
    }

    fn vectors(&self, _: FieldId, _: usize, _: &Spare) -> BoxStream<'static, Result<Arc<[Vectors]>, QueryError>> {
        futures::stream::empty().boxed()
    }

    fn take(&self, _: &[FieldId], _: Vec<u64>) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
        // Fewer rows than requested.
        futures::stream::empty().boxed()
    }
}

#[tokio::test]
async fn a_dropped_read_drops_its_sources() {
    let schema = schema(DataType::Int64);
    let dropped = Arc::new(tokio::sync::Notify::new());
    let rows = batch(&schema, &[row(1, 10, 1, 0)]);
    let source = Stuck { rows, channel: channel(0), dropped: dropped.clone() };
    let set = ReadSet { sources: vec![Box::new(source)], deletes: Vec::new() };
    let mut read = Box::pin(count(&schema, set, scope(&schema, "id == 1")));
    assert!((&mut read).now_or_never().is_none());
    drop(read);
    dropped.notified().await;
}

#[tokio::test]
async fn a_source_that_returns_too_few_rows_fails_the_read() {
    struct Short(Box<dyn RowSource>);

    #[async_trait::async_trait]
    impl RowSource for Short {
        fn partition(&self) -> PartitionId {
            self.0.partition()
        }
        fn channel(&self) -> &Channel {
            self.0.channel()
        }
        fn rows(&self) -> u64 {
            self.0.rows()
        }
        fn pk_range(&self) -> Option<&crate::model::PkRange> {
            None
        }
        fn ts_from(&self) -> Timestamp {
            Timestamp::ZERO
        }
        async fn may_contain(&self, _: &BTreeSet<PrimaryKey>) -> Result<bool, QueryError> {
            Ok(true)
        }
        async fn deletes(&self, _: &Interrupt, _: &Spare) -> Result<Vec<Arc<NewestDeletes>>, QueryError> {
            Ok(Vec::new())
        }
        fn read(&self, fields: &[FieldId]) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
            self.0.read(fields)
        }
        fn take(&self, fields: &[FieldId], places: Vec<u64>) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
            self.0.take(fields, places[1..].to_vec())
        }
        fn vector_parts(&self) -> Vec<u64> {
            self.0.vector_parts()
        }
        fn vectors(&self, _: FieldId, _: usize, _: &Spare) -> BoxStream<'static, Result<Arc<[Vectors]>, QueryError>> {
            futures::stream::empty().boxed()
        }
    }

    let schema = schema(DataType::Int64);
    let set = || {
        let rows = (0..5).map(|i| row(i, 10, i, 0)).collect();
        let source = Short(growing(&schema, 1, 0, &[rows], Vec::new()));
        ReadSet { sources: vec![Box::new(source)], deletes: Vec::new() }
    };
    let error = query(&schema, set(), ask(&schema, ""), &QueryLimits::default()).await.unwrap_err();
    assert!(matches!(error, QueryError::Short { got: 4, wanted: 5 }), "{error}");
    let error = search(&schema, set(), nearest_to(0.0, 1), &QueryLimits::default()).await.unwrap_err();
    assert!(matches!(error, QueryError::Short { got: 0, wanted: 1 }), "{error}");
}
