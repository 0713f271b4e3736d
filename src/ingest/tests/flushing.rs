//! Sealing and flushing.

use std::{sync::Arc, time::Duration};

use super::{super::*, world::*};
use crate::{
    error::ErrorKind,
    model::{PartitionId, SegmentState},
};

#[tokio::test]
async fn rows_after_a_seal_go_to_a_new_segment() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4]).await.unwrap();
    let sealed = process.flush().await;
    assert_eq!(sealed.len(), 1);
    assert!(process.ingest.is_flushed(sealed[0]));
    process.insert(1, &[6]).await.unwrap();
    let unflushed = process.ingest.unflushed();
    assert_eq!(unflushed.iter().map(|s| s.rows).collect::<Vec<_>>(), [1]);
    assert!(unflushed[0].id > sealed[0] && !process.ingest.is_flushed(unflushed[0].id));
    assert_eq!(process.live_keys(), [2, 4, 6]);
    assert_eq!(process.flush().await, [unflushed[0].id]);
    assert_eq!(process.flush().await, [], "there is nothing left to flush");
}

#[tokio::test]
async fn seal_also_names_segments_sealed_before() {
    let mut world = World::new();
    world.config.max_segment_bytes = 400;
    world.config.seal_proportion = 0.5;
    let process = world.open().await;
    let gate = world.catalog.hold(Point::WriteSegment);
    process.insert(1, &[2, 4, 6, 8, 10, 12]).await.unwrap();
    gate.arrived().await;
    let full = process.ingest.unflushed();
    assert_eq!((full.len(), full[0].state), (1, SegmentState::Flushing));
    assert_eq!(full[0].sealed.as_ref().unwrap().code(), "size");
    process.insert(1, &[14]).await.unwrap();
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    assert_eq!(sealed.len(), 2);
    assert_eq!(sealed[0], full[0].id);
    assert_eq!(process.ingest.seal(COLLECTION).await.unwrap(), sealed);
    world.catalog.unhold(Point::WriteSegment);
    process.ingest.wait_flushed(&sealed).await.unwrap();
    assert_eq!(process.live().len(), 7);
}

#[tokio::test]
async fn size_is_checked_for_every_request_of_a_group() {
    let mut world = World::new();
    world.config.max_segment_bytes = 1_000;
    world.config.seal_proportion = 0.5;
    let process = world.open().await;
    let gate = world.catalog.hold(Point::WriteSegment);
    let writes: Vec<_> = (0..40).map(|n| process.insert_op(1, &[n * 4, n * 4 + 2]).0).collect();
    let tasks: Vec<_> = writes
        .into_iter()
        .map(|w| {
            let ingest = process.ingest.clone();
            tokio::spawn(async move { ingest.write(w).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    gate.arrived().await;
    let sizes: Vec<u64> = process.ingest.unflushed().iter().map(|s| s.bytes).collect();
    let (last, full) = sizes.split_last().unwrap();
    assert!(full.len() > 3 && full.iter().all(|b| (500..700).contains(b)), "{sizes:?}");
    assert!(*last < 500);
    world.catalog.unhold(Point::WriteSegment);
    process.flush().await;
    assert_eq!(process.live().len(), 80);
}

#[tokio::test]
async fn rows_are_written_ascending_by_row_id() {
    let world = World::new();
    let process = world.open().await;
    // Ids are taken before the request is queued, so they arrive out of order, also interleaved.
    for (first, keys) in [(900, vec![2, 4]), (100, vec![6, 8, 10]), (500, vec![12])] {
        let part = InsertPart { group: group(1, 0), rows: rows(first, &keys) };
        let write = Write { collection: COLLECTION, schema: schema(), deletes: vec![], inserts: vec![part] };
        process.ingest.write(write).await.unwrap();
    }
    let sealed = process.flush().await;
    assert_eq!(world.catalog.contents.lock().order[&sealed[0]], [100, 101, 102, 500, 900, 901]);
    for (first, keys) in [(10, vec![2, 4, 6]), (11, vec![8]), (9, vec![10])] {
        let part = InsertPart { group: group(1, 0), rows: rows(first, &keys) };
        let write = Write { collection: COLLECTION, schema: schema(), deletes: vec![], inserts: vec![part] };
        process.ingest.write(write).await.unwrap();
    }
    let sealed = process.flush().await;
    assert_eq!(world.catalog.contents.lock().order[&sealed[0]], [9, 10, 11, 11, 12]);
}

#[tokio::test]
async fn a_segment_that_cant_be_flushed_stays_sealed_and_is_tried_again() {
    let world = World::new();
    let process = world.open().await;
    let expected = process.insert(1, &[2]).await.unwrap();
    for point in [Point::WriteSegment, Point::CommitFlush, Point::FlushCommitted] {
        world.catalog.refuse(point, ErrorKind::Transient);
    }
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    let mut pauses = Vec::new();
    for failures in 1..=3 {
        let mut changes = process.ingest.changes();
        while process.ingest.unflushed()[0].flush.failures < failures {
            changes.changed().await.unwrap();
        }
        let info = process.ingest.unflushed().remove(0);
        assert_eq!((info.state, info.flush.failures), (SegmentState::Sealed, failures));
        assert!(info.flush.last_error.unwrap().starts_with("refused at"));
        assert!(matches!(process.ingest.health(), Health::FlushFailing { segments, .. } if segments == sealed));
        assert_eq!(process.live().into_iter().collect::<Vec<_>>(), expected);
        let now = crate::clock::Clock::now_ms(world.clock.as_ref());
        process.ingest.tick().await.unwrap();
        assert_eq!(process.ingest.unflushed()[0].flush.failures, failures, "not before its time");
        pauses.push(info.flush.retry_at_ms - now);
        world.clock.advance(Duration::from_millis(info.flush.retry_at_ms - now));
        process.ingest.tick().await.unwrap();
    }
    assert_eq!(pauses, [1_000, 2_000, 4_000]);
    process.ingest.wait_flushed(&sealed).await.unwrap();
    assert_eq!(process.ingest.health(), Health::Healthy);
    assert_eq!(process.live().into_iter().collect::<Vec<_>>(), expected, "committed twice, there once");
    assert_eq!(process.ingest.stats().flush_failures, 3);
}

#[tokio::test]
async fn rules_that_depend_on_time_are_looked_at_on_a_tick() {
    let mut world = World::new();
    world.config.max_life = Duration::from_secs(100);
    world.config.delta_max_age = Duration::from_secs(200);
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    process.delete(None, &[4]).await.unwrap();
    process.ingest.tick().await.unwrap();
    assert_eq!(process.ingest.unflushed()[0].state, SegmentState::Growing);
    world.clock.advance(Duration::from_secs(101));
    process.ingest.tick().await.unwrap();
    let info = process.ingest.unflushed();
    if let Some(info) = info.first() {
        assert_eq!(info.sealed.as_ref().unwrap().code(), "age");
        process.ingest.wait_flushed(&[info.id]).await.unwrap();
    }
    assert_eq!(process.ingest.stats().flushes, 1);
    assert_eq!(process.ingest.stats().pending_deletes, 1);
    let mut changes = process.ingest.changes();
    world.clock.advance(Duration::from_secs(100));
    process.ingest.tick().await.unwrap();
    while process.ingest.stats().pending_deletes > 0 {
        changes.changed().await.unwrap();
    }
    assert_eq!(world.catalog.contents.lock().delta_batches.len(), 1);
}

#[tokio::test]
async fn a_dropped_partition_takes_its_rows_along() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    process.insert(2, &[4]).await.unwrap();
    process.delete(Some(2), &[6]).await.unwrap();
    let gate = world.catalog.hold(Point::CommitFlush);
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    gate.arrived().await;
    gate.arrived().await;
    world.catalog.contents.lock().partitions.remove(&PartitionId(2));
    process.ingest.forget_partition(COLLECTION, PartitionId(2)).await.unwrap();
    assert_eq!(process.ingest.unflushed().len(), 1, "also while it is being flushed");
    assert_eq!(process.ingest.stats().pending_deletes, 0);
    world.catalog.unhold(Point::CommitFlush);
    process.ingest.wait_flushed(&sealed).await.unwrap();
    assert_eq!(process.live_keys(), [2]);
    assert_eq!(process.ingest.stats().memory_bytes, 0);
}

#[tokio::test]
async fn a_dropped_collection_takes_its_rows_along_and_wakes_waiters() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 3]).await.unwrap();
    process.delete(None, &[2, 3]).await.unwrap();
    let segments: Vec<_> = process.ingest.unflushed().iter().map(|s| s.id).collect();
    let ingest = process.ingest.clone();
    let waiting = tokio::spawn(async move { ingest.wait_flushed(&segments).await });
    process.ingest.forget_collection(COLLECTION).await.unwrap();
    waiting.await.unwrap().unwrap();
    let stats = process.ingest.stats();
    assert_eq!((stats.memory_bytes, stats.pending_deletes, stats.unflushed_segments), (0, 0, 0));
}

#[tokio::test]
async fn a_flush_into_a_collection_that_is_gone_discards_the_segment() {
    let world = World::new();
    let process = world.open().await;
    process.insert(2, &[2]).await.unwrap();
    world.catalog.contents.lock().partitions.remove(&PartitionId(2));
    process.flush().await;
    assert_eq!((process.live().len(), process.ingest.health()), (0, Health::Healthy));
}

/// Rows are forgotten only if the catalog itself says that they were dropped; an error of any kind keeps them.
#[rstest::rstest]
#[tokio::test]
async fn no_error_of_the_catalog_costs_acknowledged_rows(
    #[values(ErrorKind::NotFound, ErrorKind::Corrupt, ErrorKind::Precondition, ErrorKind::Conflict)] kind: ErrorKind,
    #[values(Point::WriteSegment, Point::CommitFlush)] point: Point,
) {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    world.catalog.refuse(point, kind);
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    let mut changes = process.ingest.changes();
    while process.ingest.stats().flush_failures == 0 {
        changes.changed().await.unwrap();
    }
    assert_eq!((process.live_keys(), process.ingest.is_flushed(sealed[0])), (vec![2], false));
    world.clock.advance(Duration::from_secs(1));
    process.ingest.tick().await.unwrap();
    process.ingest.wait_flushed(&sealed).await.unwrap();
    assert_eq!((process.live_keys(), process.ingest.health()), (vec![2], Health::Healthy));
}

#[tokio::test]
async fn the_log_shrinks_once_everything_is_flushed() {
    let world = World::new();
    let process = world.open().await;
    for n in 0..40 {
        process.insert(1, &[n]).await.unwrap();
    }
    process.delete(None, &[1]).await.unwrap();
    let before = process.ingest.stats();
    assert!(before.wal_files > 5, "{before:?}");
    process.flush().await;
    process.ingest.tick().await.unwrap();
    assert!(process.ingest.stats().wal_files <= 3, "only the waiting delete keeps the newest files");
    process.ingest.flush_deltas(COLLECTION).await.unwrap();
    process.ingest.tick().await.unwrap();
    let after = process.ingest.stats();
    assert!(after.wal_files <= 2 && after.wal_bytes < before.wal_bytes / 4, "{after:?}");
    let mut expected: Vec<i64> = (0..40).filter(|k| *k != 1).collect();
    expected.sort_unstable();
    assert_eq!(process.live_keys(), expected);
}

#[tokio::test]
async fn a_snapshot_taken_before_the_list_sees_every_row_once() {
    let world = World::new();
    let process = world.open().await;
    let expected: std::collections::BTreeSet<_> = process.insert(1, &[2, 4]).await.unwrap().into_iter().collect();
    let (commit, answer) = (world.catalog.hold(Point::CommitFlush), world.catalog.hold(Point::FlushCommitted));
    let before = process.ingest.snapshot(COLLECTION);
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    commit.arrived().await;
    let written = process.ingest.snapshot(COLLECTION);
    commit.release();
    answer.arrived().await;
    let committed = process.ingest.snapshot(COLLECTION);
    assert_eq!(committed.segments.len(), 1, "it stays until the catalog has answered");
    for snapshot in [&before, &written, &committed] {
        assert_eq!(process.live_with(snapshot), expected);
    }
    // A compaction may even have replaced it by the time the list is taken.
    world.catalog.compact(&process.ids, false);
    for snapshot in [&before, &written, &committed] {
        assert_eq!(process.live_with(snapshot), expected);
    }
    answer.release();
    process.ingest.wait_flushed(&sealed).await.unwrap();
    for snapshot in [&before, &written, &committed, &process.ingest.snapshot(COLLECTION)] {
        assert_eq!(process.live_with(snapshot), expected);
    }
}

#[tokio::test]
async fn a_panic_in_a_flush_fails_the_attempt_only() {
    struct Panics(Arc<Catalog>, std::sync::atomic::AtomicBool);
    #[async_trait::async_trait]
    impl SegmentWriter for Panics {
        async fn write(&self, rows: SealedRows) -> Result<FlushedSegment, FlushError> {
            assert!(self.1.swap(true, std::sync::atomic::Ordering::SeqCst), "the first attempt panics on purpose");
            self.0.write(rows).await
        }
    }
    let world = World::new();
    let writer = Arc::new(Panics(world.catalog.clone(), false.into()));
    let process = world.open_with_writer(writer).await;
    process.insert(1, &[2]).await.unwrap();
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    let mut changes = process.ingest.changes();
    while process.ingest.stats().flush_failures == 0 {
        changes.changed().await.unwrap();
    }
    world.clock.advance(Duration::from_secs(1));
    process.ingest.tick().await.unwrap();
    process.ingest.wait_flushed(&sealed).await.unwrap();
    assert_eq!(process.live_keys(), [2]);
}
