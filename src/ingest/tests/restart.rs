//! Restarts: what was acknowledged is back, what was flushed is not there twice.

use std::{collections::BTreeSet, fs};

use super::{super::*, world::*};
use crate::{
    error::{Classify, ErrorKind},
    model::{PartitionId, SegmentState, Timestamp},
};

#[tokio::test]
async fn segments_come_back_under_their_ids_and_positions_go_on() {
    let world = World::new();
    let process = world.open().await;
    assert_eq!(process.report, RecoveryReport { next: Lsn(1), ..RecoveryReport::default() });
    let mut expected: BTreeSet<_> = process.insert(1, &[1, 2, 3]).await.unwrap().into_iter().collect();
    expected.extend(process.insert(2, &[4]).await.unwrap());
    let before: Vec<_> = process.ingest.unflushed().iter().map(|s| (s.id, s.group.clone(), s.rows, s.bytes)).collect();
    process.kill().await;
    // The clock is behind, as after a repair of the machine: positions and timestamps go on all the same.
    world.clock.advance(std::time::Duration::from_secs(1));
    let process = world.open().await;
    let after: Vec<_> = process.ingest.unflushed().iter().map(|s| (s.id, s.group.clone(), s.rows, s.bytes)).collect();
    assert_eq!(after, before);
    assert_eq!((process.report.frames, process.report.rows, process.report.next), (2, 4, Lsn(3)));
    assert_eq!(process.live(), expected);
    let newest = expected.iter().map(|r| r.ts).max().unwrap();
    let more = process.insert(1, &[6]).await.unwrap();
    assert!(more[0].ts > newest);
    assert_eq!(process.ingest.unflushed().len(), 3, "it goes on growing in the same segment");
    expected.extend(more);
    process.flush().await;
    assert_eq!(process.live(), expected);
}

#[tokio::test]
async fn a_seal_that_a_client_asked_for_survives() {
    let world = World::new();
    let process = world.open().await;
    let expected = process.insert(1, &[2]).await.unwrap();
    world.catalog.hold(Point::WriteSegment);
    let sealed = process.ingest.seal(COLLECTION).await.unwrap();
    process.kill().await;
    world.catalog.unhold(Point::WriteSegment);
    let process = world.open().await;
    assert_eq!(process.report.sealed, sealed);
    process.ingest.wait_flushed(&sealed).await.unwrap();
    assert_eq!(process.live().into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn an_older_segment_of_a_group_comes_back_sealed() {
    let mut world = World::new();
    world.config.max_segment_bytes = 200;
    world.config.seal_proportion = 0.5;
    let process = world.open().await;
    let gate = world.catalog.hold(Point::WriteSegment);
    process.insert(1, &[2, 4, 6]).await.unwrap();
    process.insert(1, &[8]).await.unwrap();
    gate.arrived().await;
    let ids: Vec<_> = process.ingest.unflushed().iter().map(|s| s.id).collect();
    process.kill().await;
    let process = world.open().await;
    assert_eq!((&process.report.sealed[..], &process.report.growing[..]), (&ids[..1], &ids[1..]));
    world.catalog.unhold(Point::WriteSegment);
    process.ingest.wait_flushed(&ids[..1]).await.unwrap();
    assert_eq!(process.live_keys(), [2, 4, 6, 8]);
}

#[tokio::test]
async fn a_segment_sealed_by_age_does_not_grow_again() {
    let mut world = World::new();
    world.config.max_life = std::time::Duration::from_secs(10);
    let process = world.open().await;
    world.catalog.hold(Point::WriteSegment);
    process.insert(1, &[2]).await.unwrap();
    world.clock.advance(std::time::Duration::from_secs(10));
    process.ingest.tick().await.unwrap();
    process.insert(1, &[4]).await.unwrap();
    let ids: Vec<_> = process.ingest.unflushed().iter().map(|s| s.id).collect();
    process.kill().await;
    let process = world.open().await;
    assert_eq!((&process.report.sealed[..], &process.report.growing[..]), (&ids[..1], &ids[1..]));
    assert_eq!(process.ingest.unflushed()[0].sealed, Some(SealReason::Recovered));
}

#[tokio::test]
async fn a_waiting_delete_keeps_the_log_that_holds_it() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2, 4]).await.unwrap();
    process.flush().await;
    process.delete(None, &[2]).await.unwrap();
    for n in 10..40 {
        process.insert(1, &[n]).await.unwrap();
    }
    process.flush().await;
    process.ingest.flushes_noted().await.unwrap();
    assert_eq!(process.ingest.unflushed(), []);
    process.kill().await;
    let process = world.open().await;
    assert_eq!(process.report.pending_deletes, 1);
    assert!(!process.live_keys().contains(&2));
}

#[tokio::test]
async fn what_was_flushed_is_skipped_even_if_the_catalogue_has_forgotten_it() {
    let mut world = World::new();
    world.config.wal_file_bytes = 1 << 20;
    let process = world.open().await;
    // The one of the two that is refused keeps the log.
    let mut expected: BTreeSet<_> = process.insert(2, &[1]).await.unwrap().into_iter().collect();
    expected.extend(process.insert(1, &[2, 4]).await.unwrap());
    let gate = world.catalog.hold(Point::CommitFlush);
    process.ingest.seal(COLLECTION).await.unwrap();
    gate.arrived().await;
    gate.arrived().await;
    world.catalog.refuse(Point::CommitFlush, ErrorKind::Transient);
    gate.release();
    gate.release();
    let mut changes = process.ingest.changes();
    while process.ingest.unflushed().iter().any(|s| s.state == SegmentState::Flushing) {
        changes.changed().await.unwrap();
    }
    let left = process.ingest.unflushed();
    assert_eq!(left.len(), 1, "one of the two was refused");
    process.ingest.flushes_noted().await.unwrap();
    world.catalog.compact(&process.ids, true);
    process.kill().await;
    let process = world.open().await;
    assert_eq!(process.live(), expected);
    assert_eq!(process.report.sealed, [left[0].id]);
}

#[tokio::test]
async fn a_commit_that_the_log_did_not_note_is_noted_by_the_next_process() {
    let world = World::new();
    let process = world.open().await;
    let expected: BTreeSet<_> = process.insert(1, &[2, 4]).await.unwrap().into_iter().collect();
    let gate = world.catalog.hold(Point::FlushCommitted);
    process.ingest.seal(COLLECTION).await.unwrap();
    gate.arrived().await;
    process.kill().await;
    world.catalog.unhold(Point::FlushCommitted);
    let process = world.open().await;
    assert_eq!((process.live(), process.report.rows), (expected.clone(), 0));
    world.catalog.compact(&process.ids, true);
    process.kill().await;
    let process = world.open().await;
    assert_eq!((process.live(), process.report.rows), (expected, 0));
}

#[tokio::test]
async fn rows_of_dropped_partitions_and_collections_stay_away() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    process.insert(2, &[4]).await.unwrap();
    process.delete(Some(2), &[4]).await.unwrap();
    process.kill().await;
    world.catalog.contents.lock().partitions.remove(&PartitionId(2));
    let process = world.open().await;
    assert_eq!((process.report.rows, process.report.skipped_rows, process.report.pending_deletes), (1, 1, 0));
    process.ingest.forget_partition(COLLECTION, PartitionId(1)).await.unwrap();
    process.kill().await;
    let process = world.open().await;
    assert_eq!(process.report.rows, 0, "the log itself says that they are gone");
}

#[tokio::test]
async fn a_log_cut_at_any_byte_has_what_was_acknowledged_before() {
    let mut world = World::new();
    world.config.wal_file_bytes = 1 << 20;
    let process = world.open().await;
    let file = newest_log(&world.wal());
    let mut acknowledged: Vec<(u64, BTreeSet<Row>)> = vec![(0, BTreeSet::new())];
    let mut rows = BTreeSet::new();
    for n in 0..6 {
        rows.extend(process.insert(1 + n % 2, &[n, n + 10]).await.unwrap());
        acknowledged.push((fs::metadata(&file).unwrap().len(), rows.clone()));
        if n == 4 {
            process.delete(None, &[1]).await.unwrap();
            rows.retain(|r| r.key != 1);
            acknowledged.push((fs::metadata(&file).unwrap().len(), rows.clone()));
        }
    }
    process.kill().await;
    let whole = fs::read(&file).unwrap();
    let mut cuts: Vec<usize> = acknowledged.iter().flat_map(|(end, _)| [*end as usize, *end as usize + 1]).collect();
    cuts.extend((0..whole.len()).step_by(97));
    for cut in cuts.into_iter().filter(|c| *c <= whole.len()) {
        fs::remove_dir_all(world.wal()).unwrap();
        fs::create_dir_all(world.wal()).unwrap();
        fs::write(&file, &whole[..cut]).unwrap();
        let process = world.open().await;
        let (end, expected) = acknowledged.iter().rev().find(|(end, _)| *end <= cut as u64).unwrap();
        assert_eq!(process.report.torn.as_ref().map(|t| t.offset), (*end < cut as u64).then_some(*end), "cut at {cut}");
        assert_eq!(process.live(), *expected, "cut at {cut}");
        let more = process.insert(1, &[100]).await.unwrap();
        process.kill().await;
        let process = world.open().await;
        assert!(process.live().contains(&more[0]) && process.report.torn.is_none(), "cut at {cut}");
        process.kill().await;
    }
}

#[tokio::test]
async fn a_damaged_log_refuses_to_start_and_says_where() {
    let mut world = World::new();
    world.config.wal_file_bytes = 1 << 20;
    let process = world.open().await;
    let file = newest_log(&world.wal());
    process.insert(1, &[2]).await.unwrap();
    let first = fs::metadata(&file).unwrap().len();
    process.insert(1, &[4]).await.unwrap();
    process.insert(1, &[6]).await.unwrap();
    process.kill().await;
    let mut bytes = fs::read(&file).unwrap();
    bytes[first as usize + 100] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = world.try_open().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let text = error.to_string();
    assert!(text.contains(&format!("{} is corrupt at offset {first}", file.display())), "{text}");
    assert!(text.contains("was durable"), "{text}");
}

#[tokio::test]
async fn a_log_without_what_the_catalogue_mentions_is_refused() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    process.flush().await;
    process.kill().await;
    world.catalog.contents.lock().end_lsn = Lsn(100);
    let error = world.try_open().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("the catalogue mentions 100"), "{error}");
    // Without any log the operator has decided: begin a new one behind what the catalogue knows.
    fs::remove_dir_all(world.wal()).unwrap();
    let process = world.open().await;
    assert_eq!(process.report.next, Lsn(101));
    process.insert(1, &[4]).await.unwrap();
    assert_eq!(process.live_keys(), [2, 4]);
    assert!(process.live().iter().all(|r| Timestamp(r.ts).physical_ms() >= START_MS));
}
