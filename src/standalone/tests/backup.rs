//! Backups of a process that goes on, and processes that start over restored ones.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering::SeqCst},
    },
};

use arrow_array::{cast::AsArray, types::Int64Type};
use bytes::{Bytes, BytesMut};

use super::{super::*, World, rows};
use crate::{
    coordinator::CollectionCell,
    error::{Classify, ErrorKind},
    kit::filters::compile,
    model::{FieldId, Lsn},
    storage::LogPath,
};

async fn parts(mut backup: Backup) -> Vec<BackupPart> {
    let mut parts = Vec::new();
    while let Some(part) = backup.next_part().await.unwrap() {
        parts.push(part);
    }
    parts
}

/// The process that starts over a restored backup.
async fn restored(parts: &[BackupPart]) -> World {
    let directory = tempfile::tempdir().unwrap();
    let mut config = crate::config::Config::default();
    config.server.data_dir = directory.path().to_owned();
    config.compaction.auto_enabled = false;
    config.gc.enabled = false;
    let mut restoring = RestoredStore::begin(&config, true).await.unwrap();
    let mut records = BytesMut::new();
    let mut log: Vec<(Lsn, BytesMut)> = Vec::new();
    let mut objects: Vec<(LogPath, BytesMut)> = Vec::new();
    for part in parts {
        match part {
            BackupPart::Records(bytes) => records.extend_from_slice(bytes),
            BackupPart::Log { first, at, file_bytes, bytes } => {
                if *at == 0 {
                    log.push((*first, BytesMut::new()));
                }
                let file = &mut log.last_mut().unwrap().1;
                file.extend_from_slice(bytes);
                assert!(file.len() as u64 <= *file_bytes);
            }
            BackupPart::Object { object, at, bytes } => {
                if *at == 0 {
                    objects.push((object.path, BytesMut::new()));
                }
                objects.last_mut().unwrap().1.extend_from_slice(bytes);
            }
        }
    }
    let records = records.freeze();
    assert_eq!(restoring.add_records(&records).await.unwrap(), records.len());
    for (first, bytes) in log {
        restoring.add_log(first, &bytes[..]).unwrap();
    }
    for (path, bytes) in objects {
        restoring.add_object(&path, bytes.freeze()).await.unwrap();
    }
    restoring.finish().await.unwrap();
    World::start(Arc::new(directory), Arc::new(config)).await.unwrap()
}

fn found(world: &World, name: &str) -> Arc<CollectionCell> {
    world.standalone.resolve(CollectionName::new("", name)).unwrap()
}

async fn keys(world: &World, name: &str) -> BTreeSet<i64> {
    let cell = found(world, name);
    let request = ReadRequest {
        rows: Rows::matching(compile("", &cell.meta().schema).unwrap()),
        fields: vec![FieldId(100)],
        limit: None,
        offset: 0,
    };
    let batch = world.standalone.query(&cell, request).await.unwrap().rows;
    let keys = batch.column(0).as_primitive::<Int64Type>().values().to_vec();
    let found: BTreeSet<i64> = keys.iter().copied().collect();
    assert_eq!(found.len(), keys.len(), "no key twice");
    found
}

#[tokio::test]
async fn a_backup_has_its_moment_and_nothing_later() {
    let world = World::new().await;
    let cell = world.collection("books").await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    world.delete(&cell, 0..3).await;
    world.standalone.insert(&cell, "", rows(20..25)).await.unwrap();
    let backup = world.standalone.backup(true).await.unwrap();
    assert_eq!(backup.segments(), 2);

    world.standalone.insert(&cell, "", rows(30..35)).await.unwrap();
    world.delete(&cell, 10..12).await;
    world.standalone.flush(&cell).await.unwrap();
    let job = world.compact(&cell).await;
    world.ended(job).await;
    world.collection("later").await;

    let parts = parts(backup).await;
    let again = restored(&parts).await;
    assert_eq!(keys(&again, "books").await, (3..25).collect());
    assert!(again.standalone.resolve(CollectionName::new("", "later")).is_err());
    // It is a process like any other: it writes, flushes, compacts and starts again.
    let cell = found(&again, "books");
    again.segment(&cell, 100..110).await;
    let job = again.compact(&cell).await;
    again.ended(job).await;
    let again = again.restarted().await;
    assert_eq!(keys(&again, "books").await, (3..25).chain(100..110).collect());
    assert_eq!(keys(&world, "books").await, (3..10).chain(12..25).chain(30..35).collect(), "the original went on");
}

/// The keys after the first so many writes of the test below.
fn after(writes: i64) -> BTreeSet<i64> {
    (0..writes).filter(|key| !(key % 3 == 0 && *key + 2 < writes)).collect()
}

/// One client writes rows one by one, and each second write after a third row deletes that one. Flushes and compactions run
/// beside it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_backup_among_writes_flushes_and_compactions_is_one_moment() {
    let world = Arc::new(World::new().await);
    let cell = world.collection("books").await;
    let (acknowledged, over) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicBool::new(false)));
    let writing = {
        let (world, cell, acknowledged, over) =
            (Arc::clone(&world), Arc::clone(&cell), Arc::clone(&acknowledged), Arc::clone(&over));
        tokio::spawn(async move {
            for key in 0.. {
                world.standalone.insert(&cell, "", rows(key..key + 1)).await.unwrap();
                // Counted between the two: both states are allowed.
                if key >= 2 && (key - 2) % 3 == 0 {
                    world.delete(&cell, key - 2..key - 1).await;
                }
                acknowledged.store(key + 1, SeqCst);
                if over.load(SeqCst) {
                    return;
                }
            }
        })
    };
    let flushing = {
        let (world, cell, over) = (Arc::clone(&world), Arc::clone(&cell), Arc::clone(&over));
        tokio::spawn(async move {
            while !over.load(SeqCst) {
                world.standalone.flush(&cell).await.unwrap();
                let job = world.compact(&cell).await;
                world.ended(job).await;
            }
        })
    };
    for _ in 0..8 {
        let before = acknowledged.load(SeqCst);
        let backup = world.standalone.backup(true).await.unwrap();
        let most = acknowledged.load(SeqCst) + 1;
        let again = restored(&parts(backup).await).await;
        let held = keys(&again, "books").await;
        // The row and its delete are two writes, so the last delete may be missing.
        let is_one = |writes: i64| {
            let mut without_delete = after(writes);
            if writes >= 3 && (writes - 3) % 3 == 0 {
                without_delete.insert(writes - 3);
            }
            held == after(writes) || held == without_delete
        };
        assert!((before..=most).any(is_one), "{before} to {most}: {held:?}");
    }
    over.store(true, SeqCst);
    writing.await.unwrap();
    flushing.await.unwrap();
}

#[tokio::test]
async fn what_a_backup_names_stays_until_it_is_over_and_there_is_one_at_a_time() {
    let world = World::with(|config| config.gc.drop_tolerance = std::time::Duration::ZERO).await;
    let cell = world.collection("books").await;
    world.segment(&cell, 0..10).await;
    world.segment(&cell, 10..20).await;
    let backup = world.standalone.backup(true).await.unwrap();
    let refused = world.standalone.backup(false).await.err().unwrap();
    assert!(refused.to_string().contains("another backup is under way"), "{refused}");

    let before = world.objects();
    let job = world.compact(&cell).await;
    world.ended(job).await;
    assert_eq!(world.coordinator.collect_garbage().await.unwrap().segments, 0);
    assert!(before.iter().filter(|name| name.contains("_log/")).all(|name| world.objects().contains(name)));
    assert_eq!(keys(&restored(&parts(backup).await).await, "books").await, (0..20).collect());

    assert_eq!(world.coordinator.collect_garbage().await.unwrap().segments, 2, "it is over");
    let named = parts(world.standalone.backup(false).await.unwrap()).await;
    let objects: Vec<&BackupPart> = named.iter().filter(|part| matches!(part, BackupPart::Object { .. })).collect();
    assert!(!objects.is_empty());
    assert!(objects.iter().all(|part| matches!(part, BackupPart::Object { bytes, .. } if bytes.is_empty())));
}

#[tokio::test]
async fn a_backup_is_restored_into_nothing_else() {
    let world = World::new().await;
    let (directory, config) = world.stopped().await;
    let refused = RestoredStore::begin(&config, true).await.unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty { .. }), "{refused}");
    assert_eq!(refused.kind(), ErrorKind::Precondition);
    // An empty data directory beside a store that is somebody's.
    let mut config = (*config).clone();
    config.storage.kind = crate::config::StorageKind::Local { root: Some(directory.path().join("files")) };
    config.server.data_dir = directory.path().join("new");
    let refused = RestoredStore::begin(&config, true).await.unwrap_err();
    assert!(refused.to_string().contains("localStorage.path"), "{refused}");
    assert!(!config.server.data_dir.join("meta.redb").exists());
    // One that was begun and not finished starts no server.
    config.storage.kind = crate::config::StorageKind::Local { root: None };
    let begun = RestoredStore::begin(&config, true).await.unwrap();
    begun.add_records(&Bytes::new()).await.unwrap();
    drop(begun);
    assert!(RestoredStore::begin(&config, true).await.is_err());
}
