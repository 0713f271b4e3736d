//! Deletes: each reaches every row it must kill, also when flushes, delta flushes and reads overlap.

use std::sync::Arc;

use rstest::rstest;

use super::{
    super::{hits::hits, *},
    world::*,
};
use crate::{
    error::ErrorKind,
    model::{CollectionSchema, DataType, Delete, PrimaryKey, Timestamp},
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
async fn a_flushed_segment_is_not_given_a_delete_twice() {
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
    // The catalog has the segment without this delete, and keeps it that way when it is committed again.
    process.delete(None, &[2]).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(1));
    process.ingest.tick().await.unwrap();
    process.ingest.wait_flushed(&sealed).await.unwrap();
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    assert_eq!(process.live_keys(), [4]);
}

/// A delta flush is asked for at each step of a flush, with a delete before and after the flush collects.
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
    // Too late for the flush, which has collected its deletes.
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
    assert_eq!(process.report.pending_deletes, waiting, "what the catalog has need not wait again");
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
    // Not due before the clock goes on: the call below fails first, not work in the background.
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

const KINDS: [ErrorKind; 10] = [
    ErrorKind::Invalid,
    ErrorKind::NotFound,
    ErrorKind::Conflict,
    ErrorKind::Precondition,
    ErrorKind::Corrupt,
    ErrorKind::Transient,
    ErrorKind::Exhausted,
    ErrorKind::Cancelled,
    ErrorKind::Fenced,
    ErrorKind::Internal,
];

/// An error of any kind never says that a collection is gone: it may be of an object, of a store, of a record.
#[tokio::test]
async fn no_error_of_the_catalog_costs_acknowledged_deletes() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4, 6]).await.unwrap();
    process.flush().await;
    process.delete(None, &[2, 4]).await.unwrap();
    for kind in KINDS {
        world.catalog.refuse(Point::CommitDeltas, kind);
        let error = process.ingest.flush_deltas(COLLECTION).await.unwrap_err();
        assert_eq!(crate::error::Classify::kind(&error), kind);
        assert_eq!((process.live_keys(), process.ingest.stats().pending_deletes), (vec![6], 2), "{kind:?}");
        let Health::FlushFailing { segments, deltas, error } = process.ingest.health() else { panic!("{kind:?}") };
        assert_eq!((segments.len(), deltas.len(), deltas[0].keys), (0, 1, 2));
        assert!(deltas[0].channel == channel(0) && deltas[0].error == error && error.contains("CommitDeltas"));
    }
    process.kill().await;
    let process = world.open().await;
    assert_eq!((process.live_keys(), process.ingest.health()), (vec![6], Health::Healthy));
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    assert_eq!((process.live_keys(), process.ingest.stats().pending_deletes), (vec![6], 0));
}

/// No caller asks for them again, so only the clock has them tried.
#[tokio::test]
async fn deletes_that_failed_are_due_as_soon_as_they_may_be_tried_again() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4]).await.unwrap();
    process.flush().await;
    process.delete(None, &[2]).await.unwrap();
    world.catalog.refuse(Point::CommitDeltas, ErrorKind::Corrupt);
    process.ingest.flush_deltas(COLLECTION).await.unwrap_err();
    let mut changes = process.ingest.changes();
    world.clock.advance(std::time::Duration::from_secs(1));
    process.ingest.tick().await.unwrap();
    while process.ingest.stats().pending_deletes > 0 {
        changes.changed().await.unwrap();
    }
    assert_eq!((process.live_keys(), process.ingest.health()), (vec![4], Health::Healthy));
}

#[tokio::test]
async fn deletes_of_a_dropped_collection_are_forgotten() {
    let world = World::new();
    let process = world.open().await;
    process.delete(None, &[2, 3]).await.unwrap();
    world.catalog.contents.lock().dropped = true;
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    assert_eq!((process.ingest.stats().pending_deletes, process.ingest.health()), (0, Health::Healthy));
    assert_eq!(process.ingest.stats().delta_flushes, 0, "none was given to a segment");
}

/// Rows are replaced between a read and the delete that it decides, on every way from memory to files.
#[rstest]
#[case::in_memory(false, false)]
#[case::in_files(true, false)]
#[case::replayed(false, true)]
#[case::in_files_and_replayed(true, true)]
#[tokio::test]
async fn a_delete_kills_rows_that_were_there_when_it_was_decided(#[case] flush: bool, #[case] restart: bool) {
    let world = World::new();
    let mut process = world.open().await;
    process.insert(1, &[2, 3, 4]).await.unwrap();
    if flush {
        process.flush().await;
    }
    let read = process.ingest.snapshot(COLLECTION).deletes_older_than();
    let mut expected: std::collections::BTreeSet<_> = process.upsert(1, &[2]).await.unwrap().into_iter().collect();
    if flush {
        process.flush().await;
    }
    let ack = process.delete_older(None, &[2, 3, 5], Some(read)).await.unwrap();
    assert!(ack.ts >= read, "the request itself is as new as any other");
    expected.extend(process.insert(1, &[3]).await.unwrap());
    expected.extend(process.live().into_iter().filter(|r| r.key == 4));
    assert_eq!(process.live(), expected);
    if restart {
        process.kill().await;
        process = world.open().await;
        assert_eq!(process.live(), expected);
    }
    process.flush().await;
    assert_eq!(process.live(), expected);
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    assert_eq!((process.live(), process.ingest.stats().pending_deletes), (expected.clone(), 0));
    process.kill().await;
    assert_eq!(world.open().await.live(), expected);
}

/// An old log has no frames of the rows, or none at all. Rows that were read are older all the same.
#[tokio::test]
async fn a_read_of_a_new_process_covers_rows_of_earlier_ones() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4]).await.unwrap();
    process.flush().await;
    process.ingest.tick().await.unwrap();
    process.kill().await;
    // The second start lets go of the log file with the rows.
    for _ in 0..2 {
        let process = world.open().await;
        process.ingest.tick().await.unwrap();
        process.kill().await;
    }
    let process = world.open().await;
    let read = process.ingest.snapshot(COLLECTION).deletes_older_than();
    process.delete_older(None, &[2], Some(read)).await.unwrap();
    assert_eq!(process.live_keys(), [4]);
}

#[tokio::test]
async fn a_delete_that_claims_to_have_read_the_future_is_refused() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    let error = process.delete_older(None, &[2], Some(Timestamp::MAX)).await.unwrap_err();
    assert!(error.to_string().contains("in a request of"), "{error}");
    process.insert(1, &[4]).await.unwrap();
    assert_eq!(process.live_keys(), [2, 4], "the log goes on");
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
