//! Objects larger than the memory limit: read window by window, and never whole.

use std::{ops::Range, sync::atomic::Ordering::SeqCst};

use super::{merges::stats_hold, *};
use crate::{
    config::StorageConfig,
    error::Classify,
    kit::gate::{Fault, Gate, Operation},
};

/// Rows of one batch: its vectors are an object of more than 64 KiB, the least that is read in windows.
const ROWS: i64 = 12_000;

/// Two segments of one large batch each, every seventh key of the first one deleted; row ids of the two alternate, if asked.
pub(super) async fn world(interleaved: bool) -> (World, Vec<Row>) {
    let mut world = World::new(DataType::Int64);
    world.worker.memory_limit_bytes = 256 << 10;
    world.binlog.max_bytes = 128 << 10;
    let mut expected = Vec::new();
    for segment in 0..2 {
        let id = |n: i64| if interleaved { 2 * n + segment } else { segment * ROWS + n };
        let rows: Vec<Row> = (0..ROWS).map(|n| int(id(n), segment * ROWS + n, 100)).collect();
        let gone = |row: &Row| segment == 0 && matches!(row.key, PrimaryKey::Int(key) if key % 7 == 0);
        let deletes = (0..ROWS).filter(|key| segment == 0 && key % 7 == 0).map(|key| delete(key, 200)).collect();
        world
            .segment(segment + 1, std::slice::from_ref(&rows), &if segment == 0 { vec![deletes] } else { vec![] })
            .await;
        expected.extend(rows.into_iter().filter(|row| !gone(row)));
    }
    expected.sort_by_key(|row| row.id);
    (world, expected)
}

async fn rows(world: &World, outcome: &CompactionOutcome) -> Vec<Row> {
    let mut all = Vec::new();
    for output in &outcome.outputs {
        all.extend(world.read(output).await.concat());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_surviving_row_arrives() {
    for interleaved in [false, true] {
        let (world, expected) = world(interleaved).await;
        let objects = world.objects().await.len() as u64;
        let before = world.store.counters().get.requests.load(SeqCst);
        let outcome = world.run().await.unwrap();
        let requests = world.store.counters().get.requests.load(SeqCst) - before;
        assert!(requests > 4 * objects, "{requests} requests for {objects} objects: not in windows");
        let mut found = rows(&world, &outcome).await;
        assert_eq!(outcome.rows_out, expected.len() as u64);
        if interleaved {
            // Pieces follow each other, but two batches that overlap are only put in order inside of a piece.
            found.sort_by_key(|row| row.id);
        }
        assert!(found == expected, "rows differ, interleaved: {interleaved}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_to_be_copied_is_cut() {
    let (mut world, expected) = world(false).await;
    // The second segment alone, of which no row is deleted.
    world.inputs.remove(0);
    let outcome = world.run().await.unwrap();
    let [output] = outcome.outputs.as_slice() else { panic!("{outcome:?}") };
    let binlogs = world.read(output).await;
    assert!(binlogs.len() > 1, "one binlog of {} rows", binlogs[0].len());
    assert!(binlogs.concat() == expected.into_iter().filter(|row| row.id >= ROWS).collect::<Vec<_>>());
}

/// A copied column is never in memory: its size is limited as configured, and not by the memory limit.
#[rstest::rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_beyond_the_memory_limit_is_copied_as_it_is(#[values(false, true)] local: bool) {
    let dir = tempfile::tempdir().unwrap();
    let mut world = World::new(DataType::Int64);
    if local {
        world.store = SegmentStore::open(&StorageConfig::default(), dir.path()).unwrap();
    }
    world.worker.memory_limit_bytes = 256 << 10;
    let batch = |from: i64| (from..from + 70_000).map(|n| int(n, n, 100)).collect::<Vec<_>>();
    world.segment(1, &[batch(0), batch(70_000)], &[]).await;
    let vectors = &world.inputs[0].logs.field(FieldId(100))[0];
    assert!(vectors.bytes > 1 << 20, "{} bytes are too few to be moved by the store", vectors.bytes);

    let read = || world.store.counters().get.bytes.load(SeqCst);
    let before = read();
    let outcome = world.run().await.unwrap();
    let held = read() - before;
    assert!(held < world.inputs[0].segment.insert_bytes, "{held} bytes were read: vectors too");
    assert!(outcome.bytes_read > world.inputs[0].segment.insert_bytes, "what the store moves is read as well");
    let [output] = outcome.outputs.as_slice() else { panic!("{outcome:?}") };
    for field in world.schema.stored_fields() {
        let logs = |logs: &SegmentLogs| logs.field(field.id).iter().map(|file| file.bytes).collect::<Vec<_>>();
        assert_eq!(logs(&output.logs), logs(&world.inputs[0].logs), "field {}", field.id);
    }
    assert!(world.read(output).await == [batch(0), batch(70_000)], "rows differ");
    assert!(stats_hold(&world, output, &batch(0)).await);
}

/// A store that stops answering, at any request, is no reason to give a plan up for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_answer_is_not_a_damaged_object() {
    let (mut world, _) = world(false).await;
    let (inner, objects) = (world.store.backend(), world.objects().await);
    for nth in [1, 2, 3, 5, 8, 13, 21, 34] {
        let backend = Gate::new(inner.clone());
        let config = StorageConfig { retry_backoff: Duration::ZERO, ..Default::default() };
        world.store = SegmentStore::with_backend(backend.clone(), &config);
        backend.fail_from(Some(Operation::Get), nth, Fault::Unavailable);
        let error = world.run().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Transient, "request {nth}: {error}");
        backend.heal();
        assert_eq!(world.objects().await, objects, "nothing is left behind");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_ends_early_is_named() {
    let (mut world, _) = world(false).await;
    let file = world.inputs[0].logs.insert.iter().find(|(field, _)| field.0 == 100).unwrap().1[0].clone();
    let path = LogPath::insert(world.ids(SegmentId(1)), FieldId(100), file.id);
    let mut bytes = world.store.get(&path).await.unwrap().to_vec();
    bytes.truncate(bytes.len() / 2);
    world.store.put(&path, bytes.into()).await.unwrap();
    world.worker.memory_limit_bytes = 128 << 10;
    let error = world.run().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&path.to_string()), "{error}");
}

/// A column in two events: we read it, stock readers do not, so it is written anew, and the batch is cut for that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_column_that_must_not_be_copied_is_cut_to_fit_the_memory() {
    /// Header of an event and the two timestamps in front of its payload, and where the header has the end of the event.
    const EVENT_BYTES: usize = 33;
    const NEXT: Range<usize> = 13..17;
    let mut world = World::new(DataType::Int64);
    world.worker.memory_limit_bytes = 256 << 10;
    let batch = |from: i64| (from..from + 70_000).map(|n| int(n, n, 100)).collect::<Vec<_>>();
    let all = [batch(0), batch(70_000)].concat();
    world.segment(1, std::slice::from_ref(&all), &[]).await;
    world.segment(2, &[batch(0), batch(70_000)], &[]).await;
    let halves = world.inputs.remove(1).logs;
    let (field, _) = halves.insert.iter().max_by_key(|(_, files)| files[0].bytes).unwrap();
    let mut joined = Vec::new();
    for half in halves.field(*field) {
        let bytes = world.store.get(&LogPath::insert(world.ids(SegmentId(2)), *field, half.id)).await.unwrap();
        let payload = InsertLog::open(bytes.clone()).unwrap().readdress(world.ids(SegmentId(1)), 1).unwrap().payload;
        let event = payload.start as usize - EVENT_BYTES;
        if joined.is_empty() {
            joined.extend_from_slice(&bytes[..event]);
        }
        let at = joined.len();
        joined.extend_from_slice(&bytes[event..]);
        let next = (joined.len() as i32).to_le_bytes();
        joined[at + NEXT.start..at + NEXT.end].copy_from_slice(&next);
    }
    assert!(joined.len() > 1 << 20, "{} bytes are not large", joined.len());
    let ids = world.ids(SegmentId(1));
    let (_, files) = world.inputs[0].logs.insert.iter_mut().find(|(id, _)| id == field).unwrap();
    (files[0].bytes, files[0].checksum) = (joined.len() as u64, None);
    world.store.put(&LogPath::insert(ids, *field, files[0].id), joined.into()).await.unwrap();

    let outcome = world.run().await.unwrap();
    let [output] = outcome.outputs.as_slice() else { panic!("{outcome:?}") };
    let binlogs = world.read(output).await;
    assert!(binlogs.len() > 2, "{} binlogs", binlogs.len());
    assert!(binlogs.concat() == all, "rows differ");
}
