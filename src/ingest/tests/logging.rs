//! Writes, their order, and failures of the log.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use super::{super::*, world::*};
use crate::{
    error::{Classify, ErrorKind},
    model::{CollectionId, PrimaryKey, SegmentState},
};

#[tokio::test]
async fn a_write_is_visible_when_it_returns_and_positions_order_like_timestamps() {
    let world = World::new();
    let process = world.open().await;
    let mut tasks = Vec::new();
    for n in 0..50 {
        let (write, _) = process.insert_op(1, &[n]);
        let ingest = process.ingest.clone();
        tasks.push(tokio::spawn(async move {
            let ack = ingest.write(write).await.unwrap();
            assert!(ingest.snapshot(COLLECTION).lsn >= ack.lsn);
            ack
        }));
    }
    let mut acks = Vec::new();
    for task in tasks {
        acks.push(task.await.unwrap());
    }
    acks.sort_by_key(|a| a.lsn);
    assert!(acks.windows(2).all(|w| w[0].lsn < w[1].lsn && w[0].ts < w[1].ts));
    assert_eq!(process.live_keys(), (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn requests_queued_during_a_sync_share_the_next() {
    let world = World::new();
    let process = world.open().await;
    let (release, held) = std::sync::mpsc::channel();
    *process.faults.hold.lock() = Some(held);
    let spawn = |n: i64| {
        let (write, _) = process.insert_op(1, &[n]);
        let ingest = process.ingest.clone();
        tokio::spawn(async move { ingest.write(write).await })
    };
    let first = spawn(0);
    while process.faults.syncs.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (1..=40).map(spawn).collect();
    while process.ingest.queued() < 40 {
        tokio::task::yield_now().await;
    }
    assert!(process.live().is_empty(), "nothing is visible before it is durable");
    assert!(!first.is_finished());
    drop(release);
    for task in others.into_iter().chain([first]) {
        task.await.unwrap().unwrap();
    }
    assert_eq!(process.faults.syncs.load(Ordering::SeqCst), 2);
    assert_eq!(process.ingest.stats().fsyncs, 2);
    assert_eq!(process.live().len(), 41);
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_acknowledged_and_acknowledged_rows_are_back_after_a_restart() {
    let world = World::new();
    let process = world.open().await;
    let mut expected: BTreeSet<_> = process.insert(1, &[1, 2]).await.unwrap().into_iter().collect();
    process.faults.fail_sync.store(true, Ordering::SeqCst);
    let error = process.insert(1, &[3]).await.unwrap_err();
    assert!(matches!(error, IngestError::LogFailed { .. }) && error.to_string().contains("sync fails on purpose"));
    // The disk works again, but what happened to the pages is unknown: no second sync is tried.
    process.faults.fail_sync.store(false, Ordering::SeqCst);
    let syncs = process.faults.syncs.load(Ordering::SeqCst);
    assert_eq!(process.insert(1, &[4]).await.unwrap_err().kind(), ErrorKind::Transient);
    assert!(process.ingest.seal(COLLECTION).await.is_err());
    assert_eq!(process.faults.syncs.load(Ordering::SeqCst), syncs);
    assert!(matches!(process.ingest.health(), Health::LogFailed { .. }));
    assert_eq!(process.live(), expected, "reads go on with what was durable");
    process.kill().await;
    let process = world.open().await;
    expected.extend(process.insert(1, &[5]).await.unwrap());
    let live: BTreeSet<_> = process.live().into_iter().filter(|r| r.key != 3).collect();
    assert_eq!(live, expected, "row 3 was in the file and never acknowledged: it may be there or not");
}

/// The frame of the upsert is in the log, although it failed. A replay must not find the segment that it adds to in the
/// catalog: it would take the delete and not the row.
#[tokio::test]
async fn after_a_failed_sync_no_segment_is_sealed_that_the_log_may_have_more_of() {
    let mut world = World::new();
    world.config.max_life = Duration::from_secs(100);
    let process = world.open().await;
    process.insert(1, &[1]).await.unwrap();
    process.faults.fail_sync.store(true, Ordering::SeqCst);
    process.upsert(1, &[1]).await.unwrap_err();
    world.clock.advance(Duration::from_secs(101));
    process.ingest.tick().await.unwrap();
    let states: Vec<_> = process.ingest.unflushed().iter().map(|segment| segment.state).collect();
    assert_eq!(states, [SegmentState::Growing]);
    process.kill().await;
    let process = world.open().await;
    assert_eq!(process.live_keys(), [1], "the row of before or that of the upsert");
}

#[tokio::test]
async fn wrong_writes_are_refused_before_the_log() {
    let world = World::new();
    let process = world.open().await;
    let (good, _) = process.insert_op(1, &[2]);
    let mut empty = good.clone();
    empty.inserts.clear();
    let mut other_group = good.clone();
    other_group.collection = CollectionId(8);
    let mut other_columns = good.clone();
    other_columns.inserts[0].rows = other_columns.inserts[0].rows.project(&[0, 1]).unwrap();
    let mut swapped = good.clone();
    swapped.inserts[0].rows = swapped.inserts[0].rows.project(&[1, 0, 2]).unwrap();
    let mut wrong_key = good.clone();
    wrong_key.deletes = vec![DeleteOp {
        channel: channel(0),
        partition: None,
        keys: [PrimaryKey::Str("x".into())].into(),
        older_than: None,
    }];
    for (write, text) in [
        (empty, "write to collection 7 has neither rows nor deletes"),
        (other_group, "rows for collection 8 don't fit its schema: rows are for group 7/1/by-dev-rootcoord-dml_0_7v0"),
        (other_columns, "rows for collection 7 don't fit its schema: 2 columns, expected 3"),
        (swapped, "rows for collection 7 don't fit its schema: column 0 is \"100\" of Int64, expected \"0\" of Int64"),
        (wrong_key, "rows for collection 7 don't fit its schema: primary key \"x\" is of another type"),
    ] {
        let error = process.ingest.write(write).await.unwrap_err();
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, text));
    }
    assert_eq!(process.ingest.stats().appended_frames, 0);
}

#[tokio::test]
async fn a_stopped_write_path_says_so_and_has_finished_queued_requests() {
    let world = World::new();
    let process = world.open().await;
    let rows = process.insert(2, &[1, 2, 3]).await.unwrap();
    let other = process.ingest.clone();
    process.ingest.clone().stop().await;
    let (write, _) = process.insert_op(1, &[9]);
    assert!(matches!(other.write(write).await, Err(IngestError::Stopped)));
    let segments: Vec<_> = other.unflushed().iter().map(|s| s.id).collect();
    assert!(matches!(other.wait_flushed(&segments).await, Err(IngestError::Stopped)));
    drop(other);
    process.kill().await;
    assert_eq!(
        world.open().await.live().into_iter().map(|r| r.id).collect::<BTreeSet<_>>(),
        rows.iter().map(|r| r.id).collect()
    );
}

#[tokio::test]
async fn single_rows_do_not_stay_single_chunks() {
    let world = World::new();
    let process = world.open().await;
    let mut expected = Vec::new();
    for n in 0..300 {
        expected.extend(process.insert(1, &[n * 2]).await.unwrap());
    }
    let snapshot = process.ingest.snapshot(COLLECTION);
    assert_eq!(snapshot.segments.len(), 1);
    assert_eq!(snapshot.segments[0].state, SegmentState::Growing);
    assert!(snapshot.segments[0].chunks.len() < 70, "{}", snapshot.segments[0].chunks.len());
    assert_eq!(process.live().into_iter().collect::<Vec<_>>(), expected);
    process.kill().await;
    let process = world.open().await;
    assert!(process.ingest.snapshot(COLLECTION).segments[0].chunks.len() < 70);
    assert_eq!(process.live().into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn writers_wait_for_memory_and_are_refused_when_flushing_fails() {
    let mut world = World::new();
    world.config.memory_limit_bytes = 1_000;
    let process = world.open().await;
    let gate = world.catalog.hold(Point::CommitFlush);
    let keys: Vec<i64> = (0..100).map(|n| n * 2).collect();
    process.insert(1, &keys).await.unwrap();
    assert!(process.ingest.stats().memory_bytes > 2_000);
    gate.arrived().await;
    let (write, _) = process.insert_op(1, &[1_000]);
    let ingest = process.ingest.clone();
    let waiting = tokio::spawn(async move { ingest.write(write).await });
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(!waiting.is_finished(), "the segment is sealed by the memory rule, but not flushed yet");
    world.catalog.refuse(Point::CommitFlush, ErrorKind::Transient);
    gate.release();
    let error = waiting.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    assert!(error.to_string().contains("refused at CommitFlush"), "{error}");
    world.catalog.unhold(Point::CommitFlush);
    world.clock.advance(std::time::Duration::from_secs(2));
    process.ingest.tick().await.unwrap();
    let ids: Vec<_> = process.ingest.unflushed().iter().map(|s| s.id).collect();
    process.ingest.wait_flushed(&ids).await.unwrap();
    process.insert(1, &[1_000]).await.unwrap();
    assert_eq!(process.live().len(), 101);
}
