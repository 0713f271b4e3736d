//! The state that the coordinator's parts share: the truth in memory, the catalog, the store, ids and time.
//!
//! The log's flushes and the scheduler's results come back through here ([`super::commit`], [`super::execution`]);
//! therefore this part knows neither of them.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::Notify;

use super::{
    Collections,
    damage::Damage,
    deadlines::Deadlines,
    events::FlushEvents,
    failures::Failures,
    index_failures::IndexFailures,
    jobs::JobBook,
    merge_rate::MergeRate,
    ownership::Ownership,
    pins::Pins,
    scrubber::Scrubber,
    stats_cache::StatsCache,
    steps::StepCatalog,
    sync::{Mutex, RwLock},
};
use crate::{
    clock::Clock,
    compactor::Throttle,
    config::Config,
    fence::Fence,
    ids::{BoundKeeper, IdAllocator, Tso},
    model::{CollectionId, Controls, PlanId, SegmentId},
    storage::{SegmentCache, SegmentStore},
    telemetry::Metrics,
};

pub struct Core {
    pub(super) config: Arc<Config>,
    pub(super) catalog: StepCatalog,
    pub(super) store: SegmentStore,
    pub(super) fence: Fence,
    pub(super) ownership: Arc<Ownership>,
    pub(super) ids: Arc<IdAllocator>,
    pub(super) tso: Arc<Tso>,
    pub(super) bounds: BoundKeeper,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) collections: Collections,
    pub(super) pins: Pins,
    pub(super) jobs: JobBook,
    pub(super) flush_events: FlushEvents,
    pub(super) failures: Failures,
    pub(super) index_failures: IndexFailures,
    pub(super) outputs_in_flight: OutputsInFlight,
    pub(super) stats_cache: StatsCache,
    /// Of searches; here, because segments are dropped here.
    pub(super) segment_cache: Arc<SegmentCache>,
    pub(super) damage: Damage,
    pub(super) merge_rate: MergeRate,
    pub(super) throttle: Arc<Throttle>,
    pub(super) deadlines: Deadlines,
    /// Standing orders, as they are stored.
    pub(super) controls: RwLock<Controls>,
    /// Serialises changes of them.
    pub(super) controls_change: Arc<tokio::sync::Mutex<()>>,
    pub(super) scrubber: Scrubber,
    /// One round of garbage collection at a time.
    pub(super) collecting: Arc<tokio::sync::Mutex<()>>,
    /// One backup at a time: each keeps files and old pages of the catalog.
    pub(super) backing_up: Arc<tokio::sync::Mutex<()>>,
    /// Something other than a change of segments is a reason to look at all groups.
    pub(super) look_again: Notify,
    /// When the global timer looks at everything again, milliseconds since 1970; 0 before the timer runs.
    pub(super) next_tick_ms: AtomicU64,
}

impl Core {
    fn is_live(&self, collection: CollectionId, segment: SegmentId) -> bool {
        let cell = self.collections.by_id(collection).ok();
        cell.and_then(|cell| cell.segment(segment)).is_some_and(|segment| segment.is_live())
    }

    /// Damage of live segments, in sentences.
    pub(super) fn damage_reasons(&self) -> Vec<String> {
        self.damage.reasons(|collection, segment| self.is_live(collection, segment))
    }

    /// Live segments whose key statistics could not be read.
    pub(super) fn unreadable_segments(&self) -> usize {
        self.damage.unreadable(|collection, segment| self.is_live(collection, segment))
    }

    pub(crate) fn ids(&self) -> &Arc<IdAllocator> {
        &self.ids
    }

    pub(crate) fn tso(&self) -> &Arc<Tso> {
        &self.tso
    }

    pub(crate) fn store(&self) -> &SegmentStore {
        &self.store
    }

    pub(super) fn note_next_tick(&self) {
        let at = self.clock.now_ms().saturating_add(self.config.compaction.global_interval.as_millis() as u64);
        self.next_tick_ms.store(at, Ordering::Relaxed);
    }
}

/// Ids that running plans may give to the segments they write. No catalog record names these segments yet, but their
/// objects are not garbage (P5).
#[derive(Debug, Default)]
pub(super) struct OutputsInFlight {
    reserved: Mutex<HashMap<PlanId, Range<i64>>>,
}

impl OutputsInFlight {
    /// The ids of the plan's attempt that begins now.
    pub(super) fn reserve(&self, plan: PlanId, ids: Range<i64>) {
        self.reserved.lock().insert(plan, ids);
    }

    /// The plan has committed its outputs or given them up. From now on the other objects that it left are garbage.
    pub(super) fn release(&self, plan: PlanId) {
        self.reserved.lock().remove(&plan);
    }

    /// True while an attempt of this plan may be writing an index.
    pub(super) fn is_building(&self, plan: PlanId) -> bool {
        self.reserved.lock().contains_key(&plan)
    }

    /// As many ranges are looked at as there are running plans: a few.
    pub(super) fn contains(&self, id: SegmentId) -> bool {
        self.reserved.lock().values().any(|ids| ids.contains(&id.0))
    }
}
