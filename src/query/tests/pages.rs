//! Pages of iterators: every row once, however many are equally near.

use std::sync::Arc;

use rstest::rstest;

use super::*;
use crate::query::{IteratorPage, QueryLimits, Range, ReadSet, search};

/// The rows of a page, and the value behind which the next one begins.
async fn page(schema: &Arc<CollectionSchema>, parts: &[Vec<Row>], asked: Search) -> (Vec<i64>, Option<f32>) {
    let sources = parts.iter().map(|rows| growing(schema, 1, 0, std::slice::from_ref(rows), Vec::new()) as _).collect();
    let set = ReadSet { sources, deletes: Vec::new() };
    let found = search(schema, set, asked, &QueryLimits::default()).await.unwrap();
    (int_column(&found.rows, 0), found.scores.last().copied())
}

/// Keys 0 to 20 at their distance from 10: two at each distance but one at 0. Every third key has a second row, which is as near.
#[rstest]
#[case(Metric::L2, [10.0, 0.5], None)]
#[case(Metric::L2, [10.0, 0.5], Some(Range { radius: 50.0, near: Some(4.0) }))]
#[case(Metric::Ip, [1.0, 0.0], None)]
#[case(Metric::Ip, [-1.0, 0.0], None)]
#[case(Metric::Ip, [1.0, 0.0], Some(Range { radius: 3.0, near: Some(12.0) }))]
// Every row has the same value.
#[case(Metric::Ip, [0.0, 1.0], None)]
#[case(Metric::Ip, [0.0, 0.0], None)]
#[tokio::test]
async fn pages_have_every_row_once(#[case] metric: Metric, #[case] query: [f32; 2], #[case] range: Option<Range>) {
    let schema = schema(DataType::Int64);
    let row = |row_id: i64, key: i64| Row { row_id, ts: 10, key, number: 0 };
    let near: Vec<Row> = (0..21).map(|key| row(key, key)).collect();
    let again = (0..21).step_by(3).map(|key| row(key, key)).collect();
    let (one, other) = near.split_at(13);
    let parts = [other.to_vec(), one.to_vec(), again];
    let asked =
        |limit| Search { metric, queries: queries(&[query]), range, output: vec![KEY], ..nearest_to(0.0, limit) };
    let (whole, _) = page(&schema, &parts, asked(100)).await;
    assert!(whole.len() > 5, "{whole:?}");
    for limit in [1, 2, 3, 7, 100] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page_of = Search { page: Some(IteratorPage { after }), ..asked(limit) };
            let (keys, end) = page(&schema, &parts, page_of).await;
            let Some(end) = end else { break };
            let is_last = seen.len() + keys.len() == whole.len();
            assert!(is_last || keys.len() >= limit as usize, "{limit}: {keys:?}");
            seen.extend(keys);
            assert_ne!(after.replace(end), Some(end), "{limit}: the pages go nowhere");
        }
        assert_eq!(seen, whole, "{limit}");
    }
}

/// Ten rows are equally near, one is farther, and the page asks for one row.
#[tokio::test]
async fn a_page_is_longer_only_by_equally_near_rows() {
    let schema = schema(DataType::Int64);
    let row = |row_id: i64, key: i64| Row { row_id, ts: 10, key, number: 0 };
    let rows: Vec<Row> = (1..11).map(|key| row(if key % 2 == 0 { 4 } else { 6 }, key)).chain([row(9, 11)]).collect();
    let parts: Vec<Vec<Row>> = rows.chunks(3).map(<[Row]>::to_vec).collect();
    let asked =
        |after, limit| Search { page: Some(IteratorPage { after }), output: vec![KEY], ..nearest_to(5.0, limit) };
    assert_eq!(page(&schema, &parts, asked(None, 1)).await, ((1..11).collect(), Some(1.0)));
    assert_eq!(page(&schema, &parts, asked(Some(1.0), 1)).await, (vec![11], Some(16.0)));
    assert_eq!(page(&schema, &parts, asked(Some(16.0), 1)).await, (vec![], None));
    assert_eq!(page(&schema, &parts, asked(None, 11)).await, ((1..12).collect(), Some(16.0)));
}

/// The graph of a segment may miss rows, and the next page would not have them either.
#[tokio::test]
async fn pages_are_exact_in_a_segment_with_an_index() {
    let schema = schema(DataType::Int64);
    let rows: Vec<Row> = (0..3_000).map(|id| Row { row_id: id, ts: 10, key: id, number: 0 }).collect();
    let store = SegmentStore::in_memory();
    let mut after = None;
    for expected in [0..1_000, 1_000..2_000, 2_000..3_000] {
        let source = flushed(&store, &schema, 9, 1, 0, &rows, &[]).await;
        let source = indexed(&store, source, (1, 9), &rows, Metric::L2).await;
        let set = ReadSet { sources: vec![Box::new(source)], deletes: Vec::new() };
        let asked = Search { page: Some(IteratorPage { after }), output: vec![KEY], ..nearest_to(-1.0, 1_000) };
        let found = search(&schema, set, asked, &QueryLimits::default()).await.unwrap();
        assert_eq!(int_column(&found.rows, 0), expected.collect::<Vec<_>>());
        after = found.scores.last().copied();
    }
}
