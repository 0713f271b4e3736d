//! Objects and stores that are not there: acknowledged rows stay, and health names the missing object.

use std::{collections::BTreeMap, sync::Arc};

use super::{super::*, World};
use crate::{
    config::Config,
    coordinator::CollectionCell,
    error::{Classify, ErrorKind},
    kit::filters::compile,
    model::{PlanState, Segment},
};

const NAME: &str = "c";

/// Three segments of 100 rows, and nothing of them in memory.
async fn three_segments(world: World) -> (World, Arc<CollectionCell>) {
    let cell = world.collection(NAME).await;
    for first in [0, 100, 200] {
        world.segment(&cell, first..first + 100).await;
    }
    restarted(world).await
}

async fn restarted(world: World) -> (World, Arc<CollectionCell>) {
    let world = world.restarted().await;
    let cell = world.standalone.resolve(CollectionName::new("", NAME)).unwrap();
    (world, cell)
}

async fn delete(world: &World, cell: &Arc<CollectionCell>, filter: &str) -> Mutation {
    let filter = compile(filter, &cell.meta().schema).unwrap().unwrap();
    world.standalone.delete(cell, None, &filter, None).await.unwrap()
}

async fn count(world: &World, cell: &CollectionCell) -> u64 {
    world.standalone.count(cell, Rows::default()).await.unwrap()
}

/// Names of the objects of one kind, of the segment that has this key.
fn objects_of(world: &World, cell: &CollectionCell, kind: &str, key: i64) -> Vec<String> {
    let key = crate::model::PrimaryKey::Int(key);
    let has_key = |s: &Segment| s.pk_range.as_ref().is_some_and(|range| range.contains(&key));
    let id = cell.live().into_iter().find(has_key).unwrap().id;
    let part = format!("/{id}/");
    world.objects().into_iter().filter(|name| name.starts_with(kind) && name.contains(&part)).collect()
}

#[tokio::test]
async fn a_missing_statistics_object_costs_no_acknowledged_delete() {
    let (world, cell) = three_segments(World::new().await).await;
    let lost = objects_of(&world, &cell, "stats_log", 50);
    lost.iter().for_each(|name| std::fs::remove_file(world.files().join(name)).unwrap());
    delete(&world, &cell, "id in [50, 250, 251]").await;
    world.standalone.flush(&cell).await.unwrap();
    assert_eq!(count(&world, &cell).await, 297);
    assert_eq!(world.standalone.ingest_stats().pending_deletes, 0, "the damage of one segment holds up no delete");
    let reasons = world.standalone.health().reasons();
    assert!(reasons.iter().any(|r| lost.iter().any(|name| r.contains(name))), "{reasons:?}");
    let by_key = compile("id in [49, 50]", &cell.meta().schema).unwrap();
    assert_eq!(
        world.standalone.count(&cell, Rows::matching(by_key)).await.unwrap(),
        1,
        "keys are found without statistics"
    );
    let (world, cell) = restarted(world).await;
    assert_eq!(count(&world, &cell).await, 297);
}

#[tokio::test]
async fn a_store_that_is_away_during_a_flush_costs_nothing() {
    let (world, cell) = three_segments(World::new().await).await;
    let away = world.files().with_extension("away");
    world.standalone.insert(&cell, "", super::rows(300..310)).await.unwrap();
    delete(&world, &cell, "id in [50, 250, 251]").await;
    std::fs::rename(world.files(), &away).unwrap();
    let deltas = world.standalone.ingest.flush_deltas(cell.id).await.unwrap_err();
    assert!(deltas.kind().is_retryable(), "{deltas}");
    let health = world.standalone.health();
    assert!(health.reasons().iter().any(|r| r.contains("is not there")), "{health:?}");
    assert_eq!(world.standalone.ingest_stats().pending_deletes, 3);
    let error = world
        .standalone
        .count(&cell, Rows::matching(compile("id >= 0", &cell.meta().schema).unwrap()))
        .await
        .unwrap_err();
    assert!(error.kind().is_retryable(), "{error}");
    assert!(!world.files().exists(), "nothing is written beside the store");
    std::fs::rename(&away, world.files()).unwrap();
    world.standalone.ingest.flush_deltas(cell.id).await.unwrap();
    assert_eq!((count(&world, &cell).await, world.standalone.health().reasons()), (307, vec![]));
    let (world, cell) = restarted(world).await;
    assert_eq!(count(&world, &cell).await, 307);
    world.standalone.flush(&cell).await.unwrap();
    assert_eq!(count(&world, &cell).await, 307);
}

#[tokio::test]
async fn a_missing_object_is_damage_and_not_something_that_a_client_named_wrongly() {
    let (world, cell) = three_segments(World::new().await).await;
    let lost = objects_of(&world, &cell, "insert_log", 50);
    lost.iter().for_each(|name| std::fs::remove_file(world.files().join(name)).unwrap());
    let everything = compile("id >= 0", &cell.meta().schema).unwrap();
    let error = world.standalone.count(&cell, Rows::matching(everything)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    assert!(lost.iter().any(|name| error.to_string().contains(name)), "{error}");

    // A plan over it fails for good and says why; the group is not planned over and over.
    let view = world.ended(world.compact(&cell).await).await;
    let PlanState::Failed { kind, message, .. } = &view.plans[0].state else { panic!("{:?}", view.plans[0].state) };
    assert_eq!(*kind, crate::model::FailureKind::Corrupt, "{message}");
    assert!(lost.iter().any(|name| message.contains(name)), "{message}");
    assert_eq!(cell.live().len(), 3, "the inputs are left");
}

#[tokio::test]
async fn deletes_of_a_dropped_collection_do_not_wait_for_ever() {
    let world = World::new().await;
    let cell = world.collection_with(NAME, BTreeMap::new()).await;
    world.segment(&cell, 0..10).await;
    world.delete(&cell, 0..5).await;
    world.standalone.drop_collection(CollectionName::new("default", NAME)).await.unwrap();
    // As if they had come after it was forgotten.
    world.delete(&cell, 5..8).await;
    world.standalone.ingest.flush_deltas(cell.id).await.unwrap();
    assert_eq!(world.standalone.ingest_stats().pending_deletes, 0);
}

/// The catalog remembers that there is a log, so that its absence is told from a first start.
#[tokio::test]
async fn a_start_without_the_log_of_the_catalog_is_refused() {
    let world = World::new().await;
    let cell = world.collection(NAME).await;
    world.standalone.insert(&cell, "", super::rows(0..2)).await.unwrap();
    let (directory, config) = world.stopped().await;
    let (wal, away) = (directory.path().join("wal"), directory.path().join("away"));
    std::fs::rename(&wal, &away).unwrap();
    let error = World::start(Arc::clone(&directory), Arc::clone(&config)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(text.contains(&wal.display().to_string()) && text.contains("datacoord.wal.acceptLoss"), "{text}");
    assert!(!wal.exists(), "nothing was begun in its place");
    std::fs::rename(&away, &wal).unwrap();
    let world = World::start(directory, config).await.unwrap();
    let cell = world.standalone.resolve(CollectionName::new("", NAME)).unwrap();
    assert_eq!(count(&world, &cell).await, 2);

    // On purpose: by the name in the refusal.
    let (directory, config) = world.stopped().await;
    std::fs::remove_dir_all(&wal).unwrap();
    let name = text.split("acceptLoss to ").nth(1).and_then(|name| name.parse().ok());
    assert!(name.is_some(), "{text}");
    let mut accepting = Config::clone(&config);
    accepting.ingest.accept_lost_log = name;
    let world = World::start(directory, Arc::new(accepting)).await.unwrap();
    let cell = world.standalone.resolve(CollectionName::new("", NAME)).unwrap();
    assert_eq!(count(&world, &cell).await, 0);
    world.standalone.insert(&cell, "", super::rows(5..6)).await.unwrap();
    let (directory, _) = world.stopped().await;
    let world = World::start(directory, config).await.unwrap();
    let cell = world.standalone.resolve(CollectionName::new("", NAME)).unwrap();
    assert_eq!(count(&world, &cell).await, 1, "the new log needs no setting");
}

#[tokio::test]
async fn the_reason_of_a_failed_plan_outlives_a_restart() {
    let (world, cell) = three_segments(World::new().await).await;
    let lost = objects_of(&world, &cell, "insert_log", 50);
    lost.iter().for_each(|name| std::fs::remove_file(world.files().join(name)).unwrap());
    let before = world.ended(world.compact(&cell).await).await;
    let world = world.restarted().await;
    let after = world.view(before.job.id);
    assert_eq!(after.plans[0].state, before.plans[0].state);
    assert!(matches!(&after.plans[0].state, PlanState::Failed { message, .. } if !message.is_empty()));
    assert_eq!(after.counts().failed, 1);
}
