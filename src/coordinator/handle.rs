//! The DataCoord as the rest of the process holds it: its parts, and the questions about one of them.
//!
//! Larger subjects have files of their own. Must never hand out a way to change segments or definitions except through
//! the catalog's steps.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    CollectionCell, CoordinatorError, Core, HealthReport, JobBook, PinnedList, WritePath, segments::SegmentTable,
};
use crate::{
    background::Background,
    binlog::PkStats,
    compactor::Compactor,
    config::Config,
    fence::Fenced,
    model::{CollectionId, Segment, SegmentId, SegmentLogs},
    scheduler::{Scheduler, Stats},
    storage::{SegmentCache, SegmentStore},
};

/// A running DataCoord. Made by `Prepared::start`.
pub struct Coordinator {
    pub(super) core: Arc<Core>,
    /// Holds rows and deletes that are not flushed.
    pub(super) write_path: Arc<dyn WritePath>,
    pub(super) scheduler: Scheduler,
    /// Executes plans; asked here for the memory that it holds.
    pub(super) merges: Arc<Compactor>,
    /// Ends the background loops.
    pub(super) stop: CancellationToken,
    /// Ends waits for the store.
    pub(super) store_stop: CancellationToken,
    /// Ends the streams of watching clients.
    pub(super) watches: CancellationToken,
    pub(super) loops: parking_lot::Mutex<Vec<tokio::task::JoinHandle<()>>>,
    /// The thread of the looks at all groups and of the scrubber.
    pub(super) ticks: Background,
}

impl std::fmt::Debug for Coordinator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Coordinator").field("collections", &self.core.collections).finish_non_exhaustive()
    }
}

impl Coordinator {
    pub fn config(&self) -> &Config {
        &self.core.config
    }

    pub fn jobs(&self) -> &JobBook {
        &self.core.jobs
    }

    pub fn scheduler_stats(&self) -> Stats {
        self.scheduler.stats()
    }

    /// A live collection.
    ///
    /// # Errors
    /// `CollectionIdNotFound`.
    pub fn collection(&self, id: CollectionId) -> Result<Arc<CollectionCell>, CoordinatorError> {
        self.core.collections.by_id(id)
    }

    /// Live collections, ascending by id. The list has every collection that exists before and after the call.
    pub fn collections(&self) -> Vec<Arc<CollectionCell>> {
        self.core.collections.all()
    }

    /// All segments of a collection, those in memory first: growing, sealed and flushing, then flushed and dropped.
    pub fn segments(&self, cell: &CollectionCell) -> Vec<Segment> {
        let mut all = self.unflushed_segments(cell);
        all.extend(cell.live());
        all.extend(cell.dropped().iter().cloned());
        all
    }

    /// Segments in memory: growing, sealed and flushing.
    pub(super) fn unflushed_segments(&self, cell: &CollectionCell) -> Vec<Segment> {
        let unflushed = self.write_path.unflushed().into_iter().filter(|u| u.group.collection == cell.id);
        unflushed
            .filter(|u| !cell.is_known(u.id))
            .map(|u| Segment { state: u.state, rows: u.rows, memory_bytes: u.bytes, ..Segment::new(u.id, u.group) })
            .collect()
    }

    /// Waits until no change of the catalog is under way, also none whose caller is gone.
    pub async fn idle(&self) {
        self.core.catalog.idle().await;
    }

    /// Refused once another process owns the store.
    pub(crate) fn check_fence(&self) -> Result<(), Fenced> {
        self.core.fence.check()
    }

    /// Cancelled when the process begins to stop.
    pub(crate) fn stopping(&self) -> &CancellationToken {
        &self.stop
    }

    pub(crate) fn store(&self) -> &SegmentStore {
        &self.core.store
    }

    /// Live segments, pinned in the same moment: none of them can lose its files while the guard lives.
    pub(crate) fn pinned_list(&self, cell: &CollectionCell) -> PinnedList {
        self.core.pins.list(cell, SegmentTable::for_query)
    }

    /// The same for searches through the index of a definition: sources of a merge stand in for outputs that lack theirs.
    /// A stand-in may lose its files before it is pinned. The search fails then, and has to be repeated without
    /// stand-ins.
    pub(crate) fn pinned_list_for_search(&self, cell: &CollectionCell, index: i64) -> PinnedList {
        let least = self.core.least_rows();
        let lacks_index = |segment: &Segment| segment.rows >= least && segment.index(index).is_none();
        self.core.pins.list(cell, |table| table.for_search(&lacks_index))
    }

    /// The lists of a segment's logs.
    pub(crate) async fn segment_logs(&self, segment: &Segment) -> Result<SegmentLogs, CoordinatorError> {
        Ok(self.core.catalog.segment_logs(&segment.group, segment.id).await?)
    }

    /// The key statistics of a segment, if they are in memory.
    pub(crate) fn cached_key_stats(&self, segment: SegmentId) -> Option<Arc<Vec<PkStats>>> {
        self.core.stats_cache.get(segment)
    }

    /// The vectors of live segments that searches keep.
    pub(crate) fn segment_cache(&self) -> &Arc<SegmentCache> {
        &self.core.segment_cache
    }

    /// Keeps the files of these segments until the guard is dropped.
    #[cfg(test)]
    pub(crate) fn pin(&self, segments: impl IntoIterator<Item = SegmentId>) -> super::PinGuard {
        self.core.pins.pin(segments)
    }

    /// Cheap: nothing is asked that could wait.
    pub fn health(&self) -> HealthReport {
        let core = &self.core;
        let outage = core.store.outage().map(|outage| {
            let since_ms = core.clock.now_ms().saturating_sub(outage.lasted.as_millis() as u64);
            (outage, since_ms)
        });
        let fenced = core.fence.check().err().map(|fenced| fenced.to_string());
        let step_died = core.catalog.check().err().map(|died| died.to_string());
        let damage = core.damage_reasons();
        HealthReport::of(fenced, step_died, self.write_path.ailments(), (core.store.place(), outage), damage)
    }
}
