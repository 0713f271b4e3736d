//! The store of named objects: bounded retries, counters, fencing, pace. The backend decides where objects are.
//!
//! Must never: write after the fence is up, or wait for the store after the process was told to stop.

use std::{ops::Range, path::Path, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use super::{
    backend::{Object, Rest, StorageBackend, Swapped},
    bucket::Bucket,
    counters::{OperationCounters, StorageCounters},
    error::StorageError,
    local::LocalFiles,
    outage::{Outage, Outages, is_outage},
    pace::{Paced, part_of},
    path::LogPath,
};
use crate::{
    config::{StorageConfig, StorageKind},
    error::Classify,
    fence::Fence,
};

/// Folder below the data directory, unless another root is configured.
const LOCAL_FOLDER: &str = "files";
/// Batches written at once, to hide the latency of a bucket.
const PUT_CONCURRENCY: usize = 8;
/// Threads that may wait for windows of large objects at once. Each wait needs another thread of the same pool for its
/// request, so a pool whose threads all wait would deadlock. Half of the smallest pool of the process avoids that.
const WINDOW_READERS: usize = crate::background::LEAST_BLOCKING_THREADS / 2;
/// Longest pause between attempts.
const MAX_BACKOFF: Duration = Duration::from_secs(5);

/// One object of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListedLog {
    pub path: LogPath,
    pub bytes: u64,
    /// Milliseconds since 1970, by the store's clock.
    pub modified_ms: u64,
}

/// Object that names the owner of the store. Its name is not that of a log, so listings leave it out.
const OWNER_OBJECT: &str = "datacoord-owner";

/// Objects of segments. Cheap to clone; clones share the counters.
///
/// Only errors of kind `Transient` are retried: `max_attempts` times in all, with pauses that double from
/// `retry_backoff`. Repeating an operation is safe, except for [`SegmentStore::swap_mark`], because a name is never used
/// for other bytes. Writes fail once the fence is up, and every request fails once the process stops.
#[derive(Debug, Clone)]
pub struct SegmentStore {
    backend: Arc<dyn StorageBackend>,
    counters: Arc<StorageCounters>,
    max_attempts: u32,
    backoff: Duration,
    window_readers: Arc<Semaphore>,
    place: Arc<str>,
    outage: Arc<Outages>,
    fence: Fence,
    stop: CancellationToken,
}

impl SegmentStore {
    /// Opens the store that the settings name: a local directory, created if it is missing (`<data_dir>/files` by
    /// default), or a bucket, to which no request is sent yet.
    pub fn open(config: &StorageConfig, data_dir: &Path) -> Result<Self, StorageError> {
        let backend: Arc<dyn StorageBackend> = match &config.kind {
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

    /// A store in memory that ends with its last clone, for tests.
    pub fn in_memory() -> Self {
        let config = StorageConfig { retry_backoff: Duration::ZERO, ..StorageConfig::default() };
        Self::with_backend(Arc::new(Bucket::in_memory()), &config)
    }

    /// A store over any backend. Uses only the settings for retries.
    pub fn with_backend(backend: Arc<dyn StorageBackend>, config: &StorageConfig) -> Self {
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

    /// The same store for one run of a coordinator: writes fail once the fence is up, and waiting requests fail once
    /// `stop` is cancelled.
    #[must_use]
    pub fn for_run(self, fence: Fence, stop: CancellationToken) -> Self {
        Self { fence, stop, ..self }
    }

    /// The location of the objects for log lines and errors, with the keys that set it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// The current outage, if requests fail. The first answer ends it.
    pub fn outage(&self) -> Option<Outage> {
        self.outage.current()
    }

    /// The backend, for a caller that wraps it.
    pub fn backend(&self) -> Arc<dyn StorageBackend> {
        self.backend.clone()
    }

    pub fn counters(&self) -> &StorageCounters {
        &self.counters
    }

    /// Reads the mark of the store's owner. `None`: there is no mark.
    pub async fn mark(&self) -> Result<Option<Bytes>, StorageError> {
        let get = || self.backend.get(OWNER_OBJECT);
        match self.attempt("get", OWNER_OBJECT, &self.counters.get, get, |bytes| bytes.len() as u64).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StorageError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads the owner's mark at the first start of a catalog. Creates a missing bucket if that is allowed.
    pub async fn mark_or_make(&self) -> Result<Option<Bytes>, StorageError> {
        match self.mark().await {
            Err(StorageError::NoBucket { .. }) if self.backend.make_place().await? => {
                tracing::info!(store = self.place(), "there was no such bucket: it was made");
                self.mark().await
            }
            read => read,
        }
    }

    /// Replaces the owner's mark by `next` if it is exactly `expected`. Of several concurrent calls one succeeds. When an
    /// answer gets lost, the retry returns `Instead` with the caller's own bytes.
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

    /// Permit that a blocking thread holds while it reads windows of objects; see `WINDOW_READERS`.
    pub(super) async fn window_reader(&self) -> Option<OwnedSemaphorePermit> {
        // `None` only for a closed semaphore, and this one is never closed.
        Arc::clone(&self.window_readers).acquire_owned().await.ok()
    }

    /// Reads a part of an object. The range must lie inside it.
    pub async fn get_range(&self, path: &LogPath, range: Range<u64>) -> Result<Bytes, StorageError> {
        let name = path.to_string();
        let get = || self.backend.get_range(&name, range.clone());
        self.attempt("get", &name, &self.counters.get, get, |bytes| bytes.len() as u64).await
    }

    /// Reads a whole object, in parts while there is a limit.
    pub async fn get_paced(&self, pace: &Paced, path: &LogPath) -> Result<Bytes, StorageError> {
        match pace {
            Some(limit) if limit.part().is_some() => self.get_range_paced(pace, path, 0..self.size(path).await?).await,
            Some(unlimited) => {
                let bytes = self.get(path).await?;
                // Bytes count also while there is no limit.
                unlimited.take(bytes.len() as u64).await?;
                Ok(bytes)
            }
            None => self.get(path).await,
        }
    }

    /// Reads a part of an object, in smaller parts while there is a limit. The range must lie inside the object.
    pub async fn get_range_paced(
        &self,
        pace: &Paced,
        path: &LogPath,
        range: Range<u64>,
    ) -> Result<Bytes, StorageError> {
        let mut parts = BytesMut::new();
        let mut at = range.start;
        loop {
            let left = range.end - at;
            let now = part_of(left, pace);
            if let Some(pace) = pace {
                pace.take(now).await?;
            }
            let bytes = self.get_range(path, at..at + now).await?;
            if now == left && parts.is_empty() {
                return Ok(bytes);
            }
            if parts.is_empty() {
                parts.reserve((range.end - range.start) as usize);
            }
            parts.extend_from_slice(&bytes);
            at += now;
            // A short part means that the object ends before the range does.
            if at >= range.end || (bytes.len() as u64) < now {
                return Ok(parts.freeze());
            }
        }
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

    /// Writes several objects. All of them are durable when this returns Ok; after an error any of them may exist.
    pub async fn put_all(&self, objects: Vec<(LogPath, Bytes)>) -> Result<(), StorageError> {
        self.put_each(objects, &None, true).await
    }

    /// Like [`Self::put_all`] at a limited pace, and past the page cache: objects of background work would displace pages
    /// that are read.
    pub async fn put_all_paced(&self, pace: &Paced, objects: Vec<(LogPath, Bytes)>) -> Result<(), StorageError> {
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

    /// Writes an object that consists of `bytes` and a part of another object, with the durability and the cache hint of
    /// [`Self::put_all_paced`]. Holds at most [`super::SPLICED_BYTES`] of the part in memory.
    ///
    /// # Errors
    /// Of kind corrupt if the other object ends before the part does.
    pub async fn splice_paced(
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

    /// Lists the objects below a folder ([`super::LogKind::folder`], [`super::LogKind::segment_prefix`]), in no order.
    /// Leaves out names that are not those of logs. Does not retry: callers list again later.
    pub fn list(&self, prefix: &str) -> BoxStream<'static, Result<ListedLog, StorageError>> {
        let (counters, outage, stop) = (self.counters.clone(), self.outage.clone(), self.stop.clone());
        counters.list.requested();
        let stopping = StorageError::Stopping { operation: "list", object: prefix.to_owned() };
        // A listing that the stop cut short must end with an error.
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

    /// Removes files that interrupted writes left outside the namespace; returns how many. Only the process that owns the
    /// data directory may call it, before it writes.
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
                    #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(MAX_BACKOFF);
                }
                answer => return answer,
            }
        }
    }
}

#[cfg(test)]
mod tests;
