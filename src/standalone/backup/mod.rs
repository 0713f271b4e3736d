//! A backup of the running process: everything that was acknowledged at one moment, in parts.
//!
//! The parts come in this order: records of the catalog, files of the log, objects. `restore` makes a data directory out
//! of them. Must never hold more than one part in memory, nor keep the process from committing while parts are read.

mod restore;

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

pub use self::restore::{RestoreError, RestoredStore};
use super::{Standalone, StandaloneError};
use crate::{
    background::blocking,
    binlog::BinlogError,
    coordinator::{CoordinatorError, TakenCatalog},
    ingest::LogCut,
    model::Lsn,
    storage::{SegmentStore, StorageError, StoredObject},
};

/// Bytes of a part of the log or of an object.
const PART_BYTES: usize = 1 << 20;

/// A part of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupPart {
    /// Records of the catalog, in the form of its module.
    Records(Bytes),
    /// A part of the file of the log that begins with this position.
    Log {
        first: Lsn,
        at: u64,
        /// Of the whole file.
        file_bytes: u64,
        bytes: Bytes,
    },
    /// A part of an object, or with `bytes` empty only its name.
    Object { object: StoredObject, at: u64, bytes: Bytes },
}

/// A backup that is being read. While it lives, the files that it names stay, and no other backup can begin.
pub struct Backup {
    taken: TakenCatalog,
    /// Milliseconds since 1970: when it was taken.
    pub at_ms: u64,
    log: Arc<LogCut>,
    /// The file of the log to be read next, and the offset in it.
    log_at: (usize, u64),
    store: SegmentStore,
    with_objects: bool,
    objects: VecDeque<StoredObject>,
    object_at: u64,
    phase: BackupPhase,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BackupPhase {
    Records,
    Log,
    Objects,
}

impl Standalone {
    /// Takes a backup of this moment: it has every write that was acknowledged before the call. `with_objects`: its parts
    /// are the bytes of objects, too, not only their names.
    ///
    /// # Errors
    /// Another backup is under way; the store is not ours any more; the log or the catalog can't be read.
    pub async fn backup(&self, with_objects: bool) -> Result<Backup, StandaloneError> {
        let frozen = self.coordinator.freeze().await?;
        let log = self.ingest.cut().await?;
        let taken = frozen.thaw().await?;
        let at_ms = self.clock.now_ms();
        tracing::info!(segments = taken.live_segments, log_bytes = log.bytes(), "a backup was begun");
        Ok(Backup {
            taken,
            at_ms,
            log: Arc::new(log),
            log_at: (0, 0),
            store: self.coordinator.store().clone(),
            with_objects,
            objects: VecDeque::new(),
            object_at: 0,
            phase: BackupPhase::Records,
        })
    }
}

impl Backup {
    /// Live segments in it.
    pub fn segments(&self) -> u64 {
        self.taken.live_segments
    }

    /// The next part; none after the last one.
    ///
    /// # Errors
    /// The catalog, the log or an object can't be read, or the server stops.
    pub async fn next_part(&mut self) -> Result<Option<BackupPart>, StandaloneError> {
        let stopping = self.taken.stopping().clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => Err(CoordinatorError::Stopping.into()),
            part = self.read_part() => part,
        }
    }

    async fn read_part(&mut self) -> Result<Option<BackupPart>, StandaloneError> {
        if self.phase == BackupPhase::Records {
            if let Some(records) = self.taken.records.next_part().await.map_err(CoordinatorError::from)? {
                return Ok(Some(BackupPart::Records(records)));
            }
            self.phase = BackupPhase::Log;
        }
        if self.phase == BackupPhase::Log {
            if let Some(part) = self.next_of_log().await? {
                return Ok(Some(part));
            }
            self.phase = BackupPhase::Objects;
        }
        self.next_of_objects().await
    }

    async fn next_of_log(&mut self) -> Result<Option<BackupPart>, StandaloneError> {
        let (number, at) = self.log_at;
        let Some((first, file_bytes)) = self.log.file(number) else { return Ok(None) };
        let log = Arc::clone(&self.log);
        let bytes = blocking(move || log.read(number, at, PART_BYTES)).await?;
        let end = at + bytes.len() as u64;
        self.log_at = if end >= file_bytes { (number + 1, 0) } else { (number, end) };
        Ok(Some(BackupPart::Log { first, at, file_bytes, bytes: bytes.into() }))
    }

    async fn next_of_objects(&mut self) -> Result<Option<BackupPart>, StandaloneError> {
        let object = loop {
            if let Some(object) = self.objects.front() {
                break *object;
            }
            let Some(objects) = self.taken.next_objects().await? else { return Ok(None) };
            self.objects = objects.into();
        };
        let at = self.object_at;
        if !self.with_objects {
            self.objects.pop_front();
            return Ok(Some(BackupPart::Object { object, at, bytes: Bytes::new() }));
        }
        let end = object.bytes.min(at + PART_BYTES as u64);
        let read = self.store.get_range_paced(&self.taken.pace(), &object.path, at..end).await;
        let bytes = read.map_err(CoordinatorError::from)?;
        if (bytes.len() as u64) < end - at {
            let found = at + bytes.len() as u64;
            let source = BinlogError::Corrupt {
                offset: found,
                what: format!("it ends here, {} bytes were written", object.bytes),
            };
            let damaged = StorageError::Object { object: object.path.to_string(), source };
            return Err(CoordinatorError::from(damaged).into());
        }
        if end >= object.bytes {
            self.objects.pop_front();
            self.object_at = 0;
        } else {
            self.object_at = end;
        }
        Ok(Some(BackupPart::Object { object, at, bytes }))
    }
}
