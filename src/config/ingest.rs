//! Settings of the write path.

use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Growing segments, the write-ahead log and waiting deletes.
#[derive(Debug, Clone, PartialEq)]
pub struct IngestConfig {
    /// A growing segment is sealed at this share of the maximum segment size.
    pub seal_proportion: f64,
    /// Maximum segment size, the same as for compaction.
    pub max_segment_bytes: u64,
    /// A growing segment is sealed at this age.
    pub max_life: Duration,
    /// A growing segment of at least `min_idle_bytes` is sealed when it gets no rows for this long.
    pub max_idle: Duration,
    /// An idle segment below this size is not sealed.
    pub min_idle_bytes: u64,
    /// Growing segments are sealed, largest first, while they hold more than this in memory together.
    pub memory_limit_bytes: u64,
    /// The oldest growing segments are sealed while the log is longer than this.
    pub wal_max_bytes: u64,
    /// The log begins a new file beyond this size.
    pub wal_file_bytes: u64,
    /// Name of a log whose loss is accepted: a start that can't read all of it begins a new one.
    pub accept_lost_log: Option<uuid::Uuid>,
    /// Deletes of flushed segments are written as delta logs when this many wait.
    pub delta_max_rows: u64,
    /// Deletes of flushed segments are written as delta logs when the oldest has waited this long.
    pub delta_max_age: Duration,
}

impl Default for IngestConfig {
    fn default() -> Self {
        Self {
            seal_proportion: 0.23,
            max_segment_bytes: 512 * MIB,
            max_life: Duration::from_secs(86_400),
            max_idle: Duration::from_secs(600),
            min_idle_bytes: 16 * MIB,
            memory_limit_bytes: 1024 * MIB,
            wal_max_bytes: 4096 * MIB,
            wal_file_bytes: 256 * MIB,
            accept_lost_log: None,
            delta_max_rows: 500_000,
            delta_max_age: Duration::from_secs(600),
        }
    }
}
