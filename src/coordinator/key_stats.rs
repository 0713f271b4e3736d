//! Key statistics of flushed segments: primary-key filters that tell which segment may hold a key.
//!
//! Those that were used lately are in the cache (`stats_cache`); others are read from the store.
//!
//! Must never: rule a key out because statistics are missing or damaged.

use std::sync::Arc;

use tracing::warn;

use super::{CoordinatorError, Core};
use crate::{
    binlog::PkStats,
    error::{Classify, ErrorKind},
    model::{PrimaryKey, Segment},
    storage,
};

/// Knowledge of the keys of a live segment.
pub(super) enum KeyStats {
    /// Filters over all of them.
    Read(Arc<Vec<PkStats>>),
    /// The object is damaged.
    Unreadable,
}

impl KeyStats {
    /// False only if the segment certainly does not have the key.
    pub(super) fn may_contain(&self, key: &PrimaryKey) -> bool {
        match self {
            // Some writers keep no statistics.
            Self::Read(stats) => stats.is_empty() || stats.iter().any(|part| part.may_contain(key)),
            Self::Unreadable => true,
        }
    }
}

impl Core {
    /// Primary-key filters of a live segment.
    async fn stats(&self, segment: &Segment) -> Result<Arc<Vec<PkStats>>, CoordinatorError> {
        if let Some(stats) = self.stats_cache.get(segment.id) {
            return Ok(stats);
        }
        let logs = self.catalog.segment_logs(&segment.group, segment.id).await?;
        let stats = Arc::new(storage::read_stats(&self.store, segment.log_ids(), &logs).await?);
        self.stats_cache.put(segment.id, Arc::clone(&stats));
        Ok(stats)
    }

    /// The same, for routing deletes to the segment. Damaged statistics are no error: then every delete in the segment's
    /// key range goes to it. A delta log may name keys that its segment does not have, and no delete has to wait for an
    /// object that may be lost for good.
    ///
    /// # Errors
    /// A store that does not answer, which may pass.
    pub(super) async fn key_stats(&self, segment: &Segment) -> Result<KeyStats, CoordinatorError> {
        match self.stats(segment).await {
            Ok(stats) => {
                self.damage.mended(segment.id);
                Ok(KeyStats::Read(stats))
            }
            Err(CoordinatorError::Storage(error))
                if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Precondition) =>
            {
                if self.damage.note_read(segment, &error) {
                    warn!(segment = %segment.id, %error, "key statistics can't be read: all deletes in its range go to it");
                }
                Ok(KeyStats::Unreadable)
            }
            Err(error) => Err(error),
        }
    }
}
