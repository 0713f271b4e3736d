//! The store: named objects with bounded retries and counters, wherever they are.

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};
use parking_lot::Mutex;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    Paced, StorageError,
    backend::{Backend, Object, Rest, Swapped},
    bucket::Bucket,
    counters::{OperationCounters, StorageCounters},
    local::LocalFiles,
    path::LogPath,
};
use crate::{
    config::{StorageConfig, StorageKind},
    error::Classify,
    fence::Fence,
};

/// Folder below the data directory, unless another root is configured.
const LOCAL_FOLDER: &str = "files";
/// Batches written at once: what hides the latency of a bucket.
const PUT_CONCURRENCY: usize = 8;
/// Threads of readers that may wait for windows of large objects at once. Each such wait needs another thread of the
/// same pool for its request: with all of them waiting, none would ever go on. So this stays below the threads of every
/// runtime of the process: half of the fewest.
const WINDOW_READERS: usize = crate::background::LEAST_BLOCKING_THREADS / 2;
/// Pauses between attempts do not grow beyond this.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// One object of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedLog {
    pub path: LogPath,
    pub bytes: u64,
    /// Milliseconds since 1970, by the store's clock.
    pub modified_ms: u64,
}

/// Says whose the other objects are. Not the name of a log, so that no listing takes it for one.
const OWNER_OBJECT: &str = "datacoord-owner";

/// Objects of segments. Cheap to clone; clones share the counters.
///
/// Only errors of kind `Transient` are retried: `max_attempts` times in all, with pauses that double from
/// `retry_backoff`. All operations but [`SegmentStore::swap_mark`] may be repeated: names are never used for other bytes.
/// Nothing is written once the fence is up, and nothing is waited for once the process stops.
#[derive(Debug, Clone)]
pub struct SegmentStore {
    backend: Arc<dyn Backend>,
    counters: Arc<StorageCounters>,
    max_attempts: u32,
    backoff: Duration,
    window_readers: Arc<Semaphore>,
    place: Arc<str>,
    outage: Arc<Outages>,
    fence: Fence,
    stop: CancellationToken,
}

/// A store that does not do what it is asked.
#[derive(Debug, Clone)]
pub struct Outage {
    /// For how long.
    pub lasted: Duration,
    /// The newest error.
    pub error: String,
}

/// Since when requests fail, one after the other.
#[derive(Debug, Default)]
struct Outages {
    /// Asked by every request that succeeds.
    is_out: AtomicBool,
    since: Mutex<Option<(Instant, String)>>,
}

impl Outages {
    fn failed(&self, since: Instant, error: &StorageError) {
        let mut known = self.since.lock();
        let since = known.take().map_or(since, |(earlier, _)| earlier.min(since));
        *known = Some((since, error.to_string()));
        self.is_out.store(true, Ordering::Release);
    }

    fn answered(&self) {
        if self.is_out.load(Ordering::Acquire) {
            let mut known = self.since.lock();
            *known = None;
            self.is_out.store(false, Ordering::Release);
        }
    }
}

/// Whether an error says that the store does not work, and not something of one object or of us.
fn is_outage(error: &StorageError) -> bool {
    matches!(
        error,
        StorageError::Unavailable { .. }
            | StorageError::Refused { .. }
            | StorageError::NoBucket { .. }
            | StorageError::Full { .. }
    )
}

impl SegmentStore {
    /// Opens what the settings name: a local directory (made if need be; `<data_dir>/files` by default) or a bucket
    /// (not contacted yet).
    pub fn open(config: &StorageConfig, data_dir: &Path) -> Result<Self, StorageError> {
        let backend: Arc<dyn Backend> = match &config.kind {
            StorageKind::Local { root: Some(root) } => Arc::new(LocalFiles::open(root)?),
            StorageKind::Local { root: None } => Arc::new(LocalFiles::open(&data_dir.join(LOCAL_FOLDER))?),
            StorageKind::S3(bucket) => Arc::new(Bucket::s3(bucket)?),
        };
        let place = match &config.kind {
            StorageKind::Local { root: Some(root) } => format!("{} (localStorage.path)", root.display()),
            StorageKind::Local { root: None } => data_dir.join(LOCAL_FOLDER).display().to_string(),
            StorageKind::S3(bucket) => bucket.place(),
        };
        Ok(Self { place: place.into(), ..Self::with_backend(backend, config) })
    }

    /// A store that is forgotten with its last clone, for tests.
    pub fn in_memory() -> Self {
        let config = StorageConfig { retry_backoff: Duration::ZERO, ..StorageConfig::default() };
        Self::with_backend(Arc::new(Bucket::in_memory()), &config)
    }

    /// A store over any backend; of the settings only those for retries are used.
    pub fn with_backend(backend: Arc<dyn Backend>, config: &StorageConfig) -> Self {
        let (max_attempts, backoff) = (config.max_attempts.max(1), config.retry_backoff);
        let window_readers = Arc::new(Semaphore::new(WINDOW_READERS));
        Self {
            backend,
            counters: Arc::default(),
            max_attempts,
            backoff,
            window_readers,
            place: Arc::from("(a store of a test)"),
            outage: Arc::default(),
            fence: Fence::default(),
            stop: CancellationToken::new(),
        }
    }

    /// The same store for one run of a coordinator: nothing is written once the fence is up, and every request that waits
    /// is given up once `stop` is cancelled.
    #[must_use]
    pub fn for_run(self, fence: Fence, stop: CancellationToken) -> Self {
        Self { fence, stop, ..self }
    }

    /// Where the objects are, as an operator knows it, with the keys that say so.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Since when nothing works, if so. Ends with the first request that is answered.
    pub fn outage(&self) -> Option<Outage> {
        let known = self.outage.since.lock();
        known.as_ref().map(|(since, error)| Outage { lasted: since.elapsed(), error: error.clone() })
    }

    /// The backend below, to be wrapped.
    pub fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    pub fn counters(&self) -> &StorageCounters {
        &self.counters
    }

    /// What the store says of its owner; none if it says nothing.
    pub async fn mark(&self) -> Result<Option<Bytes>, StorageError> {
        let get = || self.backend.get(OWNER_OBJECT);
        match self.attempt("get", OWNER_OBJECT, &self.counters.get, get, |bytes| bytes.len() as u64).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same at the first start of a catalog: a bucket that is missing is made, if it may be.
    pub async fn mark_or_make(&self) -> Result<Option<Bytes>, StorageError> {
        match self.mark().await {
            Err(StorageError::NoBucket { .. }) if self.backend.make_place().await? => {
                tracing::info!(store = self.place(), "there was no such bucket: it was made");
                self.mark().await
            }
            read => read,
        }
    }

    /// Has the store say `next` of its owner, if it says exactly `expected`. Of several at once one succeeds. Attempts
    /// whose answer got lost make this end with `Instead` of one's own bytes.
    pub async fn swap_mark(&self, expected: Option<Bytes>, next: Bytes) -> Result<Swapped, StorageError> {
        self.fence.check()?;
        let bytes = next.len() as u64;
        let swap = || self.backend.swap(OWNER_OBJECT, expected.clone(), next.clone());
        self.attempt("swap", OWNER_OBJECT, &self.counters.put, swap, |_| bytes).await
    }

    /// Reads a whole object.
    pub async fn get(&self, path: &LogPath) -> Result<Bytes, StorageError> {
        let name = path.to_string();
        let get = || self.backend.get(&name);
        self.attempt("get", &name, &self.counters.get, get, |bytes| bytes.len() as u64).await
    }

    /// To be held by a blocking thread of the runtime while it reads windows of objects.
    pub(super) async fn window_reader(&self) -> Option<OwnedSemaphorePermit> {
        // None only if it were closed, which nobody does.
        Arc::clone(&self.window_readers).acquire_owned().await.ok()
    }

    /// Reads a part of an object, which is inside of it.
    pub async fn get_range(&self, path: &LogPath, range: Range<u64>) -> Result<Bytes, StorageError> {
        let name = path.to_string();
        let get = || self.backend.get_range(&name, range.clone());
        self.attempt("get", &name, &self.counters.get, get, |bytes| bytes.len() as u64).await
    }

    /// Bytes of an object.
    pub async fn size(&self, path: &LogPath) -> Result<u64, StorageError> {
        let name = path.to_string();
        self.attempt("size", &name, &self.counters.get, || self.backend.size(&name), |_| 0).await
    }

    /// Writes an object; durable when this returns.
    pub async fn put(&self, path: &LogPath, bytes: Bytes) -> Result<(), StorageError> {
        self.put_all(vec![(*path, bytes)]).await
    }

    /// Writes objects, several at once; all of them durable when this returns Ok. After an error any of them may exist.
    pub async fn put_all(&self, objects: Vec<(LogPath, Bytes)>) -> Result<(), StorageError> {
        self.put_each(objects, &None, true).await
    }

    /// The same as fast as may be, for objects that will not be read soon: what background work makes would take the
    /// place of what is read in the machine's cache of files.
    pub async fn put_all_at(&self, pace: &Paced, objects: Vec<(LogPath, Bytes)>) -> Result<(), StorageError> {
        self.put_each(objects, pace, false).await
    }

    async fn put_each(
        &self,
        objects: Vec<(LogPath, Bytes)>,
        pace: &Paced,
        read_soon: bool,
    ) -> Result<(), StorageError> {
        let mut batches = Vec::new();
        let object = |(path, bytes): (LogPath, Bytes)| {
            let (name, pace) = (path.to_string(), pace.clone());
            Object { name, bytes, rest: None, pace, read_soon }
        };
        let mut objects = objects.into_iter().map(object).peekable();
        while objects.peek().is_some() {
            batches.push(objects.by_ref().take(self.backend.batch().max(1)).collect::<Vec<_>>());
        }
        let puts = batches.into_iter().map(|batch| async move { self.put_objects(&batch).await });
        stream::iter(puts).buffer_unordered(PUT_CONCURRENCY).try_collect().await
    }

    /// Writes an object that is `bytes` and then a part of another one, as durably, and as little to be read soon. No
    /// more than [`super::SPLICED_BYTES`] are in memory at once.
    ///
    /// # Errors
    /// Of kind corrupt if the other object ends before that part.
    pub async fn splice_at(
        &self,
        pace: &Paced,
        path: &LogPath,
        bytes: Bytes,
        (from, range): (&LogPath, Range<u64>),
    ) -> Result<(), StorageError> {
        let rest = Some(Rest { name: from.to_string(), range });
        let (name, pace) = (path.to_string(), pace.clone());
        self.put_objects(&[Object { name, bytes, rest, pace, read_soon: false }]).await
    }

    async fn put_objects(&self, objects: &[Object]) -> Result<(), StorageError> {
        self.fence.check()?;
        let bytes = objects.iter().map(Object::size).sum();
        let name = objects.first().map_or("", |object| object.name.as_str());
        self.attempt("put", name, &self.counters.put, || self.backend.put(objects), |()| bytes).await
    }

    /// Copies an object under another name; durable when this returns.
    pub async fn copy(&self, from: &LogPath, to: &LogPath) -> Result<(), StorageError> {
        self.fence.check()?;
        let (from, to) = (from.to_string(), to.to_string());
        self.attempt("copy", &from, &self.counters.copy, || self.backend.copy(&from, &to), |()| 0).await
    }

    /// Removes an object; one that is absent is fine.
    pub async fn delete(&self, path: &LogPath) -> Result<(), StorageError> {
        self.fence.check()?;
        let name = path.to_string();
        self.attempt("delete", &name, &self.counters.delete, || self.backend.delete(&name), |()| 0).await
    }

    /// Objects below a folder ([`super::LogKind::folder`], [`super::LogKind::segment_prefix`]), in no order; names that
    /// are none of ours are left out. Not retried: whoever lists does so again later.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<ListedLog, StorageError>> {
        let (counters, outage, stop) = (self.counters.clone(), self.outage.clone(), self.stop.clone());
        counters.list.requested();
        let stopping = StorageError::Stopping { operation: "list", object: prefix.to_owned() };
        // A listing that ends early must not look like a whole one.
        let ended = stream::once(async move { stop.is_cancelled().then_some(Err(stopping)) });
        self.backend
            .list(prefix)
            .take_until(self.stop.clone().cancelled_owned())
            .chain(ended.filter_map(std::future::ready))
            .inspect_err(move |error| {
                counters.list.failed();
                if is_outage(error) {
                    outage.failed(Instant::now(), error);
                }
            })
            .try_filter_map(|listed| async move {
                let path = listed.name.parse().ok();
                Ok(path.map(|path| ListedLog { path, bytes: listed.bytes, modified_ms: listed.modified_ms }))
            })
            .boxed()
    }

    /// Removes what writes interrupted by a crash left behind outside the namespace; returns how many files. Only for
    /// the process that owns the data directory, before it writes.
    pub async fn clear_staging(&self) -> Result<u64, StorageError> {
        self.backend.clear_staging().await
    }

    async fn attempt<T, F: Future<Output = Result<T, StorageError>>>(
        &self,
        operation: &'static str,
        object: &str,
        counters: &OperationCounters,
        call: impl Fn() -> F,
        bytes: impl Fn(&T) -> u64,
    ) -> Result<T, StorageError> {
        counters.requested();
        let began = Instant::now();
        let attempts = self.attempts(counters, call);
        let answer = tokio::select! {
            biased;
            answer = attempts => answer,
            () = self.stop.cancelled() => Err(StorageError::Stopping { operation, object: object.to_owned() }),
        };
        match &answer {
            Ok(value) => {
                self.outage.answered();
                counters.succeeded(bytes(value));
            }
            Err(error) => {
                counters.failed();
                match error {
                    error if is_outage(error) => self.outage.failed(began, error),
                    // The store did answer.
                    StorageError::NotFound { .. } | StorageError::Object { .. } => self.outage.answered(),
                    _ => {}
                }
            }
        }
        answer
    }

    async fn attempts<T, F: Future<Output = Result<T, StorageError>>>(
        &self,
        counters: &OperationCounters,
        call: impl Fn() -> F,
    ) -> Result<T, StorageError> {
        let mut pause = self.backoff;
        let mut attempt = 1;
        loop {
            match call().await {
                Err(e) if attempt < self.max_attempts && e.kind() == crate::error::ErrorKind::Transient => {
                    tracing::debug!(attempt, error = %e, "object store request failed, trying again");
                    counters.retried();
                    attempt += 1;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_BACKOFF);
                }
                answer => return answer,
            }
        }
    }
}
