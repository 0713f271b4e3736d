//! A store that is away: what the process says of itself, what goes on, and that nothing keeps it from stopping.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use datacoord::{
    clock::ManualClock,
    config::Config,
    coordinator::Condition,
    storage::{Backend, Listed, Object, SegmentStore, StorageError},
};
use futures::{StreamExt, stream::BoxStream};
use tokio::sync::Notify;

use super::world::{Process, within};

const BOOK: &str = "book";

/// How requests end.
#[derive(Debug, Default)]
struct Weather {
    fails: AtomicBool,
    hangs: AtomicBool,
    /// A request hangs.
    arrived: Notify,
}

#[derive(Debug)]
struct Stormy {
    inner: Arc<dyn Backend>,
    weather: Arc<Weather>,
}

impl Stormy {
    async fn pass(&self, name: &str) -> Result<(), StorageError> {
        if self.weather.hangs.load(Ordering::SeqCst) {
            self.weather.arrived.notify_one();
            std::future::pending::<()>().await;
        }
        if self.weather.fails.load(Ordering::SeqCst) {
            let what = "connection refused".to_owned();
            return Err(StorageError::Unavailable { operation: "call", object: name.to_owned(), what });
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Stormy {
    async fn get(&self, name: &str) -> Result<Bytes, StorageError> {
        self.pass(name).await?;
        self.inner.get(name).await
    }

    async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        self.pass(name).await?;
        self.inner.get_range(name, range).await
    }

    async fn size(&self, name: &str) -> Result<u64, StorageError> {
        self.pass(name).await?;
        self.inner.size(name).await
    }

    async fn put(&self, objects: &[Object]) -> Result<(), StorageError> {
        self.pass("objects").await?;
        self.inner.put(objects).await
    }

    fn batch(&self) -> usize {
        self.inner.batch()
    }

    async fn copy(&self, from: &str, to: &str) -> Result<(), StorageError> {
        self.pass(from).await?;
        self.inner.copy(from, to).await
    }

    async fn delete(&self, name: &str) -> Result<(), StorageError> {
        self.pass(name).await?;
        self.inner.delete(name).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'static, Result<Listed, StorageError>> {
        if self.weather.hangs.load(Ordering::SeqCst) {
            self.weather.arrived.notify_one();
            return futures::stream::pending().boxed();
        }
        self.inner.list(prefix)
    }

    async fn clear_staging(&self) -> Result<u64, StorageError> {
        self.inner.clear_staging().await
    }
}

struct World {
    _dir: tempfile::TempDir,
    weather: Arc<Weather>,
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
    let weather = Arc::new(Weather::default());
    let backend = Stormy { inner: SegmentStore::in_memory().backend(), weather: Arc::clone(&weather) };
    let store = SegmentStore::with_backend(Arc::new(backend), &config.storage);
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let process = Process::start(config, clock, store).await.unwrap();
    process.create(BOOK, &[]).await;
    World { _dir: dir, weather, process }
}

#[tokio::test]
async fn a_store_that_is_away_degrades_the_process_and_writes_go_on() {
    let World { _dir, weather, process } = world(|_| ()).await;
    process.segment(BOOK, 0..10).await;
    assert_eq!(process.standalone.health().condition(), Condition::Alive);
    weather.fails.store(true, Ordering::SeqCst);
    process.insert(BOOK, 10..20).await;
    // A round of garbage collection is one way of finding out.
    process.coordinator.collect_garbage().await.unwrap_err();
    let health = process.standalone.health();
    assert_eq!((health.condition(), health.takes_calls()), (Condition::Degraded, true), "{health:?}");
    let reasons = health.reasons().join("\n");
    assert!(reasons.contains("connection refused") && reasons.contains("writes are accepted"), "{reasons}");
    process.insert(BOOK, 20..30).await;
    weather.fails.store(false, Ordering::SeqCst);
    process.flush(BOOK).await;
    assert_eq!(process.standalone.health().condition(), Condition::Alive);
    assert_eq!(process.keys(BOOK).await, (0..30).collect::<Vec<_>>());
    process.stop().await;
}

#[tokio::test]
async fn a_process_stops_although_its_store_hangs() {
    let World { _dir, weather, process } = world(|config| {
        config.gc.enabled = true;
        config.gc.interval = Duration::from_millis(1);
    })
    .await;
    weather.hangs.store(true, Ordering::SeqCst);
    within("a request that hangs", weather.arrived.notified()).await;
    within("the end of the process", process.stop()).await;
}
