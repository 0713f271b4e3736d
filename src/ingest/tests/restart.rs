//! Restarts: acknowledged rows are back, flushed ones are not there twice.

use std::{collections::BTreeSet, fs, sync::atomic::Ordering};

use super::{super::*, world::*};
use crate::{
    error::{Classify, ErrorKind},
    model::{Lsn, PartitionId, SegmentState, Timestamp},
};

#[tokio::test]
async fn segments_come_back_under_their_ids_and_positions_go_on() {
    let world = World::new();
    let process = world.open().await;
    let log = process.report.log;
    assert_eq!(process.report, RecoveryReport { next: Lsn(1), log, ..RecoveryReport::default() });
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

/// Another flush ends meanwhile, and the log shrinks.
#[tokio::test]
async fn the_log_keeps_rows_whose_flush_is_under_way() {
    let world = World::new();
    let process = world.open().await;
    let gate = world.catalog.hold(Point::WriteSegment);
    process.insert(2, &[2]).await.unwrap();
    let first = process.ingest.seal(COLLECTION).await.unwrap();
    gate.arrived().await;
    for n in 10..30 {
        process.insert(1, &[2 * n]).await.unwrap();
    }
    let second = process.ingest.seal(COLLECTION).await.unwrap();
    gate.arrived().await;
    for n in 30..50 {
        process.insert(1, &[2 * n]).await.unwrap();
    }
    let (expected, files) = (process.live(), process.ingest.stats().wal_files);
    gate.release();
    process.ingest.wait_flushed(&first).await.unwrap();
    process.ingest.tick().await.unwrap();
    assert!(files > 5, "{files}");
    process.kill().await;
    world.catalog.unhold(Point::WriteSegment);
    let process = world.open().await;
    assert_eq!((process.report.rows, process.live()), (40, expected));
    assert!(second.contains(&process.report.sealed[0]), "{:?}", process.report.sealed);
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
async fn a_log_file_whose_removal_failed_after_it_was_done_is_not_missed() {
    let mut world = World::new();
    // Each write begins a file.
    world.config.wal_file_bytes = 1;
    let process = world.open().await;
    process.insert(1, &[1]).await.unwrap();
    process.faults.fail_removed.store(true, Ordering::SeqCst);
    process.flush().await;
    while process.faults.removals.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    process.insert(1, &[2]).await.unwrap();
    process.kill().await;
    let process = world.open().await;
    assert_eq!(process.live_keys(), [1, 2]);
}

#[tokio::test]
async fn flushed_rows_are_skipped_even_if_the_catalog_has_forgotten_their_segment() {
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
async fn a_log_cut_at_any_byte_has_the_rows_acknowledged_before() {
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
        // The catalog has not been told yet.
        world.catalog.contents.lock().log = KnownLog::default();
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
async fn a_log_without_positions_that_the_catalog_mentions_is_refused() {
    let mut world = World::new();
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    process.flush().await;
    process.kill().await;
    world.catalog.contents.lock().end_lsn = Lsn(100);
    let error = world.try_open().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("the catalog mentions 100"), "{error}");
    // An operator may accept the loss: then a new one begins behind the positions that the catalog knows.
    world.config.accept_lost_log = world.catalog.contents.lock().log.noted.map(|log| log.id);
    let process = world.open().await;
    assert_eq!(process.report.next, Lsn(101));
    process.insert(1, &[4]).await.unwrap();
    assert_eq!(process.live_keys(), [2, 4]);
    assert!(process.live().iter().all(|r| Timestamp(r.ts).physical_ms() >= START_MS));
}

/// Damage to the folder of the log while no process ran.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Folder,
    EveryFile,
    Oldest,
    Middle,
    Newest,
    Name,
    /// The folder of a moment before the last start.
    OlderCopy,
    /// That of another catalog.
    Foreign,
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|e| e.unwrap()) {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn logs(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|e| e == "log"));
    files.sort();
    files
}

/// Acknowledged rows that are in the log alone are never silently absent. If any part of the log is missing, the start is
/// refused, changes nothing, and says what to do.
#[rstest::rstest]
#[tokio::test]
async fn a_log_that_is_not_all_there_is_refused(
    #[values(
        Loss::Folder,
        Loss::EveryFile,
        Loss::Oldest,
        Loss::Middle,
        Loss::Newest,
        Loss::Name,
        Loss::OlderCopy,
        Loss::Foreign
    )]
    loss: Loss,
) {
    let mut world = World::new();
    world.config.wal_file_bytes = 1;
    world.catalog.contents.lock().log.catalog = uuid::Uuid::from_u128(7);
    let process = world.open().await;
    process.insert(2, &[1]).await.unwrap();
    process.kill().await;
    let copy = world.dir.path().join("copy");
    copy_folder(&world.wal(), &copy);
    let process = world.open().await;
    for key in 2..8 {
        process.insert(1, &[key]).await.unwrap();
    }
    let expected = process.live();
    process.kill().await;

    let (wal, kept) = (world.wal(), world.dir.path().join("kept"));
    copy_folder(&wal, &kept);
    let files = logs(&wal);
    assert!(files.len() > 5);
    match loss {
        Loss::Folder => fs::remove_dir_all(&wal).unwrap(),
        Loss::EveryFile => files.iter().for_each(|file| fs::remove_file(file).unwrap()),
        Loss::Oldest => fs::remove_file(&files[0]).unwrap(),
        Loss::Middle => fs::remove_file(&files[2]).unwrap(),
        Loss::Newest => fs::remove_file(&files[files.len() - 1]).unwrap(),
        Loss::Name => fs::remove_file(wal.join("identity")).unwrap(),
        Loss::OlderCopy => {
            fs::remove_dir_all(&wal).unwrap();
            copy_folder(&copy, &wal);
        }
        Loss::Foreign => {
            let other = World::new();
            other.open().await.kill().await;
            fs::remove_dir_all(&wal).unwrap();
            copy_folder(&other.wal(), &wal);
        }
    }
    let before = wal.exists().then(|| logs(&wal));
    let error = world.try_open().await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let (text, name) = (error.to_string(), world.catalog.contents.lock().log.noted.unwrap().id);
    assert!(text.contains(&wal.display().to_string()), "{text}");
    if !matches!(loss, Loss::Middle) {
        assert!(text.contains(&format!("datacoord.wal.acceptLoss to {name}")), "{text}");
    }
    assert_eq!(wal.exists().then(|| logs(&wal)), before, "nothing was changed");

    // Put back, everything is there.
    if wal.exists() {
        fs::remove_dir_all(&wal).unwrap();
    }
    copy_folder(&kept, &wal);
    let process = world.open().await;
    assert_eq!(process.live(), expected);
}

/// The loss is accepted by name, so that the setting may stay where it is: the next log has another one.
#[tokio::test]
async fn an_accepted_loss_is_one_of_one_log() {
    let mut world = World::new();
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    process.flush().await;
    process.insert(1, &[4]).await.unwrap();
    process.kill().await;
    let lost = world.catalog.contents.lock().log.noted.unwrap().id;
    world.config.accept_lost_log = Some(uuid::Uuid::from_u128(5));
    fs::remove_dir_all(world.wal()).unwrap();
    assert!(world.try_open().await.is_err(), "another one was named");

    world.config.accept_lost_log = Some(lost);
    let process = world.open().await;
    assert_eq!(process.live_keys(), [2], "what was flushed is there");
    process.insert(1, &[6]).await.unwrap();
    process.kill().await;
    let process = world.open().await;
    assert_eq!(process.live_keys(), [2, 6], "a log that is there is not given up");
    process.kill().await;
    fs::remove_dir_all(world.wal()).unwrap();
    assert!(world.try_open().await.is_err(), "the loss of the new one was not accepted");
}

/// The rest of a log that is given up is kept.
#[tokio::test]
async fn a_damaged_log_that_is_given_up_is_set_aside() {
    let mut world = World::new();
    world.config.wal_file_bytes = 1;
    let process = world.open().await;
    for key in 1..6 {
        process.insert(1, &[key]).await.unwrap();
    }
    process.kill().await;
    let files = logs(&world.wal());
    fs::write(&files[1], b"no frame").unwrap();
    assert!(world.try_open().await.is_err());
    world.config.accept_lost_log = world.catalog.contents.lock().log.noted.map(|log| log.id);
    let process = world.open().await;
    assert!(process.live().is_empty());
    let aside = format!("wal.before-{}", process.report.log.id);
    assert_eq!(logs(&world.dir.path().join(aside)).len(), files.len());
}

/// Data directories of releases that gave logs no name.
#[tokio::test]
async fn a_log_without_a_name_is_given_one_if_no_catalog_knows_better() {
    let world = World::new();
    let process = world.open().await;
    process.insert(1, &[2]).await.unwrap();
    process.kill().await;
    fs::remove_file(world.wal().join("identity")).unwrap();
    world.catalog.contents.lock().log = KnownLog { had_log: true, ..KnownLog::default() };
    let process = world.open().await;
    assert_eq!(process.live_keys(), [2]);
    let named = process.report.log;
    process.kill().await;
    let process = world.open().await;
    assert_eq!((process.live_keys(), process.report.log.id), (vec![2], named.id));
    process.kill().await;
    // The same without its log: there was one.
    fs::remove_dir_all(world.wal()).unwrap();
    world.catalog.contents.lock().log = KnownLog { had_log: true, ..KnownLog::default() };
    let text = world.try_open().await.err().unwrap().to_string();
    assert!(text.contains("there is none"), "{text}");
}

/// A process that ends after it has named the log and before the catalog was told.
#[tokio::test]
async fn a_name_that_the_catalog_was_not_told_is_kept() {
    let world = World::new();
    let process = world.open().await;
    let named = process.report.log;
    process.kill().await;
    world.catalog.contents.lock().log = KnownLog::default();
    let process = world.open().await;
    assert_eq!(process.report.log.id, named.id);
}
