//! Garbage collection beside a flush, a merge and a log that is behind: it takes garbage and nothing else (P5).
//! No tolerance hides a mistake here: every object is old enough at once.

use std::{sync::Arc, time::Duration};

use super::World;
use crate::{
    clock::ManualClock,
    config::Config,
    coordinator::CollectionCell,
    error::{Classify, ErrorKind},
    kit::{filters::compile, gate::Operation, within},
    standalone::Rows,
};

const NAME: &str = "kept";

fn impatient(config: &mut Config) {
    config.gc.drop_tolerance = Duration::ZERO;
    config.gc.missing_tolerance = Duration::ZERO;
    // Several puts for each segment, so that the first ones are there while the last one is held back.
    config.binlog.max_bytes = 64 << 10;
    config.worker.memory_limit_bytes = 1 << 20;
}

async fn count(world: &World, cell: &CollectionCell) -> u64 {
    world.standalone.count(cell, Rows::matching(compile("id >= 0", &cell.meta().schema).unwrap())).await.unwrap()
}

/// Waits until there are more objects than so many.
async fn until_more(world: &World, than: usize) {
    within("an object", async {
        while world.objects().len() <= than {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn the_objects_of_a_running_flush_stay() {
    let world = World::with(impatient).await;
    let cell = world.collection(NAME).await;
    world.standalone.insert(&cell, "", super::rows(0..20_000)).await.unwrap();
    world.delete(&cell, 0..10).await;
    // The last put of a flush has its deletes.
    world.gate.hold(Operation::Put, "delta_log");
    let (standalone, flushed) = (Arc::clone(&world.standalone), Arc::clone(&cell));
    let flush = tokio::spawn(async move { standalone.flush(&flushed).await });
    world.held().await;
    until_more(&world, 1).await;
    let before = world.objects();
    world.coordinator.collect_garbage().await.unwrap();
    assert!(before.iter().all(|name| world.objects().contains(name)), "{before:?}");
    world.release();
    flush.await.unwrap().unwrap();
    assert_eq!(count(&world, &cell).await, 19_990);
}

#[tokio::test]
async fn the_objects_of_a_running_merge_stay() {
    let world = World::with(impatient).await;
    let cell = world.collection(NAME).await;
    world.segment(&cell, 0..20_000).await;
    world.segment(&cell, 20_000..40_000).await;
    let sources = world.objects().len();
    // The last put of a merge has the statistics.
    world.gate.hold(Operation::Put, "stats_log");
    let job = world.compact(&cell).await;
    world.held().await;
    until_more(&world, sources + 1).await;
    let before = world.objects();
    world.coordinator.collect_garbage().await.unwrap();
    assert!(before.iter().all(|name| world.objects().contains(name)), "{before:?}");
    world.release();
    assert_eq!(world.ended(job).await.counts().completed, 1);
    assert_eq!(count(&world, &cell).await, 40_000);
}

/// The log still has the rows of a segment that is flushed. Without the note that they are, a restart would bring them back
/// once the catalog has forgotten the segment.
#[tokio::test]
async fn segments_stay_while_the_log_does_not_say_that_they_are_flushed() {
    let world = World::with(impatient).await;
    let cell = world.collection(NAME).await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    assert_eq!(world.ended(world.compact(&cell).await).await.counts().completed, 1);
    world.standalone.ingest.clone().stop().await;
    let before = world.objects();
    let error = world.coordinator.collect_garbage().await.unwrap_err();
    assert_eq!((error.kind(), cell.dropped().len()), (ErrorKind::Transient, 2), "{error}");
    assert_eq!(world.objects(), before);
}

#[tokio::test]
async fn every_object_that_a_live_segment_names_stays() {
    let world = World::with(impatient).await;
    let cell = world.collection(NAME).await;
    world.segment(&cell, 0..100).await;
    world.delete(&cell, 0..10).await;
    world.standalone.ingest.flush_deltas(cell.id).await.unwrap();
    let before = world.objects();
    assert!(before.iter().any(|name| name.starts_with("delta_log")), "{before:?}");
    world.coordinator.collect_garbage().await.unwrap();
    assert_eq!(world.objects(), before);
    let world = world.restarted().await;
    let cell = world.coordinator.collection(cell.id).unwrap();
    assert_eq!(count(&world, &cell).await, 90);
}

/// A copy of the catalog from before may name it.
#[tokio::test]
async fn a_dropped_segment_goes_after_its_time_and_not_before() {
    const TOLERANCE: Duration = Duration::from_secs(100);
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let world = World::at(clock.clone(), |config| config.gc.drop_tolerance = TOLERANCE).await;
    let cell = world.collection(NAME).await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    assert_eq!(world.ended(world.compact(&cell).await).await.counts().completed, 1);
    let before = world.objects();
    world.coordinator.collect_garbage().await.unwrap();
    clock.advance(TOLERANCE - Duration::from_millis(1));
    world.coordinator.collect_garbage().await.unwrap();
    assert_eq!((world.objects(), cell.dropped().len()), (before.clone(), 2));
    clock.advance(Duration::from_millis(1));
    world.coordinator.collect_garbage().await.unwrap();
    assert!(cell.dropped().is_empty() && world.objects().len() < before.len(), "{:?}", world.objects());
    assert_eq!(count(&world, &cell).await, 20);
}

/// It may be of a process whose commit is under way.
#[tokio::test]
async fn an_object_that_no_segment_names_goes_after_its_time_and_not_before() {
    let world = World::new().await;
    let cell = world.collection(NAME).await;
    world.segment(&cell, 0..10).await;
    let before = world.objects();
    let named = before.iter().find(|name| name.starts_with("insert_log")).unwrap();
    let mut parts: Vec<&str> = named.split('/').collect();
    parts[3] = "7";
    let stray = parts.join("/");
    let path = world.files().join(&stray);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::copy(world.files().join(named), &path).unwrap();
    world.coordinator.collect_garbage().await.unwrap();
    assert!(world.objects().contains(&stray));
    let world = world.restarted_with(impatient).await;
    world.coordinator.collect_garbage().await.unwrap();
    assert_eq!(world.objects(), before);
}
