//! A store that fails or hangs: the process reports it, goes on accepting writes, and can be stopped.

use std::{sync::Arc, time::Duration};

use datacoord::{
    clock::ManualClock,
    config::Config,
    coordinator::Condition,
    storage::{SegmentStore, StorageError},
};

use crate::{
    kit::{gate::Gate, within},
    world::Process,
};

const BOOK: &str = "book";

struct World {
    _dir: tempfile::TempDir,
    gate: Arc<Gate>,
    process: Process,
}

async fn world(change: impl FnOnce(&mut Config)) -> World {
    let dir = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.server.data_dir = dir.path().to_owned();
    config.storage.retry_backoff = Duration::ZERO;
    config.compaction.auto_enabled = false;
    config.gc.enabled = false;
    change(&mut config);
    let gate = Gate::new(SegmentStore::in_memory().backend());
    let store = SegmentStore::with_backend(gate.clone(), &config.storage);
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let process = Process::start(config, clock, store).await.unwrap();
    process.create(BOOK, &[]).await;
    World { _dir: dir, gate, process }
}

#[tokio::test]
async fn a_failing_store_degrades_the_process_and_writes_go_on() {
    let World { _dir, gate, process } = world(|_| ()).await;
    process.segment(BOOK, 0..10).await;
    assert_eq!(process.standalone.health().condition(), Condition::Alive);
    gate.refuse(None, "", |object| StorageError::Unavailable {
        operation: "call",
        object,
        what: "connection refused".to_owned(),
    });
    process.insert(BOOK, 10..20).await;
    // A round of garbage collection notices it.
    process.coordinator.collect_garbage().await.unwrap_err();
    let health = process.standalone.health();
    assert_eq!((health.condition(), health.takes_calls()), (Condition::Degraded, true), "{health:?}");
    let reasons = health.reasons().join("\n");
    assert!(reasons.contains("connection refused") && reasons.contains("writes are accepted"), "{reasons}");
    process.insert(BOOK, 20..30).await;
    gate.heal();
    process.flush(BOOK).await;
    assert_eq!(process.standalone.health().condition(), Condition::Alive);
    assert_eq!(process.keys(BOOK).await, (0..30).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn shutdown_does_not_wait_for_a_hanging_store() {
    let World { _dir, gate, process } = world(|config| {
        config.gc.enabled = true;
        config.gc.interval = Duration::from_millis(1);
    })
    .await;
    gate.hold(None, "");
    gate.arrival().await;
    within("the end of the process", process.stop()).await;
}
