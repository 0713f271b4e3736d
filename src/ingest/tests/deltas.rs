//! Deletes: each reaches every row it must kill, whatever overlaps.

use std::sync::Arc;

use rstest::rstest;

use super::{
    super::{hits::hits, *},
    world::*,
};
use crate::{
    error::ErrorKind,
    model::{CollectionSchema, DataType},
};

#[tokio::test]
async fn a_delete_kills_older_rows_and_an_upsert_survives_itself() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[1, 2, 3]).await.unwrap();
    process.delete(None, &[2]).await.unwrap();
    assert_eq!(process.live_keys(), [1, 3]);
    let upserted = process.upsert(1, &[3]).await.unwrap();
    assert_eq!(process.live_keys(), [1, 3]);
    assert!(process.live().is_superset(&upserted.into_iter().collect()));
    process.insert(1, &[2]).await.unwrap();
    assert_eq!(process.live_keys(), [1, 2, 3]);
    let sealed = process.flush().await;
    let live = process.live();
    // The delta log has the deletes that hit: one of key 2, one of key 3, each of the older row.
    let deletes: usize = sealed.iter().map(|s| world.catalog.contents.lock().segments[s].deletes.len()).sum();
    assert_eq!((deletes, live.len()), (2, 3));
}

#[tokio::test]
async fn a_delete_of_one_partition_spares_the_others() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    process.insert(2, &[2]).await.unwrap();
    process.flush().await;
    process.delete(Some(1), &[2]).await.unwrap();
    assert_eq!(process.live_keys(), [2]);
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    let contents = world.catalog.contents.lock();
    let deletes: Vec<_> = contents.segments.values().map(|s| (s.group.partition.0, s.deletes.len())).collect();
    assert_eq!(deletes, [(1, 1), (2, 0)]);
}

#[tokio::test]
async fn deltas_reach_flushed_sealed_and_growing_segments() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4]).await.unwrap();
    process.flush().await;
    process.insert(1, &[6, 8]).await.unwrap();
    process.delete(None, &[2, 6]).await.unwrap();
    let late = process.insert(1, &[6]).await.unwrap();
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    assert_eq!(process.ingest.stats().pending_deletes, 0);
    assert_eq!(process.live_keys(), [4, 6, 8]);
    assert!(process.live().contains(&late[0]));
    process.flush().await;
    assert_eq!(process.live_keys(), [4, 6, 8]);
    process.kill().await;
    assert_eq!(world.open().await.live_keys(), [4, 6, 8]);
}

#[tokio::test]
async fn a_flushed_segment_is_not_given_again_what_it_has() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4]).await.unwrap();
    process.delete(None, &[2]).await.unwrap();
    let sealed = process.flush().await;
    process.delete(None, &[4]).await.unwrap();
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    let deletes = world.catalog.contents.lock().segments[&sealed[0]].deletes.clone();
    assert_eq!(deletes.len(), 2, "{deletes:?}: one from the flush, one from the delta flush");
    assert!(process.live().is_empty());
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_does_not_cost_the_deletes_of_the_second_attempt() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4]).await.unwrap();
    world.catalog.refuse(Point::FlushCommitted, ErrorKind::Transient);
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    let mut changes = process.ingest.changes();
    while process.ingest.stats().flush_failures == 0 {
        changes.changed().await.unwrap();
    }
    // The catalogue has the segment without this delete, and keeps it that way when it is committed again.
    process.delete(None, &[2]).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(1));
    process.ingest.tick().await.unwrap();
    process.ingest.wait_flushed(&sealed).await.unwrap();
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    assert_eq!(process.live_keys(), [4]);
}

/// Where a flush stands when the delta flush is asked for, and whether the delete comes before the flush collects.
#[rstest]
#[case::while_writing(Point::WriteSegment)]
#[case::before_the_commit(Point::CommitFlush)]
#[case::after_the_commit(Point::FlushCommitted)]
#[tokio::test]
async fn a_delta_flush_during_a_flush_loses_nothing(#[case] at: Point, #[values(true, false)] early: bool) {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4, 6]).await.unwrap();
    if early {
        process.delete(None, &[2]).await.unwrap();
    }
    let gate = world.catalog.hold(at);
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    gate.arrived().await;
    // Too late for what the flush has collected.
    process.delete(None, &[4]).await.unwrap();
    let ingest = process.ingest.clone();
    let deltas = tokio::spawn(async move { ingest.flush_deltas(COLLECTION).await });
    let expected: &[i64] = if early { &[6] } else { &[2, 6] };
    for _ in 0..50 {
        tokio::task::yield_now().await;
        assert_eq!(process.live_keys(), expected);
    }
    assert!(!deltas.is_finished(), "it waits for the flush");
    gate.release();
    deltas.await.unwrap().unwrap();
    process.ingest.wait_flushed(&sealed).await.unwrap();
    assert_eq!(process.live_keys(), expected);
    assert_eq!(process.ingest.stats().pending_deletes, 0);
    process.kill().await;
    assert_eq!(world.open().await.live_keys(), expected);
}

/// The other way round: a flush is asked for while a delta flush is under way.
#[rstest]
#[case::before_the_commit(Point::CommitDeltas)]
#[case::after_the_commit(Point::DeltasCommitted)]
#[tokio::test]
async fn a_flush_during_a_delta_flush_loses_nothing(#[case] at: Point, #[values(true, false)] fails: bool) {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4, 6]).await.unwrap();
    process.delete(None, &[2]).await.unwrap();
    let gate = world.catalog.hold(at);
    if fails {
        world.catalog.refuse(at, ErrorKind::Transient);
    }
    let ingest = process.ingest.clone();
    let deltas = tokio::spawn(async move { ingest.flush_deltas(COLLECTION).await });
    gate.arrived().await;
    process.delete(None, &[4]).await.unwrap();
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    for _ in 0..50 {
        tokio::task::yield_now().await;
        assert_eq!(process.live_keys(), [6]);
    }
    assert!(!process.ingest.is_flushed(sealed[0]), "it waits for the delta flush");
    gate.release();
    assert_eq!(deltas.await.unwrap().is_err(), fails);
    world.catalog.unhold(at);
    process.ingest.wait_flushed(&sealed).await.unwrap();
    assert_eq!(process.live_keys(), [6]);
    let deletes = &world.catalog.contents.lock().segments[&sealed[0]].deletes.clone();
    assert_eq!(deletes.len(), 2, "{deletes:?}: each once");
    process.kill().await;
    let process = world.open().await;
    assert_eq!(process.live_keys(), [6]);
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    assert_eq!(process.live_keys(), [6]);
}

/// A kill at every step of a delta flush, with the rows in memory and in a flushed segment.
#[rstest]
#[tokio::test]
async fn a_kill_during_a_delta_flush_loses_nothing(#[values(Point::CommitDeltas, Point::DeltasCommitted)] at: Point) {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4]).await.unwrap();
    process.flush().await;
    process.insert(1, &[6, 8]).await.unwrap();
    process.delete(None, &[2, 6]).await.unwrap();
    let gate = world.catalog.hold(at);
    let ingest = process.ingest.clone();
    let deltas = tokio::spawn(async move { ingest.flush_deltas(COLLECTION).await });
    gate.arrived().await;
    deltas.abort();
    assert!(deltas.await.unwrap_err().is_cancelled());
    process.kill().await;
    world.catalog.unhold(at);
    let process = world.open().await;
    let waiting = if at == Point::CommitDeltas { 2 } else { 0 };
    assert_eq!(process.report.pending_deletes, waiting, "what the catalogue has need not wait again");
    assert_eq!(process.live_keys(), [4, 8]);
    process.flush().await;
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    assert_eq!(process.live_keys(), [4, 8]);
}

#[tokio::test]
async fn deltas_that_fail_are_kept_and_tried_again() {
    let mut world = World::new();
    world.config.delta_max_age = std::time::Duration::from_millis(10);
    let process = world.open().await;
    process.insert(1, &[2, 4, 6]).await.unwrap();
    process.flush().await;
    // Not due before the clock goes on: what fails first is the call below, not work in the background.
    process.delete(None, &[2, 4]).await.unwrap();
    world.catalog.refuse(Point::CommitDeltas, ErrorKind::Transient);
    let error = process.ingest.flush_deltas(COLLECTION).await.unwrap_err().to_string();
    assert!(error.contains("refused at CommitDeltas") && error.contains("0_7v0"), "{error}");
    assert_eq!(process.live_keys(), [6]);
    world.clock.advance(world.config.delta_max_age);
    process.ingest.tick().await.unwrap();
    assert_eq!(process.ingest.stats().pending_deletes, 2, "not before its time");
    let mut changes = process.ingest.changes();
    world.clock.advance(std::time::Duration::from_secs(1));
    process.ingest.tick().await.unwrap();
    while process.ingest.stats().pending_deletes > 0 {
        changes.changed().await.unwrap();
    }
    assert_eq!(process.live_keys(), [6]);
    let stats = process.ingest.stats();
    assert_eq!((stats.delta_flushes, stats.delta_flush_failures), (1, 1));
}

#[rstest]
#[case::older_row(10, 11, true)]
#[case::same_time(11, 11, false)]
#[case::newer_row(12, 11, false)]
fn only_an_older_row_is_hit(#[case] row: u64, #[case] delete: u64, #[case] hit: bool) {
    let string_keys = {
        let mut schema = CollectionSchema::clone(&schema());
        schema.primary = 1;
        assert_eq!(schema.fields[1].data_type, DataType::VarChar);
        Arc::new(schema)
    };
    for (schema, key) in [(schema(), PrimaryKey::Int(2)), (string_keys, PrimaryKey::Str("text of 2".into()))] {
        let layout = chunk::RowLayout::new(schema.clone());
        let chunk = layout.stamp(&rows(50, &[1, 2, 3]), Timestamp(row), 0).unwrap();
        let deletes = vec![Delete { key: key.clone(), ts: Timestamp(delete) }; 2];
        let found = hits(&schema, [&chunk], deletes.clone());
        assert_eq!(found, deletes[..usize::from(hit)], "each once");
        let unknown = Delete { key: PrimaryKey::Int(9), ts: Timestamp::MAX };
        assert_eq!(hits(&schema, [&chunk], vec![unknown]), []);
    }
}
