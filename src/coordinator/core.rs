//! What the coordinator's parts share: the truth in memory, the catalog, the store, ids and time.
//!
//! The log's flushes and the scheduler's results come back through here ([`super::commit`], [`super::execution`]);
//! therefore this part knows neither of them.

use std::{collections::HashSet, sync::Arc};

use parking_lot::Mutex;

use super::{
    CoordinatorError, events::FlushEvents, failures::Failures, jobs::JobBook, state::State, stats_cache::StatsCache,
    verdicts::Verdicts,
};
use crate::{
    binlog::PkStats,
    clock::Clock,
    config::Config,
    ingest::{IdAllocator, Tso},
    meta::Catalog,
    model::{Segment, SegmentId},
    storage::{self, SegmentStore},
    telemetry::Metrics,
};

pub struct Core {
    pub(super) config: Arc<Config>,
    pub(super) catalog: Catalog,
    pub(super) store: SegmentStore,
    pub(super) ids: Arc<IdAllocator>,
    pub(super) tso: Arc<Tso>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) state: State,
    pub(super) jobs: JobBook,
    pub(super) flush_events: FlushEvents,
    pub(super) verdicts: Verdicts,
    pub(super) failures: Failures,
    pub(super) outputs_in_flight: OutputsInFlight,
    pub(super) stats_cache: StatsCache,
}

impl Core {
    /// Primary-key filters of a live segment.
    pub(super) async fn stats(&self, segment: &Segment) -> Result<Arc<Vec<PkStats>>, CoordinatorError> {
        if let Some(stats) = self.stats_cache.get(segment.id) {
            return Ok(stats);
        }
        let logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
        let stats = Arc::new(storage::read_stats(&self.store, super::commit::log_ids(segment), &logs).await?);
        self.stats_cache.put(segment.id, Arc::clone(&stats));
        Ok(stats)
    }
}

/// Segments that running plans are writing: no catalog record names them yet, and still they are not garbage.
#[derive(Debug, Default)]
pub(super) struct OutputsInFlight {
    ids: Mutex<HashSet<SegmentId>>,
}

impl OutputsInFlight {
    pub(super) fn add(&self, id: SegmentId) {
        self.ids.lock().insert(id);
    }

    pub(super) fn remove(&self, ids: impl IntoIterator<Item = SegmentId>) {
        let mut set = self.ids.lock();
        for id in ids {
            set.remove(&id);
        }
    }

    pub(super) fn contains(&self, id: SegmentId) -> bool {
        self.ids.lock().contains(&id)
    }
}
