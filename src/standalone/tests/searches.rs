//! Searches while rows move from memory to segments and from segment to segment, and the vectors that they keep.

use std::{collections::BTreeSet, sync::Arc};

use arrow_array::{cast::AsArray, types::Int64Type};

use super::{super::*, World};
use crate::{
    coordinator::{CollectionCell, CoordinatorError},
    kit::gate::Operation,
    model::{FieldId, LoadError, RequestError, SearchError, SegmentId},
};

const NAME: &str = "searched";
const KEY: FieldId = FieldId(100);
const VECTOR: FieldId = FieldId(101);

/// A loaded collection: its index has the squared distance.
async fn loaded(world: &World) -> Arc<CollectionCell> {
    let cell = world.collection(NAME).await;
    let name = CollectionName::new("", NAME);
    let params = vec![("index_type".to_owned(), "FLAT".to_owned()), ("metric_type".to_owned(), "L2".to_owned())];
    world.standalone.create_index(name, "vector", "", params).await.unwrap();
    world.standalone.load(name, LoadRequest::WHOLE).await.unwrap();
    cell
}

pub(super) fn near(key: i64, limit: u64) -> SearchRequest {
    let vector = [key as f32; super::DIM as usize].map(f32::to_le_bytes).concat();
    SearchRequest {
        rows: Rows::default(),
        field: VECTOR,
        metric: String::new(),
        queries: QueryVectors::new(vector, super::DIM as usize * 4),
        limit,
        offset: 0,
        range: None,
        group: None,
        page: None,
        fields: vec![KEY],
        asked: AskedEffort::default(),
    }
}

/// Keys of an answer, the nearest first.
pub(super) async fn found(world: &World, cell: &CollectionCell, request: SearchRequest) -> Vec<i64> {
    let answer = world.standalone.search(cell, request).await.unwrap();
    let keys = answer.rows.column(0).as_primitive::<Int64Type>().values().to_vec();
    assert_eq!(answer.counts, [keys.len()]);
    keys
}

pub(super) async fn fault(world: &World, cell: &CollectionCell, request: SearchRequest) -> RequestError {
    match world.standalone.search(cell, request).await.unwrap_err() {
        StandaloneError::Request(error) => error,
        other => panic!("{other}"),
    }
}

/// The objects with the rows of a segment.
fn objects(cell: &CollectionCell, segment: SegmentId) -> String {
    let group = &cell.segment(segment).unwrap().group;
    format!("insert_log/{}/{}/{segment}/", cell.id, group.partition)
}

#[tokio::test]
async fn every_live_row_once_while_segments_move() {
    let world = World::new().await;
    let cell = loaded(&world).await;
    let mut live: BTreeSet<i64> = BTreeSet::new();
    let check = async |live: &BTreeSet<i64>, what: &str| {
        for (key, limit) in [(0, 1_000), (150, 7), (299, 1_000)] {
            let mut expected: Vec<i64> = live.iter().copied().collect();
            expected.sort_by_key(|other| ((other - key).abs(), *other));
            expected.truncate(limit as usize);
            assert_eq!(found(&world, &cell, near(key, limit)).await, expected, "{what}: near {key}");
        }
    };
    check(&live, "empty").await;
    world.segment(&cell, 0..100).await;
    world.segment(&cell, 100..200).await;
    world.standalone.insert(&cell, "", super::rows(200..300)).await.unwrap();
    live.extend(0..300);
    check(&live, "two segments and growing rows").await;
    world.delete(&cell, 90..110).await;
    world.delete(&cell, 210..220).await;
    live.retain(|key| !(90..110).contains(key) && !(210..220).contains(key));
    check(&live, "deletes that wait").await;
    // The rows are written, and their segment is not committed.
    world.hold_writes();
    let (standalone, flushed) = (Arc::clone(&world.standalone), Arc::clone(&cell));
    let flush = tokio::spawn(async move { standalone.flush(&flushed).await });
    world.held().await;
    check(&live, "a flush").await;
    world.release();
    flush.await.unwrap().unwrap();
    check(&live, "flushed").await;
    world.hold();
    let job = world.compact(&cell).await;
    world.held().await;
    world.standalone.insert(&cell, "", super::rows(300..310)).await.unwrap();
    world.delete(&cell, 50..60).await;
    live.extend(300..310);
    live.retain(|key| !(50..60).contains(key));
    world.release();
    world.ended(job).await;
    check(&live, "compacted, with deletes that came meanwhile").await;
    let world = world.restarted().await;
    let cell = world.standalone.resolve(CollectionName::new("", NAME)).unwrap();
    assert_eq!(found(&world, &cell, near(0, 1_000)).await, live.into_iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn growing_rows_can_be_left_out() {
    let world = World::new().await;
    let cell = loaded(&world).await;
    world.segment(&cell, 0..3).await;
    world.standalone.insert(&cell, "", super::rows(3..6)).await.unwrap();
    assert_eq!(found(&world, &cell, near(9, 9)).await, [5, 4, 3, 2, 1, 0]);
    let rows = Rows { ignore_growing: true, ..Rows::default() };
    assert_eq!(found(&world, &cell, SearchRequest { rows, ..near(9, 9) }).await, [2, 1, 0]);
}

#[tokio::test]
async fn a_search_keeps_to_load_state_and_metric() {
    let world = World::new().await;
    let cell = world.collection(NAME).await;
    assert_eq!(fault(&world, &cell, near(0, 1)).await, LoadError::CollectionNotLoaded(cell.id).into());
    let world = World::new().await;
    let cell = loaded(&world).await;
    for metric in ["IP", "l2", "HAMMING", "none"] {
        let (collection, expected, got) = (cell.id, "L2".to_owned(), metric.to_owned());
        let expected = SearchError::OtherMetric { collection, expected, got };
        let request = SearchRequest { metric: metric.to_owned(), ..near(0, 1) };
        assert_eq!(fault(&world, &cell, request).await, RequestError::Search(expected));
    }
    let range = Some(Range { radius: 2.0, near: Some(2.0) });
    let error = fault(&world, &cell, SearchRequest { range, ..near(0, 1) }).await;
    assert!(matches!(error, RequestError::Search(SearchError::EmptyRange { .. })), "{error}");
    world.standalone.release_collection(CollectionName::new("", NAME)).await.unwrap();
    assert_eq!(fault(&world, &cell, near(0, 1)).await, LoadError::CollectionNotLoaded(cell.id).into());
}

#[tokio::test]
async fn columns_are_read_once_and_freed_with_their_segment() {
    let world = World::new().await;
    let cell = loaded(&world).await;
    let segments = [world.segment(&cell, 0..100).await, world.segment(&cell, 100..200).await];
    let used = || world.coordinator.segment_cache().used_bytes();
    assert_eq!(used(), 0);
    // Vectors, keys and timestamps.
    let columns = 200 * (u64::from(super::DIM) * 4 + 8 + 8);
    assert_eq!(found(&world, &cell, near(150, 1)).await, [150]);
    assert!((columns..columns + 6 * 512).contains(&used()), "{}", used());
    // Nothing of a segment can be read any more, and nothing is.
    segments.iter().for_each(|id| world.gate.hold(Operation::Get, &objects(&cell, *id)));
    assert_eq!(found(&world, &cell, near(150, 1)).await, [150]);
    assert_eq!(world.coordinator.segment_cache().looked_up(), (2, 6));
    world.release();
    let job = world.compact(&cell).await;
    world.ended(job).await;
    assert_eq!(used(), 0, "both are compacted away");
    assert_eq!(found(&world, &cell, near(150, 1)).await, [150]);
    assert!(used() > columns);
    let name = CollectionName::new("", NAME);
    world.standalone.release_collection(name).await.unwrap();
    assert_eq!(used(), 0, "released");
    world.standalone.load(name, LoadRequest::WHOLE).await.unwrap();
    assert_eq!(found(&world, &cell, near(150, 1)).await, [150]);
    assert!(used() > columns);
    world.standalone.drop_collection(name).await.unwrap();
    assert_eq!(used(), 0, "dropped");
}

/// A cache that is too small for one log: the vectors are read a few at a time, each time.
#[tokio::test]
async fn a_search_needs_no_room_in_the_cache() {
    let world = World::with(|config| config.budget.vectors = 1 << 10).await;
    let cell = loaded(&world).await;
    world.segment(&cell, 0..5_000).await;
    for _ in 0..2 {
        assert_eq!(found(&world, &cell, near(3_000, 3)).await, [3_000, 2_999, 3_001]);
        assert_eq!(world.coordinator.segment_cache().used_bytes(), 0);
    }
}

#[tokio::test]
async fn a_search_ends_when_the_server_stops() {
    use futures::FutureExt;

    let world = World::new().await;
    let cell = loaded(&world).await;
    world.segment(&cell, 0..10).await;
    world.hold();
    let mut search = Box::pin(world.standalone.search(&cell, near(1, 1)));
    assert!((&mut search).now_or_never().is_none());
    world.standalone.shutdown().await;
    assert!(matches!(search.await, Err(StandaloneError::Coordinator(CoordinatorError::Stopping))));
}
