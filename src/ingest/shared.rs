//! Shared by the log thread, the flush tasks and the handles: the state behind its lock, wake-ups and counters.
//!
//! The lock must never be held across an await or a write.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{IngestError, chunk::RowLayout, pending::DeltasWaiting, state::WriteState};
use crate::{
    config::IngestConfig,
    model::{Channel, CollectionId, CollectionSchema, SegmentId, SegmentState},
};

/// How the write path is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    Healthy,
    /// Segments or deletes could not be moved out of memory so far. They are in the log too, and are tried again.
    FlushFailing {
        /// Sealed segments, oldest first.
        segments: Vec<SegmentId>,
        /// Deletes for flushed segments.
        deltas: Vec<DeltasWaiting>,
        /// The newest error of a segment; without one, that of deletes.
        error: String,
    },
    /// The log failed: nothing is accepted until a restart.
    LogFailed {
        error: String,
    },
}

/// Figures since the start, and of this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IngestStats {
    /// Bytes and number of log files.
    pub wal_bytes: u64,
    pub wal_files: u64,
    /// Bytes and frames written to the log.
    pub appended_bytes: u64,
    pub appended_frames: u64,
    pub fsyncs: u64,
    pub growing_segments: u64,
    /// Bytes of rows in growing segments.
    pub growing_bytes: u64,
    /// Growing, sealed and being flushed.
    pub unflushed_segments: u64,
    /// Bytes of all unflushed rows and waiting deletes.
    pub memory_bytes: u64,
    /// Keys that wait for a delta flush.
    pub pending_deletes: u64,
    pub flushes: u64,
    pub flush_failures: u64,
    pub delta_flushes: u64,
    pub delta_flush_failures: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) wal_bytes: AtomicU64,
    pub(super) wal_files: AtomicU64,
    pub(super) wal_end: AtomicU64,
    pub(super) appended_bytes: AtomicU64,
    pub(super) appended_frames: AtomicU64,
    pub(super) fsyncs: AtomicU64,
    pub(super) flushes: AtomicU64,
    pub(super) flush_failures: AtomicU64,
    pub(super) delta_flushes: AtomicU64,
    pub(super) delta_flush_failures: AtomicU64,
}

/// Held shared by flushes of a channel, alone by its delta flushes.
type ChannelLock = Arc<tokio::sync::RwLock<()>>;

pub(super) struct IngestShared {
    pub(super) config: IngestConfig,
    pub(super) state: Mutex<WriteState>,
    pub(super) counters: Counters,
    /// Why the log failed, once it has.
    failed: OnceLock<String>,
    /// Counts how often rows or deletes left the state. Callers that wait for a flush or for memory check again.
    changed: watch::Sender<u64>,
    /// A segment was sealed, or one that failed may be due.
    pub(super) flush_wanted: Notify,
    /// Waiting deletes may be due.
    pub(super) deltas_wanted: Notify,
    /// The low water may have risen.
    pub(super) shrink_wanted: AtomicBool,
    layouts: Mutex<HashMap<CollectionId, Arc<RowLayout>>>,
    channels: Mutex<HashMap<(CollectionId, Channel), ChannelLock>>,
}

impl IngestShared {
    pub(super) fn new(config: IngestConfig, state: WriteState) -> Self {
        Self {
            config,
            state: Mutex::new(state),
            counters: Counters::default(),
            failed: OnceLock::new(),
            changed: watch::Sender::new(0),
            flush_wanted: Notify::new(),
            deltas_wanted: Notify::new(),
            shrink_wanted: AtomicBool::new(false),
            layouts: Mutex::default(),
            channels: Mutex::default(),
        }
    }

    /// Marks the log as failed; the first cause stays.
    pub(super) fn fail(&self, cause: String) {
        if self.failed.set(cause).is_ok() {
            tracing::error!(cause = self.failure().unwrap_or_default(), "the write-ahead log failed");
        }
        self.wake();
    }

    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    pub(super) fn log_failed(&self) -> IngestError {
        IngestError::LogFailed { cause: self.failure().unwrap_or_default().to_owned() }
    }

    /// Wakes callers that wait for rows or deletes to leave the state.
    pub(super) fn wake(&self) {
        self.changed.send_modify(|n| *n += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// The layout of a collection's rows; the same value for the same schema.
    pub(super) fn layout(&self, collection: CollectionId, schema: &Arc<CollectionSchema>) -> Arc<RowLayout> {
        let mut layouts = self.layouts.lock();
        if let Some(layout) = layouts.get(&collection)
            && (Arc::ptr_eq(&layout.schema, schema) || layout.schema == *schema)
        {
            return layout.clone();
        }
        let layout = Arc::new(RowLayout::new(schema.clone()));
        layouts.insert(collection, layout.clone());
        layout
    }

    /// The lock that keeps flushes (shared) and delta flushes (alone) of a channel apart.
    pub(super) fn channel(&self, collection: CollectionId, channel: &Channel) -> ChannelLock {
        self.channels.lock().entry((collection, channel.clone())).or_default().clone()
    }

    /// Forgets the layout and the channel locks of a collection.
    pub(super) fn forget_collection(&self, collection: CollectionId) {
        self.layouts.lock().remove(&collection);
        self.channels.lock().retain(|(c, _), lock| *c != collection || Arc::strong_count(lock) > 1);
    }

    pub(super) fn health(&self) -> Health {
        if let Some(error) = self.failure() {
            return Health::LogFailed { error: error.to_owned() };
        }
        let state = self.state.lock();
        let mut failing: Vec<_> = state.segments().filter(|s| s.flush.failures > 0).collect();
        failing.sort_by_key(|s| (s.first_lsn, s.id));
        let deltas = state.deltas_waiting();
        let newest = failing.iter().rev().find_map(|s| s.flush.last_error.clone());
        match newest.or_else(|| deltas.first().map(|d| d.error.clone())) {
            Some(error) => Health::FlushFailing { segments: failing.iter().map(|s| s.id).collect(), deltas, error },
            None => Health::Healthy,
        }
    }

    pub(super) fn stats(&self) -> IngestStats {
        let state = self.state.lock();
        let c = &self.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        IngestStats {
            wal_bytes: read(&c.wal_bytes),
            wal_files: read(&c.wal_files),
            appended_bytes: read(&c.appended_bytes),
            appended_frames: read(&c.appended_frames),
            fsyncs: read(&c.fsyncs),
            growing_segments: state.segments().filter(|s| s.state == SegmentState::Growing).count() as u64,
            growing_bytes: state.growing_bytes(),
            unflushed_segments: state.segments().count() as u64,
            memory_bytes: state.memory_bytes(),
            pending_deletes: state.pending_keys(),
            flushes: read(&c.flushes),
            flush_failures: read(&c.flush_failures),
            delta_flushes: read(&c.delta_flushes),
            delta_flush_failures: read(&c.delta_flush_failures),
        }
    }
}
