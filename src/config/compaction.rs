//! Settings of background work: compaction, its workers, garbage collection, scrubbing.

use std::time::Duration;

use super::windows::Windows;

const MIB: u64 = 1 << 20;

/// When and what to compact, and how long the history is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct CompactionConfig {
    /// Switches all compaction, manual compaction included.
    pub enabled: bool,
    /// Switches automatic compaction: after flushes and at the global interval.
    pub auto_enabled: bool,
    /// A segment takes part once its vectors have their index, as in Milvus; also if a client asks.
    pub indexed_only: bool,
    /// How often automatic compaction looks at every group of segments.
    pub global_interval: Duration,
    /// Maximum segment size. Outputs are filled up to it and never exceed it.
    pub max_segment_bytes: u64,
    /// A segment below this share of the maximum size is small.
    pub small_proportion: f64,
    /// A group with more small segments than this has them merged.
    pub max_small_segments: u32,
    /// Fewer small segments are merged if together they reach this share of the maximum size.
    pub full_proportion: f64,
    /// A segment with a larger share of delta rows is rewritten.
    pub delta_ratio: f64,
    /// A segment with more bytes of delta logs is rewritten.
    pub delta_bytes: u64,
    /// A segment with more delta logs is rewritten.
    pub delta_logs: u32,
    /// A segment with a larger share of expired rows is rewritten.
    pub expired_ratio: f64,
    /// A share that equals its threshold is beyond it, as in Milvus.
    pub inclusive_shares: bool,
    /// Deletes newer than this are not compacted away.
    pub retention: Duration,
    /// Most inputs of one plan.
    pub max_inputs: u32,
    /// Times of the day at which automatic compaction may begin.
    pub windows: Windows,
    /// Finished jobs are kept this long.
    pub history_age: Duration,
    /// Most finished jobs that are kept.
    pub history_jobs: u64,
}

impl Default for CompactionConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            auto_enabled: true,
            indexed_only: false,
            global_interval: Duration::from_secs(60),
            max_segment_bytes: 512 * MIB,
            small_proportion: 0.5,
            max_small_segments: 10,
            full_proportion: 0.85,
            delta_ratio: 0.2,
            delta_bytes: 10 * MIB,
            delta_logs: 200,
            expired_ratio: 0.2,
            inclusive_shares: false,
            retention: Duration::ZERO,
            max_inputs: 1000,
            windows: Windows::default(),
            history_age: Duration::from_secs(90 * 86_400),
            history_jobs: 1_000_000,
        }
    }
}

/// How plans are executed.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkerConfig {
    /// Plans that run at once.
    pub max_concurrency: usize,
    /// Memory for merging, all plans together.
    pub memory_limit_bytes: u64,
    /// Bytes that all merges together may read and write per second. Zero: no limit.
    pub throttle_bytes: u64,
    /// An execution times out after this long without progress.
    pub progress_timeout: Duration,
    /// Most executions of one plan, the first included. The last transient error becomes the failure.
    pub max_attempts: u32,
    /// First pause between attempts; it doubles each time.
    pub retry_backoff: Duration,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            max_concurrency: 2,
            memory_limit_bytes: 256 * MIB,
            throttle_bytes: 0,
            progress_timeout: Duration::from_secs(900),
            max_attempts: 3,
            retry_backoff: Duration::from_secs(1),
        }
    }
}

/// When files are deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct GcConfig {
    /// Switches automatic rounds. A user can ask for a round in either case.
    pub enabled: bool,
    /// Time between automatic rounds.
    pub interval: Duration,
    /// Files of a segment that a compaction replaced are deleted after this.
    pub drop_tolerance: Duration,
    /// Files that no segment refers to are deleted after this.
    pub missing_tolerance: Duration,
}

impl Default for GcConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_secs(3600),
            drop_tolerance: Duration::from_secs(10_800),
            missing_tolerance: Duration::from_secs(3600),
        }
    }
}

/// Which segments get indexes.
#[derive(Debug, Clone, PartialEq)]
pub struct IndexConfig {
    /// Segments with fewer rows are searched without an index.
    pub min_rows: u64,
}

impl Default for IndexConfig {
    fn default() -> Self {
        Self { min_rows: 1024 }
    }
}

/// How often the scrubber compares objects with their checksums.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrubConfig {
    /// Every object is read once in this time. Zero: never.
    pub interval: Duration,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(7 * 24 * 3600) }
    }
}
