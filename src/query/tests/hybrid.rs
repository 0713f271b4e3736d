//! Hybrid searches: values and order worked out by hand. The vector of a row begins with its row id.

use std::sync::Arc;

use super::*;
use crate::{
    model::SearchError,
    query::{Fusion, Hybrid, QueryError, QueryLimits, ReadSet, hybrid},
};

fn rows(ids: std::ops::Range<i64>) -> Vec<Row> {
    ids.map(|id| Row { row_id: id, ts: 10, key: id, number: id % 2 }).collect()
}

fn set(schema: &Arc<CollectionSchema>, parts: &[Vec<Row>]) -> ReadSet {
    let sources = parts.iter().map(|rows| growing(schema, 1, 0, std::slice::from_ref(rows), Vec::new()) as _);
    ReadSet { sources: sources.collect(), deletes: Vec::new() }
}

fn asked(searches: Vec<Search>, fusion: Fusion) -> Hybrid {
    Hybrid { searches, fusion, limit: 10, offset: 0, output: vec![FieldId::ROW_ID] }
}

/// Row ids and values, per query vector.
async fn found(schema: &Arc<CollectionSchema>, set: ReadSet, asked: Hybrid) -> Vec<Vec<(i64, f32)>> {
    let found = hybrid(schema, set, asked, &QueryLimits::default()).await.unwrap();
    let ids = int_column(&found.rows, 0);
    let mut all = ids.into_iter().zip(found.scores.iter().copied());
    found.counts.iter().map(|count| all.by_ref().take(*count).collect()).collect()
}

fn near(found: &[(i64, f32)], expected: &[(i64, f32)]) {
    let is_near =
        |((id, value), (other, expected)): (&(i64, f32), &(i64, f32))| id == other && (value - expected).abs() < 1e-6;
    assert!(found.len() == expected.len() && found.iter().zip(expected).all(is_near), "{found:?} {expected:?}");
}

/// The first search finds 2, 1 and 3 at distances 0, 1 and 1; the second one 3, 2 and 4.
#[tokio::test]
async fn the_results_of_two_searches_become_one() {
    let schema = schema(DataType::Int64);
    let searches = || vec![nearest_to(2.0, 3), nearest_to(3.0, 3)];
    let weighted = |normalized| Fusion::Weighted { weights: vec![1.0, 0.5], normalized };
    for (fusion, expected) in [
        (
            Fusion::Reciprocal { k: 60.0 },
            [(2, 1.0 / 61.0 + 1.0 / 62.0), (3, 1.0 / 63.0 + 1.0 / 61.0), (1, 1.0 / 62.0), (4, 1.0 / 63.0)],
        ),
        (weighted(true), [(2, 1.25), (3, 1.0), (1, 0.5), (4, 0.25)]),
        // Distances: less is better. Of equal values the smaller key comes first.
        (weighted(false), [(2, 0.5), (4, 0.5), (1, 1.0), (3, 1.0)]),
    ] {
        let whole = found(&schema, set(&schema, &[rows(1..4), rows(4..9)]), asked(searches(), fusion.clone())).await;
        near(&whole[0], &expected);
        for (limit, offset) in [(1, 0), (2, 1), (10, 3), (10, 4)] {
            let asked = Hybrid { limit, offset, ..asked(searches(), fusion.clone()) };
            let page = found(&schema, set(&schema, &[rows(1..9)]), asked).await;
            let expected: Vec<_> = expected.into_iter().skip(offset as usize).take(limit as usize).collect();
            near(&page[0], &expected);
        }
    }
}

#[tokio::test]
async fn each_search_has_its_own_filter_and_each_vector_its_own_rows() {
    let schema = schema(DataType::Int64);
    let filtered = |filter: &str, vectors: [f32; 2]| {
        let filter = compile(filter, &schema).unwrap().map(Arc::new);
        let queries = queries(&vectors.map(|number| [number, 0.5]));
        Search { scope: Scope { filter, ..Scope::default() }, queries, ..nearest_to(0.0, 2) }
    };
    let searches = vec![filtered("n == 0", [0.0, 9.0]), filtered("n == 1", [0.0, 9.0])];
    let asked = asked(searches, Fusion::Weighted { weights: vec![1.0, 1.0], normalized: false });
    let found = found(&schema, set(&schema, &[rows(1..9)]), asked).await;
    near(&found[0], &[(1, 1.0), (2, 4.0), (3, 9.0), (4, 16.0)]);
    near(&found[1], &[(8, 1.0), (7, 4.0), (6, 9.0), (5, 16.0)]);
}

/// The two searches find different rows of key 7: the values count together, and the newer row is answered.
#[tokio::test]
async fn a_key_is_found_once_with_its_newest_row() {
    let schema = schema(DataType::Int64);
    for (first, second, newest) in [(10, 20, 9), (20, 10, 1)] {
        let row = |row_id, ts| Row { row_id, ts, key: 7, number: 0 };
        let rows = [vec![row(1, first)], vec![row(9, second)]];
        let searches = vec![nearest_to(0.0, 1), nearest_to(10.0, 1)];
        let asked = asked(searches, Fusion::Reciprocal { k: 1.0 });
        near(&found(&schema, set(&schema, &rows), asked).await[0], &[(newest, 1.0)]);
    }
}

#[tokio::test]
async fn searches_have_as_many_vectors_as_the_first() {
    let schema = schema(DataType::Int64);
    let two = Search { queries: queries(&[[1.0, 0.5], [2.0, 0.5]]), ..nearest_to(0.0, 1) };
    let asked = asked(vec![nearest_to(0.0, 1), two], Fusion::Reciprocal { k: 1.0 });
    let error = hybrid(&schema, set(&schema, &[rows(1..3)]), asked, &QueryLimits::default()).await.unwrap_err();
    let QueryError::Request(crate::model::RequestError::Search(error)) = error else { panic!("{error}") };
    assert_eq!(error, SearchError::OtherQueries { search: 1, expected: 1, got: 2 });
}
