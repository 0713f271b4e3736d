//! Indexes of segments from their definition to their collection: built, searched through, merged away and dropped.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use super::{
    super::*,
    World,
    searches::{fault, found, near},
};
use crate::{
    config::Config,
    coordinator::{CollectionCell, control::IndexStanding},
    kit::{filters, gate::Operation},
    model::{FieldId, IndexParamError, PlanKind, PlanState, RequestError, SearchError, SegmentId},
    query::{Fusion, IteratorPage},
};

pub(super) const NAME: &str = "indexed";
pub(super) const VECTOR: FieldId = FieldId(101);
const GRAPH: &[(&str, &str)] =
    &[("index_type", "HNSW"), ("metric_type", "L2"), ("params", r#"{"M": 16, "efConstruction": 100}"#)];
/// Enough rows that a search uses the graph and does not rank all of them.
const ROWS: i64 = 8_000;

pub(super) fn impatient(config: &mut Config) {
    config.gc.drop_tolerance = Duration::ZERO;
    config.gc.missing_tolerance = Duration::ZERO;
    config.index.min_rows = 100;
}

pub(super) async fn define(world: &World) {
    let params = GRAPH.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    world.standalone.create_index(CollectionName::new("", NAME), "vector", "graph", params).await.unwrap();
}

/// A loaded collection with the definition of an index.
pub(super) async fn loaded(world: &World) -> Arc<CollectionCell> {
    let cell = world.collection(NAME).await;
    define(world).await;
    world.standalone.load(CollectionName::new("", NAME), LoadRequest::WHOLE).await.unwrap();
    cell
}

/// Waits until all rows have their index.
pub(super) async fn indexed(world: &World, cell: &CollectionCell) {
    let is_done = || {
        let meta = cell.meta();
        let progress = world.coordinator.index_progress(cell, &meta.indexes[0]);
        assert_eq!(progress.failure, None);
        progress.indexed_rows == progress.total_rows
    };
    world.until(|| is_done().then_some(())).await;
}

fn index_files(world: &World) -> Vec<String> {
    world.objects().into_iter().filter(|name| name.starts_with("index_files/")).collect()
}

/// The files that the records of live segments name.
fn named(cell: &CollectionCell) -> Vec<String> {
    let mut names = Vec::new();
    for segment in cell.live() {
        for index in &segment.indexes {
            let folder =
                format!("index_files/{}/{}/{}/{}", index.build, index.version, segment.group.partition, segment.id);
            names.extend((0..index.parts.len()).map(|part| format!("{folder}/{part}")));
        }
    }
    names.sort();
    names
}

/// Collects garbage until the named index files alone are left. The scrubber looks at all segments after a start, and a
/// round leaves the one that it holds.
async fn collected(world: &World, cell: &CollectionCell) {
    crate::kit::within("index files to be collected", async {
        loop {
            world.coordinator.collect_garbage().await.unwrap();
            if index_files(world) == named(cell) {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Few of the nearest are missing, and nothing else is there.
pub(super) fn check(found: &[i64], live: &BTreeSet<i64>, key: i64) {
    let mut expected: Vec<i64> = live.iter().copied().collect();
    expected.sort_by_key(|other| ((other - key).abs(), *other));
    expected.truncate(found.len());
    let right = found.iter().filter(|key| expected.contains(key)).count();
    assert!(right * 100 >= found.len() * 95, "{right} of {}", found.len());
    assert!(found.iter().all(|key| live.contains(key)), "a row that is not there");
    assert_eq!(found.iter().collect::<BTreeSet<_>>().len(), found.len(), "a row twice");
}

#[tokio::test]
async fn a_parameter_is_refused_as_soon_as_a_segment_has_an_index() {
    let world = World::with(impatient).await;
    let cell = loaded(&world).await;
    let asked = AskedEffort { ef: AskedNumber::Number(9), ..AskedEffort::default() };
    let search = || SearchRequest { asked, ..near(3, 10) };
    world.standalone.insert(&cell, "", super::rows(0..20)).await.unwrap();
    assert_eq!(found(&world, &cell, search()).await.len(), 10, "no index reads it");
    world.segment(&cell, 20..8_000).await;
    indexed(&world, &cell).await;
    let refused = IndexParamError::Below { key: "ef", got: 9, wanted: 10 };
    assert_eq!(fault(&world, &cell, search()).await, SearchError::IndexParam(refused).into());
    let hybrid = HybridRequest {
        searches: vec![near(3, 10), search()],
        fusion: Fusion::Reciprocal { k: 60.0 },
        limit: 10,
        offset: 0,
        fields: vec![],
    };
    let error = world.standalone.hybrid_search(&cell, hybrid).await.unwrap_err();
    assert!(matches!(error, StandaloneError::Request(RequestError::Search(SearchError::IndexParam(_)))), "{error}");
    assert_eq!(found(&world, &cell, near(3, 9)).await.len(), 9);
    let page = SearchRequest { page: Some(IteratorPage { after: None }), ..search() };
    assert!(found(&world, &cell, page).await.len() >= 10, "a page of an iterator has any number of rows");
}

#[tokio::test]
async fn segments_get_their_index_and_searches_use_it() {
    let world = World::with(impatient).await;
    let cell = loaded(&world).await;
    let segment = world.segment(&cell, 0..ROWS).await;
    indexed(&world, &cell).await;
    assert_eq!(index_files(&world), named(&cell));
    assert_eq!(named(&cell).len(), 1);
    let builds = world.coordinator.jobs().of_collection(cell.id);
    let plan = &builds[0].plans[0];
    assert_eq!((plan.kind, plan.reason.code(), plan.input_rows()), (PlanKind::Index, "no_index", ROWS as u64));
    // The vectors of the rows are not read.
    let group = &cell.segment(segment).unwrap().group;
    world.gate.hold(Operation::Get, &format!("insert_log/{}/{}/{segment}/{VECTOR}/", cell.id, group.partition));
    let mut live: BTreeSet<i64> = (0..ROWS).collect();
    let looked_up = || world.coordinator.segment_cache().looked_up();
    let (hits, misses) = looked_up();
    for key in [0, 17, 4_000, ROWS - 1] {
        let answer = found(&world, &cell, near(key, 50)).await;
        assert_eq!((answer.len(), answer[0]), (50, key));
        check(&answer, &live, key);
    }
    // One lookup for each search. The first opens the index.
    assert_eq!(looked_up(), (hits + 3, misses + 1));
    // Deletes that wait, growing rows, a filter that leaves many rows and one that leaves few.
    world.delete(&cell, 3_990..4_010).await;
    world.standalone.insert(&cell, "", super::rows(ROWS..ROWS + 10)).await.unwrap();
    live.retain(|key| !(3_990..4_010).contains(key));
    live.extend(ROWS..ROWS + 10);
    check(&found(&world, &cell, near(4_000, 50)).await, &live, 4_000);
    let last = found(&world, &cell, near(ROWS + 9, 20)).await;
    assert_eq!((last[0], last.len()), (ROWS + 9, 20));
    check(&last, &live, ROWS + 9);
    for (filter, matches) in [("id % 1 == 0", 1), ("id % 2 == 0", 2), ("id % 400 == 0", 400)] {
        let rows = Rows::matching(filters::compile(filter, &cell.meta().schema).unwrap());
        let answer = found(&world, &cell, SearchRequest { rows, ..near(4_000, 10) }).await;
        let live = live.iter().copied().filter(|key| key % matches == 0).collect();
        assert_eq!(answer.len(), 10, "{filter}");
        check(&answer, &live, 4_000);
    }
    world.release();
    // Merged: the output gets an index of its own.
    world.standalone.flush(&cell).await.unwrap();
    let job = world.compact(&cell).await;
    assert_eq!(world.ended(job).await.counts().completed, 1);
    check(&found(&world, &cell, near(4_000, 50)).await, &live, 4_000);
    indexed(&world, &cell).await;
    let answer = found(&world, &cell, near(4_000, 50)).await;
    assert_eq!(answer.len(), 50);
    check(&answer, &live, 4_000);
    // Those of the sources go with them.
    collected(&world, &cell).await;
    // After a restart the record still has it.
    let world = world.restarted().await;
    let cell = world.standalone.resolve(CollectionName::new("", NAME)).unwrap();
    assert_eq!(named(&cell).len(), 1);
    check(&found(&world, &cell, near(100, 50)).await, &live, 100);
    // Dropped with its definition.
    let name = CollectionName::new("", NAME);
    world.standalone.release_collection(name).await.unwrap();
    world.standalone.drop_index(name, "vector", "").await.unwrap();
    crate::kit::within("indexes to be forgotten", async {
        while !named(&cell).is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    collected(&world, &cell).await;
    assert_eq!(index_files(&world), Vec::<String>::new());
}

#[tokio::test]
async fn small_segments_and_definitions_without_a_graph_count_as_indexed() {
    let world = World::with(impatient).await;
    let cell = loaded(&world).await;
    world.segment(&cell, 0..99).await;
    indexed(&world, &cell).await;
    assert_eq!(world.coordinator.jobs().of_collection(cell.id).len(), 0);
    // An index that is defined later covers the rows before it.
    let name = CollectionName::new("", NAME);
    world.standalone.release_collection(name).await.unwrap();
    world.standalone.drop_index(name, "vector", "").await.unwrap();
    world.segment(&cell, 100..300).await;
    let flat = vec![("index_type".to_owned(), "FLAT".to_owned()), ("metric_type".to_owned(), "L2".to_owned())];
    world.standalone.create_index(name, "vector", "", flat).await.unwrap();
    indexed(&world, &cell).await;
    assert_eq!((world.coordinator.jobs().of_collection(cell.id).len(), named(&cell).len()), (0, 0));
    world.standalone.drop_index(name, "vector", "").await.unwrap();
    define(&world).await;
    indexed(&world, &cell).await;
    assert_eq!(named(&cell).len(), 1);
}

/// The segment whose build is held back.
async fn building(world: &World, cell: &CollectionCell) -> SegmentId {
    world.gate.hold(Operation::Put, "index_files");
    let segment = world.segment(cell, 0..1_000).await;
    world.held().await;
    segment
}

#[tokio::test]
async fn the_objects_of_a_running_build_stay() {
    let world = World::with(impatient).await;
    let cell = loaded(&world).await;
    building(&world, &cell).await;
    world.coordinator.collect_garbage().await.unwrap();
    world.release();
    indexed(&world, &cell).await;
    assert_eq!(index_files(&world), named(&cell));
    world.coordinator.collect_garbage().await.unwrap();
    assert_eq!(index_files(&world), named(&cell));
    assert_eq!(named(&cell).len(), 1);
}

#[tokio::test]
async fn a_build_begins_again_after_a_restart_and_leaves_garbage_alone_behind() {
    let world = World::with(impatient).await;
    let cell = loaded(&world).await;
    building(&world, &cell).await;
    let world = world.restarted().await;
    let cell = world.standalone.resolve(CollectionName::new("", NAME)).unwrap();
    indexed(&world, &cell).await;
    world.coordinator.collect_garbage().await.unwrap();
    assert_eq!(index_files(&world), named(&cell));
    assert_eq!(cell.live()[0].indexes[0].version, 2, "the attempt that was interrupted counts");
}

#[tokio::test]
async fn a_build_does_not_hold_up_a_merge_and_ends_with_its_segment() {
    let world = World::with(impatient).await;
    let cell = loaded(&world).await;
    let source = building(&world, &cell).await;
    let build = world.coordinator.jobs().unfinished()[0].id;
    world.segment(&cell, 1_000..1_010).await;
    let job = world.compact(&cell).await;
    assert_eq!(world.ended(job).await.counts().completed, 1);
    assert!(!cell.segment(source).unwrap().is_live());
    // Its segment is gone, so the build is cancelled, or is outdated if it was too late for that.
    world.release();
    let ended = world.until(|| Some(world.plan(build).state).filter(PlanState::is_terminal)).await;
    assert!(!matches!(ended, PlanState::Completed { .. }), "{ended:?}");
    indexed(&world, &cell).await;
    world.coordinator.collect_garbage().await.unwrap();
    assert_eq!(index_files(&world), named(&cell));
    assert_eq!(found(&world, &cell, near(500, 3)).await, [500, 499, 501]);
}

#[tokio::test]
async fn a_damaged_index_is_not_used() {
    let world = World::with(impatient).await;
    let cell = loaded(&world).await;
    world.segment(&cell, 0..1_000).await;
    indexed(&world, &cell).await;
    let file = world.files().join(&named(&cell)[0]);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    assert_eq!(found(&world, &cell, near(500, 3)).await, [500, 499, 501]);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(found(&world, &cell, near(500, 3)).await, [500, 499, 501]);
}

#[tokio::test]
async fn explanations_say_how_searches_are_served() {
    let world = World::with(impatient).await;
    let cell = loaded(&world).await;
    let standing = async |segment| {
        let [of_index] = world.coordinator.explain_segment(segment).await.unwrap().indexes.try_into().unwrap();
        assert_eq!((of_index.index.as_str(), of_index.field.as_str()), ("graph", "vector"));
        of_index.standing
    };
    let small = world.segment(&cell, 0..99).await;
    assert_eq!(standing(small).await, IndexStanding::FewRows { rows: 99, least: 100 });
    world.gate.hold(Operation::Put, "index_files");
    let large = world.segment(&cell, 100..1_000).await;
    world.held().await;
    let build = world.coordinator.jobs().unfinished()[0].id;
    assert_eq!(standing(large).await, IndexStanding::Building(build));
    world.release();
    indexed(&world, &cell).await;
    let finished = standing(large).await;
    assert!(matches!(finished, IndexStanding::Finished { vectors: 900, bytes: 1.. }), "{finished:?}");
    let name = CollectionName::new("", NAME);
    world.standalone.release_collection(name).await.unwrap();
    world.standalone.drop_index(name, "vector", "").await.unwrap();
    let flat = vec![("index_type".to_owned(), "FLAT".to_owned()), ("metric_type".to_owned(), "L2".to_owned())];
    world.standalone.create_index(name, "vector", "graph", flat).await.unwrap();
    assert_eq!(standing(large).await, IndexStanding::Exact);
}
