//! Searches, by rule and against a linear search through a list.

use std::{collections::HashMap, sync::Arc};

use proptest::prelude::*;
use rstest::rstest;

use super::{
    model::{Backing, Case, case, expected, read_set, rows_of, scope},
    *,
};
use crate::{
    error::{Classify, ErrorKind},
    memory::Pool,
    model::SearchError,
    query::{Found, Grouping, QueryError, QueryLimits, Range, ReadSet, ScopedDelete, search},
};

fn row(row_id: i64, ts: u64, key: i64, number: i64) -> Row {
    Row { row_id, ts, key, number }
}

fn set(sources: Vec<Box<dyn RowSource>>) -> ReadSet {
    ReadSet { sources, deletes: Vec::new() }
}

/// Row ids and values, per query vector.
fn hits(found: &Found) -> Vec<Vec<(i64, f32)>> {
    let ids = int_column(&found.rows, 0);
    let mut all = ids.into_iter().zip(found.scores.iter().copied());
    found.counts.iter().map(|count| all.by_ref().take(*count).collect()).collect()
}

async fn found(schema: &Arc<CollectionSchema>, set: ReadSet, asked: Search) -> Vec<Vec<(i64, f32)>> {
    hits(&search(schema, set, asked, &QueryLimits::default()).await.unwrap())
}

/// Key 1 has three rows, at 1, 2 and 5; keys 2 and 5 are at 3, key 3 at 4. As on Milvus 2.3.5, which gives the same answer
/// to a search for many rows, and fewer rows to one for few.
#[tokio::test]
async fn one_row_per_key_the_nearest() {
    let schema = schema(DataType::Int64);
    let sources = || {
        let first = vec![row(1, 10, 1, 0), row(2, 10, 1, 0), row(4, 10, 3, 0)];
        let second = vec![row(5, 20, 1, 0), row(3, 20, 5, 0)];
        let third = vec![row(3, 30, 2, 0)];
        set([first, second, third].map(|rows| growing(&schema, 1, 0, &[rows], Vec::new())).into())
    };
    let key_and_value = |limit, offset| {
        let asked = Search { output: vec![KEY], offset, ..nearest_to(0.0, limit) };
        let sources = sources();
        async { found(&schema, sources, asked).await.remove(0) }
    };
    let all = [(1, 1.0), (2, 9.0), (5, 9.0), (3, 16.0)];
    for limit in 1..6 {
        assert_eq!(key_and_value(limit, 0).await, all[..4.min(limit as usize)], "{limit}");
    }
    assert_eq!(key_and_value(2, 1).await, all[1..3]);
    assert_eq!(key_and_value(16_384, 3).await, all[3..]);
    assert_eq!(key_and_value(2, 4).await, []);
}

#[tokio::test]
async fn of_equally_near_rows_of_a_key_the_newest() {
    let schema = schema(DataType::Int64);
    for times in [[10, 20], [20, 10], [10, 10]] {
        let sources = times.map(|ts| growing(&schema, 1, 0, &[vec![row(7, ts, 1, ts as i64)]], Vec::new()));
        let asked = Search { output: vec![FieldId::TIMESTAMP], ..nearest_to(0.0, 3) };
        let newest = times.into_iter().max().unwrap();
        assert_eq!(found(&schema, set(sources.into()), asked).await, [[(newest as i64, 49.0)]]);
    }
}

#[tokio::test]
async fn deletes_filters_and_expiry_come_before_the_ranks() {
    let schema = schema(DataType::Int64);
    let rows = vec![row(1, 10, 1, 1), row(2, 10, 2, 1), row(3, 20, 3, 0), row(4, 20, 4, 1)];
    let store = SegmentStore::in_memory();
    for is_flushed in [false, true] {
        let source = |deletes: Vec<Delete>| {
            let (schema, rows, store) = (schema.clone(), rows.clone(), store.clone());
            async move {
                let source: Box<dyn RowSource> = if is_flushed {
                    Box::new(flushed(&store, &schema, 9, 1, 0, &rows, &deletes).await)
                } else {
                    growing(&schema, 1, 0, &[rows], deletes)
                };
                set(vec![source])
            }
        };
        let ids = |found: Vec<Vec<(i64, f32)>>| found[0].iter().map(|(id, _)| *id).collect::<Vec<_>>();
        let asked = || nearest_to(0.0, 2);
        assert_eq!(ids(found(&schema, source(Vec::new()).await, asked()).await), [1, 2]);
        let deleted = source(vec![delete(&schema, 1, 11)]).await;
        assert_eq!(ids(found(&schema, deleted, asked()).await), [2, 3]);
        let mut pending = source(Vec::new()).await;
        pending.deletes = vec![ScopedDelete { delete: delete(&schema, 2, 11), partition: None, channel: channel(0) }];
        assert_eq!(ids(found(&schema, pending, asked()).await), [1, 3]);
        let expiring = Scope { expire_before: Some(Timestamp(11)), ..Scope::default() };
        let asked = Search { scope: expiring, ..asked() };
        assert_eq!(ids(found(&schema, source(Vec::new()).await, asked).await), [3, 4]);
        let filter = compile("n == 1 and id > 1", &schema).unwrap().map(Arc::new);
        let asked = Search { scope: Scope { filter, ..Scope::default() }, ..nearest_to(0.0, 2) };
        assert_eq!(ids(found(&schema, source(Vec::new()).await, asked).await), [2, 4]);
    }
}

/// One row of each number.
#[tokio::test]
async fn one_row_per_group_the_nearest() {
    let schema = schema(DataType::Int64);
    let sources = || {
        let first = vec![row(1, 10, 1, 7), row(2, 10, 2, 7), row(3, 10, 3, 8)];
        let second = vec![row(4, 20, 4, 9), row(5, 20, 5, 7), row(6, 20, 6, 8)];
        set([first, second].map(|rows| growing(&schema, 1, 0, &[rows], Vec::new())).into())
    };
    for (near, limit, offset, expected) in [
        (0.0, 9, 0, vec![(1, 1.0), (3, 9.0), (4, 16.0)]),
        (0.0, 2, 0, vec![(1, 1.0), (3, 9.0)]),
        (0.0, 2, 1, vec![(3, 9.0), (4, 16.0)]),
        (9.0, 9, 0, vec![(6, 9.0), (5, 16.0), (4, 25.0)]),
    ] {
        let asked = Search { group: Some(Grouping { field: NUMBER, size: 1 }), offset, ..nearest_to(near, limit) };
        assert_eq!(found(&schema, sources(), asked).await, [expected], "{near} {limit} {offset}");
    }
    let asked = Search { group: Some(Grouping { field: VECTOR, size: 1 }), ..nearest_to(0.0, 1) };
    let error = search(&schema, sources(), asked, &QueryLimits::default()).await.unwrap_err();
    assert_eq!(error.to_string(), "rows can't be grouped by field v of type FloatVector");
}

/// Groups 7, 8 and 9 in this order, from 0: rows 1, 2, 5; 3, 6; 4. Row 8 is a second one of key 2, which is found once.
#[tokio::test]
async fn several_rows_per_group() {
    let schema = schema(DataType::Int64);
    let sources = |order: [usize; 3]| {
        let parts = [
            vec![row(1, 10, 1, 7), row(6, 20, 6, 8)],
            vec![row(2, 10, 2, 7), row(3, 10, 3, 8), row(8, 10, 2, 7)],
            vec![row(4, 20, 4, 9), row(5, 20, 5, 7)],
        ];
        set(order.map(|at| growing(&schema, 1, 0, &[parts[at].clone()], Vec::new())).into())
    };
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        for (near, size, limit, offset, expected) in [
            (0.0, 1, 9, 0, vec![1, 3, 4]),
            (0.0, 2, 9, 0, vec![1, 2, 3, 6, 4]),
            (0.0, 10, 9, 0, vec![1, 2, 5, 3, 6, 4]),
            (0.0, 10, 2, 0, vec![1, 2, 5, 3, 6]),
            (0.0, 2, 2, 1, vec![3, 6, 4]),
            (0.0, 2, 9, 3, vec![]),
            (9.0, 2, 1, 0, vec![8, 5]),
            // Group 8 is found by its row 6, after its row 3 has gone by.
            (6.0, 3, 1, 0, vec![6, 3]),
        ] {
            let asked = Search { group: Some(Grouping { field: NUMBER, size }), offset, ..nearest_to(near, limit) };
            let found = found(&schema, sources(order), asked).await.remove(0);
            assert_eq!(found.iter().map(|(id, _)| *id).collect::<Vec<_>>(), expected, "{near} {size} {limit} {offset}");
            assert!(found.iter().all(|(id, value)| *value == (*id as f32 - near).powi(2)), "{found:?}");
        }
    }
    let both = queries(&[[0.0, 0.5], [9.0, 0.5]]);
    let grouping = Grouping { field: NUMBER, size: 2 };
    let asked = Search { group: Some(grouping), queries: both, ..nearest_to(0.0, 1) };
    let found = found(&schema, sources([0, 1, 2]), asked).await;
    assert_eq!(found, [[(1, 1.0), (2, 4.0)], [(8, 1.0), (5, 16.0)]]);
}

/// A graph finds rows, an answer has keys: several rows of a key must not push other keys out.
#[tokio::test]
async fn a_graph_is_asked_for_more_rows_if_keys_have_several() {
    let schema = schema(DataType::Int64);
    let rows: Vec<Row> = (0..6_000).map(|id| row(id, 10, id / 8, id % 10)).collect();
    let store = SegmentStore::in_memory();
    let deletes: Vec<Delete> = (310..320).map(|key| delete(&schema, key, 11)).collect();
    // Most rows match, so that the graph is asked and not every row is ranked.
    for filter in ["", "n > 0"] {
        let source = flushed(&store, &schema, 9, 1, 0, &rows, &deletes).await;
        let source = indexed(&store, source, (1, 9), &rows, Metric::L2).await;
        let filter = compile(filter, &schema).unwrap().map(Arc::new);
        let scope = Scope { filter, ..Scope::default() };
        let asked = Search { scope, output: vec![KEY], ..nearest_to(2_500.0, 100) };
        let found = found(&schema, set(vec![Box::new(source)]), asked).await.remove(0);
        let mut keys: Vec<i64> = found.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        let mut expected: Vec<i64> = (0..750).filter(|key| !(310..320).contains(key)).collect();
        expected.sort_by_key(|key| if *key > 312 { key * 8 - 2_500 } else { 2_500 - key * 8 - 7 });
        expected.truncate(100);
        let right = keys.iter().filter(|key| expected.contains(key)).count();
        assert!(keys.len() == 100 && right >= 95, "{right} of {}", keys.len());
        keys.dedup();
        assert_eq!(keys.len(), 100, "a key twice");
    }
}

/// Values beside which Milvus 2.3.5 begins and ends, observed.
#[rstest]
#[case(Metric::L2, 9.0, None, &[1, 2])]
#[case(Metric::L2, 9.1, None, &[1, 2, 3])]
#[case(Metric::L2, 16.0, Some(4.0), &[2, 3])]
#[case(Metric::L2, f32::INFINITY, Some(0.0), &[1, 2, 3, 4])]
#[case(Metric::L2, 1.0, None, &[])]
#[case(Metric::L2, f32::NAN, None, &[])]
#[case(Metric::Ip, 2.0, None, &[4, 3])]
#[case(Metric::Ip, 1.0, Some(3.0), &[3, 2])]
#[case(Metric::Ip, f32::NEG_INFINITY, None, &[4, 3, 2, 1])]
#[tokio::test]
async fn a_range_has_its_near_end_and_not_its_far_one(
    #[case] metric: Metric,
    #[case] radius: f32,
    #[case] near: Option<f32>,
    #[case] ids: &[i64],
) {
    let schema = schema(DataType::Int64);
    let rows = (1..5).map(|id| row(id, 10, id, 0)).collect();
    let sources = vec![growing(&schema, 1, 0, &[rows], Vec::new())];
    let query = if metric == Metric::Ip { [1.0, 0.0] } else { [0.0, 0.5] };
    let range = Some(Range { radius, near });
    let asked = Search { metric, queries: queries(&[query]), range, ..nearest_to(0.0, 9) };
    let found: Vec<i64> = found(&schema, set(sources), asked).await[0].iter().map(|(id, _)| *id).collect();
    assert_eq!(found, ids);
}

#[tokio::test]
async fn only_finite_values_are_found() {
    let schema = schema(DataType::Int64);
    let rows: Vec<Row> = (1..4).map(|id| row(id, 10, id, 0)).collect();
    for (query, count) in [([0.0, 0.0], 3), ([f32::NAN, 0.0], 0), ([f32::INFINITY, 0.0], 0), ([1e30, 0.0], 0)] {
        for metric in [Metric::L2, Metric::Ip, Metric::Cosine] {
            let sources = vec![growing(&schema, 1, 0, std::slice::from_ref(&rows), Vec::new())];
            let asked = Search { metric, queries: queries(&[query, [0.0, 0.0]]), ..nearest_to(0.0, 5) };
            let found = found(&schema, set(sources), asked).await;
            // 1e30 is far from everything, and has a product and a direction.
            let count = if query[0] == 1e30 && metric == Metric::Ip { 3 } else { count };
            if !(query[0] == 1e30 && metric == Metric::Cosine) {
                assert_eq!(found[0].len(), count, "{metric:?} {query:?}");
            }
            assert_eq!(found[1].len(), 3, "{metric:?}: the other query");
        }
    }
}

#[tokio::test]
async fn a_search_that_does_not_fit_the_field_is_refused() {
    let schema = schema(DataType::Int64);
    let fault = |asked: Search| {
        let rows = vec![row(1, 10, 1, 0)];
        let sources = set(vec![growing(&schema, 1, 0, &[rows], Vec::new())]);
        let schema = schema.clone();
        async move {
            match search(&schema, sources, asked, &QueryLimits::default()).await.unwrap_err() {
                QueryError::Request(crate::model::RequestError::Search(error)) => error,
                other => panic!("{other}"),
            }
        }
    };
    let field = || "v".to_owned();
    let wide = QueryVectors::new(vec![0; 12], 12);
    let asked = Search { queries: wide, ..nearest_to(0.0, 1) };
    assert_eq!(fault(asked).await, SearchError::Dimension { expected: 8, got: 12 });
    let asked = Search { field: NUMBER, ..nearest_to(0.0, 1) };
    assert_eq!(fault(asked).await, SearchError::NotAVector("n".to_owned()));
    let asked = Search { metric: Metric::Hamming, ..nearest_to(0.0, 1) };
    assert_eq!(fault(asked).await, SearchError::MetricOfOtherVectors { metric: Metric::Hamming, field: field() });
}

/// Rows of a search are counted before they are held.
#[tokio::test]
async fn a_search_beyond_its_memory_is_refused() {
    let schema = schema(DataType::Int64);
    let rows: Vec<Row> = (0..3_000).map(|id| row(id, 10, id, 0)).collect();
    let vectors: Vec<[f32; 2]> = (0..20).map(|i| [i as f32, 0.5]).collect();
    for (kib, fits) in [(1 << 10, false), (64 << 10, true)] {
        let memory = Pool::new("some.key", kib << 10).account(0).await;
        let limits = QueryLimits { memory: Some(memory), ..QueryLimits::default() };
        let sources = vec![growing(&schema, 1, 0, std::slice::from_ref(&rows), Vec::new())];
        let asked = Search { queries: queries(&vectors), ..nearest_to(0.0, 1_000) };
        match search(&schema, set(sources), asked, &limits).await {
            Ok(found) => assert!(fits && found.counts == [1_000; 20]),
            Err(error) => assert!(!fits && error.kind() == ErrorKind::Invalid, "{error}"),
        }
    }
}

/// The values of a metric in double precision, each by its definition.
fn value(metric: Metric, query: [f32; 2], row: &Row) -> f64 {
    let (x, y) = (row.row_id as f64, 0.5);
    let [qx, qy] = query.map(f64::from);
    match metric {
        Metric::L2 => (x - qx).powi(2) + (y - qy).powi(2),
        Metric::Ip => x * qx + y * qy,
        other => panic!("{other:?}"),
    }
}

/// The rules, applied to every row in turn: row ids and values.
fn nearest(
    metric: Metric,
    query: [f32; 2],
    live: &[Row],
    key: impl Fn(&Row) -> PrimaryKey,
    range: Option<(f64, f64)>,
) -> Vec<(i64, f64)> {
    let sign = if metric == Metric::Ip { -1.0 } else { 1.0 };
    let mut best: HashMap<PrimaryKey, (f64, &Row)> = HashMap::new();
    for row in live {
        let value = value(metric, query, row);
        let inside = range.is_none_or(|(near, radius)| match metric {
            Metric::Ip => radius < value && value <= near,
            _ => near <= value && value < radius,
        });
        if !inside {
            continue;
        }
        let known = best.entry(key(row)).or_insert((value, row));
        if value * sign < known.0 * sign || value == known.0 && row.ts > known.1.ts {
            *known = (value, row);
        }
    }
    let mut all: Vec<_> = best.into_iter().map(|(key, (value, row))| (value, key, row.row_id)).collect();
    all.sort_by(|a, b| (a.0 * sign).total_cmp(&(b.0 * sign)).then_with(|| a.1.cmp(&b.1)));
    all.into_iter().map(|(value, _, id)| (id, value)).collect()
}

async fn check(
    case: Case,
    halves: Vec<i32>,
    metric: Metric,
    width: Option<f32>,
    has_index: bool,
) -> Result<(), TestCaseError> {
    let schema = schema(if case.text_keys { DataType::VarChar } else { DataType::Int64 });
    let rows = rows_of(&case.sources);
    let live = expected(&case, &schema, &rows);
    // Between two row ids, so that rows of different keys are equally near.
    let vectors: Vec<[f32; 2]> = halves.iter().map(|half| [1000.0 + *half as f32 / 2.0, 0.5]).collect();
    let (limit, offset) = (case.limit.unwrap_or(7), case.offset);
    let range = width.map(|width| match metric {
        Metric::Ip => Range { radius: 1e6, near: Some(1e6 + width) },
        _ => Range { radius: width, near: Some(width / 4.0) },
    });
    let asked = Search {
        scope: scope(&case, &schema),
        metric,
        queries: queries(&vectors),
        limit,
        offset,
        range,
        output: vec![FieldId::ROW_ID, VECTOR, NUMBER],
        ..nearest_to(0.0, 1)
    };
    let range = range.map(|range| (f64::from(range.near.unwrap()), f64::from(range.radius)));
    let expected = |query: [f32; 2]| -> Vec<_> {
        let nearest = nearest(metric, query, &live, |row| key_of(&schema, row.key), range);
        nearest.into_iter().skip(offset as usize).take(limit as usize).collect()
    };
    // The second time, what the first one has kept is there.
    for backing in Backing::ways().iter().flat_map(|backing| [backing, backing]) {
        let set = read_set(&case, &schema, &rows, backing, has_index.then_some(metric)).await;
        let found = search(&schema, set, asked.clone(), &QueryLimits::default()).await.unwrap();
        prop_assert_eq!(vector_rows(&found.rows, 1), int_column(&found.rows, 0));
        let hits = hits(&found);
        prop_assert_eq!(hits.len(), vectors.len());
        for (query, hits) in vectors.iter().zip(hits) {
            let expected = expected(*query);
            let ids = |rows: &[(i64, f64)]| rows.iter().map(|(id, _)| *id).collect::<Vec<_>>();
            prop_assert_eq!(hits.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids(&expected), "{:?}", query);
            for ((_, score), (_, value)) in hits.iter().zip(&expected) {
                prop_assert!((f64::from(*score) - value).abs() <= value.abs() * 1e-6, "{} {}", score, value);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn searches_agree_with_a_linear_search(
        case in case(),
        halves in prop::collection::vec(0..80i32, 1..4),
        metric in prop::sample::select(vec![Metric::L2, Metric::Ip]),
        width in prop::option::weighted(0.3, 1.0..400.0f32),
        has_index in any::<bool>(),
    ) {
        let check = check(case, halves, metric, width, has_index);
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(check)?;
    }
}
