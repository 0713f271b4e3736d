//! Key statistics that were used lately, bounded by bytes. The least recently used go first.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};

use crate::{binlog::PkStats, model::SegmentId};

/// Expected entries; sizes the table only.
const EXPECTED: usize = 10_000;

#[derive(Debug, Clone)]
struct StatsWeight;

impl Weighter<SegmentId, Arc<Vec<PkStats>>> for StatsWeight {
    fn weight(&self, _id: &SegmentId, stats: &Arc<Vec<PkStats>>) -> u64 {
        stats.iter().map(|s| s.filter.bits() / 8 + 128).sum()
    }
}

#[derive(Debug)]
pub(super) struct StatsCache {
    cache: Cache<SegmentId, Arc<Vec<PkStats>>, StatsWeight>,
}

impl StatsCache {
    /// Filters take about 0.8 bytes a key: 64 MB hold those of some 80 million rows.
    pub(super) fn new(capacity_bytes: u64) -> Self {
        Self { cache: Cache::with_weighter(EXPECTED, capacity_bytes, StatsWeight) }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.cache.weight()
    }

    pub(super) fn get(&self, id: SegmentId) -> Option<Arc<Vec<PkStats>>> {
        self.cache.get(&id)
    }

    pub(super) fn put(&self, id: SegmentId, stats: Arc<Vec<PkStats>>) {
        self.cache.insert(id, stats);
    }

    pub(super) fn forget(&self, id: SegmentId) {
        self.cache.remove(&id);
    }
}
