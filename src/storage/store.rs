//! The store: named objects with bounded retries and counters, wherever they are.

use std::{ops::Range, path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::{
    Paced, StorageError,
    backend::{Backend, Object, Rest},
    bucket::Bucket,
    counters::{OperationCounters, StorageCounters},
    local::LocalFiles,
    path::LogPath,
};
use crate::{
    config::{StorageConfig, StorageKind},
    error::Classify,
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
/// `retry_backoff`. All operations may be repeated: names are never used for other bytes.
#[derive(Debug, Clone)]
pub struct SegmentStore {
    backend: Arc<dyn Backend>,
    counters: Arc<StorageCounters>,
    max_attempts: u32,
    backoff: Duration,
    window_readers: Arc<Semaphore>,
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
        Ok(Self::with_backend(backend, config))
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
        Self { backend, counters: Arc::default(), max_attempts, backoff, window_readers }
    }

    /// The backend below, to be wrapped.
    pub fn backend(&self) -> Arc<dyn Backend> {
        self.backend.clone()
    }

    pub fn counters(&self) -> &StorageCounters {
        &self.counters
    }

    /// Marks the store as the one that `ours`, a catalog, names the objects of.
    ///
    /// # Errors
    /// `Owned` if it is another catalog's. Garbage collection deletes what its catalog does not name, so that two of
    /// them over one directory or bucket would delete each other's files.
    pub async fn claim(&self, ours: Uuid) -> Result<(), StorageError> {
        let get = || self.backend.get(OWNER_OBJECT);
        let read = self.attempt(&self.counters.get, get, |bytes| bytes.len() as u64);
        let mark = match read.await {
            Err(StorageError::NotFound { .. }) => {
                let (name, bytes) = (OWNER_OBJECT.to_owned(), ours.to_string().into());
                self.put_objects(&[Object { name, bytes, rest: None, pace: None, read_soon: false }]).await?;
                // Of two that found none, the one whose mark was written over sees it here.
                self.attempt(&self.counters.get, get, |bytes| bytes.len() as u64).await?
            }
            other => other?,
        };
        let (owner, ours) = (String::from_utf8_lossy(&mark).into_owned(), ours.to_string());
        if owner == ours { Ok(()) } else { Err(StorageError::Owned { owner, ours }) }
    }

    /// Reads a whole object.
    pub async fn get(&self, path: &LogPath) -> Result<Bytes, StorageError> {
        let name = path.to_string();
        let get = || self.backend.get(&name);
        self.attempt(&self.counters.get, get, |bytes| bytes.len() as u64).await
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
        self.attempt(&self.counters.get, get, |bytes| bytes.len() as u64).await
    }

    /// Bytes of an object.
    pub async fn size(&self, path: &LogPath) -> Result<u64, StorageError> {
        let name = path.to_string();
        self.attempt(&self.counters.get, || self.backend.size(&name), |_| 0).await
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
        let bytes = objects.iter().map(Object::size).sum();
        self.attempt(&self.counters.put, || self.backend.put(objects), |()| bytes).await
    }

    /// Copies an object under another name; durable when this returns.
    pub async fn copy(&self, from: &LogPath, to: &LogPath) -> Result<(), StorageError> {
        let (from, to) = (from.to_string(), to.to_string());
        self.attempt(&self.counters.copy, || self.backend.copy(&from, &to), |()| 0).await
    }

    /// Removes an object; one that is absent is fine.
    pub async fn delete(&self, path: &LogPath) -> Result<(), StorageError> {
        let name = path.to_string();
        self.attempt(&self.counters.delete, || self.backend.delete(&name), |()| 0).await
    }

    /// Objects below a folder ([`super::LogKind::folder`], [`super::LogKind::segment_prefix`]), in no order; names that
    /// are none of ours are left out. Not retried: whoever lists does so again later.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<ListedLog, StorageError>> {
        let counters = self.counters.clone();
        counters.list.requested();
        self.backend
            .list(prefix)
            .inspect_err(move |_| counters.list.failed())
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
        counters: &OperationCounters,
        call: impl Fn() -> F,
        bytes: impl Fn(&T) -> u64,
    ) -> Result<T, StorageError> {
        counters.requested();
        let mut pause = self.backoff;
        let mut attempt = 1;
        loop {
            match call().await {
                Ok(value) => {
                    counters.succeeded(bytes(&value));
                    return Ok(value);
                }
                Err(e) if attempt < self.max_attempts && e.kind() == crate::error::ErrorKind::Transient => {
                    tracing::debug!(attempt, error = %e, "object store request failed, trying again");
                    counters.retried();
                    attempt += 1;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_BACKOFF);
                }
                Err(e) => {
                    counters.failed();
                    return Err(e);
                }
            }
        }
    }
}
