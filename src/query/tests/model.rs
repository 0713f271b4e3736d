//! Random rows, deletes and queries must have the same answers as a linear search through a list.

use std::{collections::BTreeMap, sync::Arc};

use proptest::prelude::*;

use super::*;
use crate::query::{Query, QueryLimits, ReadSet, Scope, ScopedDelete, count, matching_keys, query};

#[derive(Debug, Clone)]
pub(super) struct SourceSpec {
    pub(super) partition: i64,
    pub(super) channel: u8,
    pub(super) flushed: bool,
    /// For each chunk its timestamp, and key and number of each row.
    pub(super) chunks: Vec<(u64, Vec<(i64, i64)>)>,
    pub(super) deletes: Vec<(i64, u64)>,
}

#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) text_keys: bool,
    pub(super) sources: Vec<SourceSpec>,
    /// Key, timestamp, partition (none: all), channel.
    pub(super) pending: Vec<(i64, u64, Option<i64>, u8)>,
    pub(super) filter: Filter,
    pub(super) partitions: Option<Vec<i64>>,
    pub(super) expire_before: Option<u64>,
    pub(super) limit: Option<u64>,
    pub(super) offset: u64,
}

/// Filters on key (`a`, `b`) and number, as text and as a function.
#[derive(Debug, Clone)]
pub(super) enum Filter {
    All,
    KeyIs(i64),
    KeyIn(Vec<i64>),
    NumberBelow(i64),
    KeyAboveAndNumber(i64, i64),
    NotNumber(i64),
}

impl Filter {
    fn text(&self, quote: &str) -> String {
        let key = |key: &i64| format!("{quote}{key}{quote}");
        match self {
            Self::All => String::new(),
            Self::KeyIs(a) => format!("id == {}", key(a)),
            Self::KeyIn(keys) => format!("id in [{}]", keys.iter().map(key).collect::<Vec<_>>().join(",")),
            Self::NumberBelow(n) => format!("n < {n}"),
            Self::KeyAboveAndNumber(a, n) => format!("id > {} and n % 3 == {n}", key(a)),
            Self::NotNumber(n) => format!("not (n in [{n}])"),
        }
    }

    fn matches(&self, schema: &CollectionSchema, row: &Row) -> bool {
        match self {
            Self::All => true,
            Self::KeyIs(a) => row.key == *a,
            Self::KeyIn(keys) => keys.contains(&row.key),
            Self::NumberBelow(n) => row.number < *n,
            Self::KeyAboveAndNumber(a, n) => key_of(schema, row.key) > key_of(schema, *a) && row.number % 3 == *n,
            Self::NotNumber(n) => row.number != *n,
        }
    }
}

const KEYS: std::ops::Range<i64> = 0..14;
const TIMES: std::ops::Range<u64> = 1..12;

pub(super) fn source() -> impl Strategy<Value = SourceSpec> {
    let rows = prop::collection::vec((KEYS, 0..9i64), 0..60);
    let chunks = prop::collection::vec((TIMES, rows), 0..4);
    let deletes = prop::collection::vec((KEYS, TIMES), 0..4);
    (0..2i64, 0..2u8, any::<bool>(), chunks, deletes).prop_map(|(partition, channel, flushed, chunks, deletes)| {
        SourceSpec { partition, channel, flushed, chunks, deletes }
    })
}

fn filter() -> impl Strategy<Value = Filter> {
    prop_oneof![
        Just(Filter::All),
        KEYS.prop_map(Filter::KeyIs),
        prop::collection::vec(KEYS, 0..5).prop_map(Filter::KeyIn),
        (0..9i64).prop_map(Filter::NumberBelow),
        (KEYS, 0..3i64).prop_map(|(a, n)| Filter::KeyAboveAndNumber(a, n)),
        (0..9i64).prop_map(Filter::NotNumber),
    ]
}

pub(super) fn case() -> impl Strategy<Value = Case> {
    let pending = prop::collection::vec((KEYS, TIMES, prop::option::of(0..2i64), 0..2u8), 0..6);
    let partitions = prop::option::weighted(0.3, prop::collection::vec(0..2i64, 0..2));
    let read = (filter(), partitions, prop::option::weighted(0.3, TIMES), prop::option::of(0..20u64), 0..6u64);
    (any::<bool>(), prop::collection::vec(source(), 0..4), pending, read).prop_map(
        |(text_keys, sources, pending, (filter, partitions, expire_before, limit, offset))| Case {
            text_keys,
            sources,
            pending,
            filter,
            partitions,
            expire_before,
            limit,
            offset,
        },
    )
}

/// Rows of every source with unique row ids, in order.
pub(super) fn rows_of(sources: &[SourceSpec]) -> Vec<Vec<Vec<Row>>> {
    let mut row_id = 1000;
    let mut next = || {
        row_id += 1;
        row_id
    };
    let chunk = |(ts, rows): &(u64, Vec<(i64, i64)>), next: &mut dyn FnMut() -> i64| -> Vec<Row> {
        rows.iter().map(|(key, number)| Row { row_id: next(), ts: *ts, key: *key, number: *number }).collect()
    };
    sources.iter().map(|source| source.chunks.iter().map(|c| chunk(c, &mut next)).collect()).collect()
}

/// The rules, applied to every row in turn.
pub(super) fn expected(case: &Case, schema: &CollectionSchema, rows: &[Vec<Vec<Row>>]) -> Vec<Row> {
    let mut live = Vec::new();
    for (source, chunks) in case.sources.iter().zip(rows) {
        for row in chunks.iter().flatten() {
            let own = source.deletes.iter().any(|(key, ts)| *key == row.key && *ts > row.ts);
            let pending = case.pending.iter().any(|(key, ts, partition, channel)| {
                *key == row.key
                    && *ts > row.ts
                    && partition.is_none_or(|p| p == source.partition)
                    && *channel == source.channel
            });
            let here = case.partitions.as_ref().is_none_or(|p| p.contains(&source.partition));
            let fresh = case.expire_before.is_none_or(|bound| row.ts >= bound);
            if here && fresh && !own && !pending && case.filter.matches(schema, row) {
                live.push(row.clone());
            }
        }
    }
    live
}

pub(super) fn scope(case: &Case, schema: &CollectionSchema) -> Scope {
    let quote = if case.text_keys { "'" } else { "" };
    Scope {
        filter: compile(&case.filter.text(quote), schema).unwrap().map(Arc::new),
        partitions: case.partitions.as_ref().map(|p| p.iter().map(|p| PartitionId(*p)).collect()),
        expire_before: case.expire_before.map(Timestamp),
    }
}

/// Where flushed segments are kept.
pub(super) struct Backing {
    store: SegmentStore,
    /// None: nothing of them stays in memory.
    cache: Option<Arc<SegmentCache>>,
}

impl Backing {
    /// In the store alone; with a cache that keeps little; with one that keeps all.
    pub(super) fn ways() -> [Self; 3] {
        let caches = [None, Some(1 << 10), Some(4 << 20)];
        caches.map(|bytes| Self {
            store: SegmentStore::in_memory(),
            cache: bytes.map(|bytes| Arc::new(SegmentCache::new(bytes))),
        })
    }
}

/// With a metric, flushed segments have an index.
pub(super) async fn read_set(
    case: &Case,
    schema: &Arc<CollectionSchema>,
    rows: &[Vec<Vec<Row>>],
    backing: &Backing,
    metric: Option<Metric>,
) -> ReadSet {
    let store = &backing.store;
    let mut sources: Vec<Box<dyn RowSource>> = Vec::new();
    for (i, (source, chunks)) in case.sources.iter().zip(rows).enumerate() {
        let deletes: Vec<Delete> = source.deletes.iter().map(|(key, ts)| delete(schema, *key, *ts)).collect();
        let all = chunks.concat();
        sources.push(if source.flushed && !all.is_empty() {
            let id = 10 + i as i64;
            let flushed = flushed(store, schema, id, source.partition, source.channel, &all, &deletes).await;
            let flushed = match metric {
                Some(metric) => indexed(store, flushed, (source.partition, id), &all, metric).await,
                None => flushed,
            };
            Box::new(match &backing.cache {
                Some(cache) => flushed.with_cache(Arc::clone(cache)),
                None => flushed,
            })
        } else {
            growing(schema, source.partition, source.channel, chunks, deletes)
        });
    }
    let deletes = case.pending.iter().map(|(key, ts, partition, number)| ScopedDelete {
        delete: delete(schema, *key, *ts),
        partition: partition.map(PartitionId),
        channel: channel(*number),
    });
    ReadSet { sources, deletes: deletes.collect() }
}

async fn check(case: &Case, backing: &Backing) -> Result<(), TestCaseError> {
    let schema = schema(if case.text_keys { DataType::VarChar } else { DataType::Int64 });
    let rows = rows_of(&case.sources);
    let live = expected(case, &schema, &rows);
    let limits = QueryLimits::default();

    let counted = count(&schema, read_set(case, &schema, &rows, backing, None).await, scope(case, &schema)).await;
    prop_assert_eq!(counted.unwrap(), live.len() as u64);

    // The newest row of each key; of equal timestamps the first.
    let mut newest: BTreeMap<PrimaryKey, &Row> = BTreeMap::new();
    for row in &live {
        let best = newest.entry(key_of(&schema, row.key)).or_insert(row);
        if row.ts > best.ts {
            *best = row;
        }
    }
    let set = read_set(case, &schema, &rows, backing, None).await;
    let keys = matching_keys(&schema, set, scope(case, &schema), &limits).await.unwrap();
    prop_assert_eq!(keys, newest.keys().cloned().collect::<Vec<_>>());

    let skip = if case.limit.is_some() { case.offset } else { 0 };
    let window = newest.values().skip(skip as usize).take(case.limit.unwrap_or(u64::MAX) as usize);
    let window: Vec<&Row> = window.copied().collect();
    let set = read_set(case, &schema, &rows, backing, None).await;
    let output = vec![VECTOR, NUMBER, FieldId::TIMESTAMP, FieldId::ROW_ID];
    let asked = Query { scope: scope(case, &schema), output, limit: case.limit, offset: case.offset };
    let answer = query(&schema, set, asked, &limits).await.unwrap();
    let ids: Vec<i64> = window.iter().map(|row| row.row_id).collect();
    prop_assert_eq!(int_column(&answer, 3), ids.clone());
    prop_assert_eq!(vector_rows(&answer, 0), ids);
    prop_assert_eq!(int_column(&answer, 1), window.iter().map(|row| row.number).collect::<Vec<_>>());
    prop_assert_eq!(int_column(&answer, 2), window.iter().map(|row| row.ts as i64).collect::<Vec<_>>());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn reads_agree_with_a_linear_search(case in case()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for backing in Backing::ways() {
            // The second time, what the first one has kept is there.
            runtime.block_on(check(&case, &backing))?;
            runtime.block_on(check(&case, &backing))?;
        }
    }
}
