//! One run of one plan: its reads, its writes and its share of the cores, all of which end when it is stopped.
//!
//! Must never: start a write after the stop, or forget an object that a write may have left.

use std::{
    collections::BTreeMap,
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    CompactError, CompactionTask, ProgressSink, Throttle,
    ids::OutputIds,
    memory::{MemoryBudget, Reservation},
    waits::{reserve, unless_stopped},
};
use crate::{
    background::{ComputePool, cores},
    config::BinlogConfig,
    model::{LogId, SegmentId},
    storage::{Fetched, LogPath, Paced, RangedObject, Reading, RunningCheck, SegmentStore, StoredObject, fetch},
};

/// An object of this size is worth its own write.
pub(super) const SMALL_BYTES: u64 = 1 << 20;

/// Threads for merging, one for each core of the machine, shared by all plans.
#[derive(Debug, Clone)]
pub(super) struct Cores {
    /// Or why the threads could not be started.
    pool: Result<ComputePool, String>,
    pub(super) count: usize,
}

impl Cores {
    pub(super) fn of_machine() -> Self {
        let count = cores();
        Self { pool: ComputePool::new("merge", count).map_err(|e| e.to_string()), count }
    }

    /// Runs `work` as soon as a core is free. Dropped before its turn, it does not begin.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, CompactError> + Send + 'static,
    ) -> Result<T, CompactError> {
        let internal = |what: &str| CompactError::Internal(format!("merge thread: {what}"));
        let pool = self.pool.as_ref().map_err(|e| internal(e))?;
        let (done, outcome) = oneshot::channel();
        let work = move || {
            if !done.is_closed() {
                // A panic must not end the process. Sending fails if the caller is gone.
                let _ = done.send(catch_unwind(AssertUnwindSafe(work)));
            }
        };
        pool.spawn(work).map_err(|e| internal(&e.to_string()))?;
        outcome.await.map_err(|_| internal("ended early"))?.map_err(|_| internal("panicked"))?
    }
}

/// Shared by all runs of a compactor.
#[derive(Clone)]
pub(super) struct CompactorParts {
    pub(super) store: SegmentStore,
    /// As configured, with sizes reduced to fit the memory limit.
    pub(super) binlog: BinlogConfig,
    /// Bytes of a binlog as configured. A copied binlog may be that large, because it is never in memory.
    pub(super) copied_bytes: u64,
    pub(super) budget: MemoryBudget,
    pub(super) cores: Cores,
    pub(super) throttle: Option<Arc<Throttle>>,
}

/// One run of one plan.
pub(super) struct MergeRun<'a> {
    pub(super) task: &'a CompactionTask,
    pub(super) ids: OutputIds,
    pub(super) store: &'a SegmentStore,
    pub(super) binlog: &'a BinlogConfig,
    /// Bytes that a copied binlog may have.
    pub(super) copied_bytes: u64,
    pub(super) budget: &'a MemoryBudget,
    pub(super) cores: &'a Cores,
    pub(super) progress: &'a ProgressSink,
    pub(super) stop: CancellationToken,
    pace: Paced,
    pub(super) bytes_read: Arc<AtomicU64>,
    pub(super) bytes_written: AtomicU64,
    /// Of the objects that are decoded window by window.
    checks: Mutex<BTreeMap<LogPath, Arc<RunningCheck>>>,
    /// Objects that exist or may exist.
    written: Mutex<Vec<LogPath>>,
    /// Small objects that are not written yet.
    waiting: Mutex<Vec<(LogPath, Bytes)>>,
}

impl<'a> MergeRun<'a> {
    pub(super) fn new(
        shared: &'a CompactorParts,
        task: &'a CompactionTask,
        progress: &'a ProgressSink,
        stop: CancellationToken,
    ) -> Self {
        let pace = shared.throttle.as_ref().map(|t| Arc::clone(t).pace(stop.clone(), progress.clone()));
        Self {
            task,
            ids: OutputIds::new(task.ids.clone()),
            store: &shared.store,
            binlog: &shared.binlog,
            copied_bytes: shared.copied_bytes,
            budget: &shared.budget,
            cores: &shared.cores,
            progress,
            stop,
            pace,
            bytes_read: Arc::default(),
            bytes_written: AtomicU64::new(0),
            checks: Mutex::default(),
            written: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    /// The delta logs of the inputs, all of which are read.
    pub(super) fn consumed(&self) -> Vec<(SegmentId, LogId)> {
        self.task.inputs.iter().flat_map(|i| i.logs.delta.iter().map(|log| (i.segment.id, log.id))).collect()
    }

    pub(super) fn too_many_outputs(&self) -> CompactError {
        let (max_bytes, limit) = (self.task.plan.max_output_bytes, self.task.max_outputs);
        CompactError::TooManyOutputs { max_bytes, limit }
    }

    /// Units to run side by side: one per core, and one more that reads or writes meanwhile.
    pub(super) fn parallel(&self) -> usize {
        self.cores.count + 1
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, CompactError> {
        unless_stopped(&self.stop, work).await
    }

    /// [`reserve`] of this run.
    pub(super) async fn reserve(&self, bytes: u64) -> Result<Reservation, CompactError> {
        reserve(self.budget, bytes, &self.stop, self.progress).await
    }

    /// Fetches an object to be decoded: whole if it is small, in windows otherwise. A whole object is checked when it is
    /// opened; windows are checked by [`Self::check_windows`] at the latest.
    pub(super) async fn fetch(&self, object: StoredObject) -> Result<Fetched, CompactError> {
        let mut reading = self.reading();
        if !reading.takes_whole(&object)
            && let Some(check) = object.running_check()
        {
            let shared = Arc::clone(self.checks.lock().entry(object.path).or_insert_with(|| Arc::new(check)));
            reading.check = Some(shared);
        }
        let fetched = self.unless_stopped(fetch(self.store, object, reading)).await??;
        self.progress.alive();
        Ok(fetched)
    }

    /// Opens an object of any size in windows, for a caller that reads little of it. The object is not checked.
    pub(super) async fn look_into(&self, path: LogPath) -> Result<Fetched, CompactError> {
        let object = self.unless_stopped(RangedObject::open(self.store, path, self.reading())).await??;
        self.progress.alive();
        Ok(Fetched::Ranged(object))
    }

    fn reading(&self) -> Reading {
        Reading {
            held_bytes: self.budget.whole_bytes(),
            stop: self.stop.clone(),
            read: Arc::clone(&self.bytes_read),
            pace: self.pace.clone(),
            check: None,
        }
    }

    /// Reads the rest of the objects that were decoded by windows: gaps between pages, and pages without survivors. Then all
    /// bytes of each are checked against its checksum.
    pub(super) async fn check_windows(&self) -> Result<(), CompactError> {
        let checks: Vec<_> = std::mem::take(&mut *self.checks.lock()).into_values().collect();
        for check in checks {
            while let Some(gap) = check.next_gap(self.budget.whole_bytes()) {
                let _memory = self.reserve(gap.end - gap.start).await?;
                let read = self.store.get_range_paced(&self.pace, check.path(), gap.clone());
                let bytes = self.unless_stopped(read).await??;
                self.bytes_read.fetch_add(bytes.len() as u64, Relaxed);
                self.progress.alive();
                let check = Arc::clone(&check);
                self.cores.run(move || Ok(check.fill(&gap, &bytes)?)).await?;
            }
        }
        Ok(())
    }

    /// Writes an object, at once if it is large; small ones wait for each other, because syncing and asking once is
    /// cheaper. Durable after [`Self::flush`].
    pub(super) async fn put(&self, path: LogPath, bytes: Bytes) -> Result<(), CompactError> {
        if bytes.len() as u64 >= SMALL_BYTES {
            return self.write(vec![(path, bytes)]).await;
        }
        let full = {
            let mut waiting = self.waiting.lock();
            waiting.push((path, bytes));
            let bytes: usize = waiting.iter().map(|(_, bytes)| bytes.len()).sum();
            if bytes as u64 >= self.budget.waiting_bytes() { std::mem::take(&mut *waiting) } else { Vec::new() }
        };
        self.write(full).await
    }

    /// Writes an object that is another one's payload behind a prefix. Durable when this returns.
    pub(super) async fn splice(
        &self,
        path: LogPath,
        prefix: Bytes,
        (from, payload): (&LogPath, Range<u64>),
    ) -> Result<(), CompactError> {
        let bytes = payload.end - payload.start;
        if self.stop.is_cancelled() {
            return Err(CompactError::Cancelled);
        }
        self.written.lock().push(path);
        let prefix_bytes = prefix.len() as u64;
        self.store.splice_paced(&self.pace, &path, prefix, (from, payload)).await?;
        self.bytes_read.fetch_add(bytes, Relaxed);
        self.bytes_written.fetch_add(prefix_bytes + bytes, Relaxed);
        self.progress.alive();
        Ok(())
    }

    /// Writes the objects that wait. Fails if the run was stopped meanwhile: a stopped run has no outcome.
    pub(super) async fn flush(&self) -> Result<(), CompactError> {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        self.write(waiting).await?;
        if self.stop.is_cancelled() { Err(CompactError::Cancelled) } else { Ok(()) }
    }

    /// A stop ends only the wait for the throttle, never a write: a write that is given up half-way could still appear after
    /// the clean-up.
    async fn write(&self, objects: Vec<(LogPath, Bytes)>) -> Result<(), CompactError> {
        if objects.is_empty() {
            return Ok(());
        }
        let bytes: usize = objects.iter().map(|(_, bytes)| bytes.len()).sum();
        if self.stop.is_cancelled() {
            return Err(CompactError::Cancelled);
        }
        self.written.lock().extend(objects.iter().map(|(path, _)| *path));
        self.store.put_all_paced(&self.pace, objects).await?;
        self.bytes_written.fetch_add(bytes as u64, Relaxed);
        self.progress.alive();
        Ok(())
    }

    /// Deletes all objects of this run, as far as the store allows. The rest is garbage that no segment names.
    pub(super) async fn clean_up(&self) {
        self.discard(|_| true).await;
    }

    /// Deletes those objects of this run that are not wanted any more, in the same way.
    pub(super) async fn discard(&self, unwanted: impl Fn(&LogPath) -> bool) {
        self.waiting.lock().retain(|(path, _)| !unwanted(path));
        let written: Vec<LogPath> = self.written.lock().extract_if(.., |path| unwanted(path)).collect();
        for path in written {
            if let Err(error) = self.store.delete(&path).await {
                tracing::debug!(plan = %self.task.plan.id, object = %path, %error, "left for garbage collection");
            }
        }
    }
}
