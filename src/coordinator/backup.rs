//! The catalog and the segments of one moment, for a backup of a running server.
//!
//! ```text
//!  hold still ─▶ snapshot of the catalog, pins ─▶ (the caller cuts the log) ─▶ bounds ─▶ go on
//! ```
//!
//! Between the snapshot and the cut nothing is committed, so the log has every acknowledged row that the snapshot lacks, and
//! no note of a flush that the snapshot does not know. Must never let garbage collection take an object that the snapshot
//! names (P5), nor hold commits back while a client reads.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::OwnedRwLockWriteGuard;
use tokio_util::sync::CancellationToken;

use super::{Coordinator, CoordinatorError, PinGuard, Turn, segments::SegmentTable};
use crate::{
    compactor::{ProgressSink, Throttle},
    meta::CatalogSnapshot,
    model::{RequestError, Segment},
    storage::{Paced, StoredObject},
};

/// The catalog of one moment, while no commit can begin.
pub(crate) struct FrozenCatalog {
    taken: TakenCatalog,
    _still: OwnedRwLockWriteGuard<()>,
}

/// The catalog of one moment. The files of its live segments stay while it lives.
pub(crate) struct TakenCatalog {
    pub(crate) records: CatalogSnapshot,
    tables: VecDeque<Arc<SegmentTable>>,
    segments: VecDeque<Segment>,
    /// Number of its live segments.
    pub(crate) live_segments: u64,
    _pins: PinGuard,
    _turn: Turn,
    throttle: Arc<Throttle>,
    stop: CancellationToken,
}

impl Coordinator {
    /// Stops changes of the catalog, and takes it. The caller has milliseconds until [`FrozenCatalog::thaw`].
    ///
    /// # Errors
    /// Another backup is under way; the store is not ours any more; the catalog can't be read.
    pub(crate) async fn freeze(&self) -> Result<FrozenCatalog, CoordinatorError> {
        let core = &self.core;
        let turn = Arc::clone(&core.backing_up).try_lock_owned();
        let turn = turn.map_err(|_| RequestError::BackupUnderWay)?;
        core.catalog.check()?;
        core.ownership.before_commit().await?;
        let still = core.catalog.hold_still().await;
        let records = core.catalog.snapshot().await?;
        let tables: VecDeque<_> = core.collections.all().iter().map(|cell| cell.segments()).collect();
        let live: Vec<_> = tables.iter().flat_map(|table| table.live()).map(|segment| segment.id).collect();
        let live_segments = live.len() as u64;
        let taken = TakenCatalog {
            records,
            tables,
            segments: VecDeque::new(),
            live_segments,
            _pins: core.pins.pin(live),
            _turn: turn,
            throttle: Arc::clone(&core.throttle),
            stop: self.watches.clone(),
        };
        Ok(FrozenCatalog { taken, _still: still })
    }
}

impl FrozenCatalog {
    /// Lets changes go on. The log must have been cut by now.
    pub(crate) async fn thaw(mut self) -> Result<TakenCatalog, CoordinatorError> {
        self.taken.records.note_bounds().await?;
        Ok(self.taken)
    }
}

impl TakenCatalog {
    /// The objects of the next live segment; none after the last one.
    pub(crate) async fn next_objects(&mut self) -> Result<Option<Vec<StoredObject>>, CoordinatorError> {
        let segment = loop {
            if let Some(segment) = self.segments.pop_front() {
                break segment;
            }
            let Some(table) = self.tables.pop_front() else { return Ok(None) };
            self.segments = table.live().into();
        };
        let logs = self.records.segment_logs(&segment.group, segment.id).await?;
        let mut objects = StoredObject::all(segment.log_ids(), &logs);
        objects.extend(StoredObject::indexes(&segment));
        Ok(Some(objects))
    }

    /// The pace at which objects are read: that of merges.
    pub(crate) fn pace(&self) -> Paced {
        Some(Arc::clone(&self.throttle).pace(self.stop.clone(), ProgressSink::new()))
    }

    /// Cancelled when the server stops.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }
}

#[cfg(test)]
mod tests;
