//! Primary-key filters of segments that deletes were routed to lately.
//!
//! A cache and nothing more: a miss is read from the store. Bounded by bytes, least recently used go first.

use std::sync::Arc;

use quick_cache::{Weighter, sync::Cache};

use crate::{binlog::PkStats, model::SegmentId};

/// Filters take about 0.8 bytes a key: this holds those of some 80 million rows.
const CAPACITY_BYTES: u64 = 64 << 20;
/// Expected entries; sizes the table only.
const EXPECTED: usize = 10_000;

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<SegmentId, Arc<Vec<PkStats>>> for ByBytes {
    fn weight(&self, _id: &SegmentId, stats: &Arc<Vec<PkStats>>) -> u64 {
        stats.iter().map(|s| s.filter.bits() / 8 + 128).sum()
    }
}

#[derive(Debug)]
pub(super) struct StatsCache {
    cache: Cache<SegmentId, Arc<Vec<PkStats>>, ByBytes>,
}

impl Default for StatsCache {
    fn default() -> Self {
        Self { cache: Cache::with_weighter(EXPECTED, CAPACITY_BYTES, ByBytes) }
    }
}

impl StatsCache {
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
