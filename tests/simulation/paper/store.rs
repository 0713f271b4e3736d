//! A metadata store that is slow and fails, and a clock that shows the runtime's virtual time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use datacoord::{
    clock::Clock,
    error::ErrorKind,
    meta::{MetaError, MetaSnapshot, MetaStore, Page, PageLimit, Span, Tally, Txn, memory::MemoryStore},
};
use tokio::time::{Instant, sleep};

use crate::kit::numbers::Numbers;

/// The runtime's paused clock, beginning in November 2023.
#[derive(Debug)]
pub struct VirtualClock(Instant);

impl VirtualClock {
    pub fn new() -> Arc<Self> {
        Arc::new(Self(Instant::now()))
    }
}

impl Clock for VirtualClock {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + self.monotonic().as_millis() as u64
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// The store in memory; a commit takes up to six milliseconds, and some are refused before anything is done.
#[derive(Debug)]
pub struct Faulty {
    inner: MemoryStore,
    numbers: Mutex<Numbers>,
    /// Percent of commits that fail.
    pub failing: AtomicU64,
}

impl Faulty {
    pub fn new(seed: u64) -> Arc<Self> {
        let numbers = Mutex::new(Numbers::of(seed, &[0x570E]));
        Arc::new(Self { inner: MemoryStore::new(), numbers, failing: AtomicU64::new(0) })
    }

    /// A copy as of now, which no later commit changes.
    pub fn snapshot(&self) -> Arc<MemoryStore> {
        Arc::new(self.inner.clone())
    }

    fn draw(&self, limit: u64) -> u64 {
        self.numbers.lock().unwrap().below(limit)
    }
}

#[async_trait]
impl MetaStore for Faulty {
    async fn get(&self, key: &str) -> Result<Option<Bytes>, MetaError> {
        self.inner.get(key).await
    }

    async fn commit(&self, txn: Txn) -> Result<(), MetaError> {
        sleep(Duration::from_millis(self.draw(4))).await;
        if self.draw(100) < self.failing.load(Ordering::SeqCst) {
            let reason = "the store is away".to_owned();
            return Err(MetaError::Store { action: "commit", reason, kind: ErrorKind::Transient });
        }
        let done = self.inner.commit(txn).await;
        // A process that is killed here has committed and does not know.
        sleep(Duration::from_millis(self.draw(4))).await;
        done
    }

    async fn scan(&self, span: &Span, limit: PageLimit) -> Result<Page, MetaError> {
        self.inner.scan(span, limit).await
    }

    async fn snapshot(&self) -> Result<Arc<dyn MetaSnapshot>, MetaError> {
        self.inner.snapshot().await
    }

    async fn tally(&self, class: &str) -> Result<Option<Tally>, MetaError> {
        self.inner.tally(class).await
    }

    fn max_operations(&self) -> usize {
        self.inner.max_operations()
    }
}
