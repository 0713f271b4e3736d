//! Typed settings. Every number here has its unit in its type or its name; how Milvus spells a key and in which unit
//! its bare numbers are is [`milvus_yaml`]'s business alone.
//!
//! Layers: these defaults < file < environment < flags ([`layers`]). Settings are values: they hold no store, clock or
//! socket. This module must never print a secret: `Debug` and [`milvus_yaml::render`] leave them out.

pub mod budget;
mod keys;
pub mod layers;
pub mod machine;
pub mod milvus_yaml;
pub mod setting;
pub mod validate;
pub mod windows;

#[cfg(test)]
mod tests;

pub use budget::{Division, Part};
pub use layers::{LoadError, Loaded, Origin, Sources};
pub use windows::Windows;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

const MIB: u64 = 1 << 20;

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    pub memory: MemoryConfig,
    /// What each part may hold. As on a large machine until [`Config::divide_memory`] has looked at this one.
    pub budget: Division,
    pub server: ServerConfig,
    pub storage: StorageConfig,
    pub binlog: BinlogConfig,
    pub ingest: IngestConfig,
    pub query: QueryConfig,
    pub compaction: CompactionConfig,
    pub worker: WorkerConfig,
    pub gc: GcConfig,
    pub scrub: ScrubConfig,
    pub limits: LimitsConfig,
    pub log: LogConfig,
}

impl Config {
    /// Divides `total` bytes over everything that holds memory, and puts the shares where they are used.
    ///
    /// # Errors
    /// `DoesNotFit` when the settings take more than that.
    pub fn divide_memory(&mut self, total: u64) -> Result<(), budget::DoesNotFit> {
        let division = budget::divide(total, &self.memory)?;
        self.budget = division;
        self.ingest.memory_limit_bytes = division.growing / budget::GROWING_TIMES;
        self.worker.memory_limit_bytes = division.merges;
        Ok(())
    }
}

/// Limits of memory that were set, in bytes; zero: from the total.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryConfig {
    /// What the process may use; zero: what its cgroup and the machine give.
    pub limit_bytes: u64,
    /// Growing segments are sealed, largest first, while they hold more than this together; writers wait at twice that.
    pub growing_bytes: u64,
    pub merges_bytes: u64,
    pub queries_bytes: u64,
    pub requests_bytes: u64,
    pub flushes_bytes: u64,
    pub caches_bytes: u64,
    /// Let the allocator take huge pages, unless the process has little memory.
    pub huge_pages: bool,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            limit_bytes: 0,
            growing_bytes: 0,
            merges_bytes: 0,
            queries_bytes: 0,
            requests_bytes: 0,
            flushes_bytes: 0,
            caches_bytes: 0,
            huge_pages: true,
        }
    }
}

impl MemoryConfig {
    pub fn of(&self, part: Part) -> u64 {
        match part {
            Part::Growing => self.growing_bytes,
            Part::Merges => self.merges_bytes,
            Part::Queries => self.queries_bytes,
            Part::Requests => self.requests_bytes,
            Part::Flushes => self.flushes_bytes,
            Part::Caches => self.caches_bytes,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Metadata store, write-ahead log and, with local storage, the objects live below it.
    pub data_dir: PathBuf,
    pub grpc_listen: SocketAddr,
    pub http_listen: SocketAddr,
    /// First part of every channel name.
    pub channel_prefix: String,
    /// A larger request is refused with RESOURCE_EXHAUSTED.
    pub max_request_bytes: usize,
    /// How long a graceful stop waits for calls in flight.
    pub drain_timeout: Duration,
    /// Connections at once; zero: as many as descriptors and memory allow.
    pub max_connections: usize,
    /// Calls at once on one connection.
    pub max_streams: u32,
    /// A connection is closed when a handshake, a head or a body that has begun does not get on for this long.
    pub idle_timeout: Duration,
    /// A call that waits for memory for longer than this is refused.
    pub admission_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            grpc_listen: SocketAddr::from(([0, 0, 0, 0], 19530)),
            http_listen: SocketAddr::from(([0, 0, 0, 0], 9091)),
            channel_prefix: "by-dev".to_owned(),
            max_request_bytes: 64 * MIB as usize,
            drain_timeout: Duration::from_secs(10),
            max_connections: 0,
            max_streams: 1024,
            idle_timeout: Duration::from_secs(30),
            admission_timeout: Duration::from_secs(10),
        }
    }
}

/// How many queries run at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryConfig {
    /// Zero: two for each core, and four at least.
    pub max_concurrency: usize,
}

/// Where objects live.
#[derive(Debug, Clone, PartialEq)]
pub enum StorageKind {
    /// A directory; none: `files` below the data directory.
    Local { root: Option<PathBuf> },
    /// An S3-compatible bucket.
    S3(S3Config),
}

#[derive(Clone, PartialEq, Default)]
pub struct S3Config {
    /// `host:port`.
    pub endpoint: String,
    pub bucket: String,
    /// Prefix of every object name.
    pub root_path: String,
    pub access_key: String,
    pub secret_key: String,
    pub region: String,
    pub use_ssl: bool,
    pub virtual_host: bool,
    /// A request that hears nothing for this long is given up; zero: never.
    pub request_timeout: Duration,
    /// Whether a bucket that is missing is made at the start.
    pub create_bucket: bool,
}

impl S3Config {
    /// Where it is, as an operator knows it, with the keys that say so.
    pub fn place(&self) -> String {
        let scheme = if self.use_ssl { "https" } else { "http" };
        format!(
            "bucket {} (minio.bucketName) at {scheme}://{} (minio.address), prefix {:?} (minio.rootPath)",
            self.bucket, self.endpoint, self.root_path
        )
    }
}

impl std::fmt::Debug for S3Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Config")
            .field("endpoint", &self.endpoint)
            .field("bucket", &self.bucket)
            .field("root_path", &self.root_path)
            .field("region", &self.region)
            .field("use_ssl", &self.use_ssl)
            .field("virtual_host", &self.virtual_host)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct StorageConfig {
    pub kind: StorageKind,
    /// Attempts of one request to the store, the first included.
    pub max_attempts: u32,
    /// First pause between attempts; doubles each time.
    pub retry_backoff: Duration,
    /// A start that hears nothing from the store for this long is given up.
    pub start_timeout: Duration,
    /// Which mark of the store a start may replace although it is not its own; empty: none.
    pub take_over: String,
}

impl Default for StorageConfig {
    fn default() -> Self {
        Self {
            kind: StorageKind::Local { root: None },
            max_attempts: 5,
            retry_backoff: Duration::from_millis(50),
            start_timeout: Duration::from_secs(30),
            take_over: String::new(),
        }
    }
}

/// How objects are written. What real Milvus refuses to read can't be configured.
#[derive(Debug, Clone, PartialEq)]
pub struct BinlogConfig {
    /// A batch of rows is cut into a new binlog beyond this many bytes in memory, over all fields.
    pub max_bytes: u64,
    pub zstd_level: i32,
    /// Bytes of a page before compression, about; a merge with little memory makes smaller ones.
    pub page_bytes: u64,
    /// Rows of a row group at most.
    pub row_group_rows: u64,
    /// Columns whose values may repeat begin with a dictionary; false: all values are written out.
    pub dictionary: bool,
    /// False-positive rate of the primary-key filter.
    pub bloom_false_positive: f64,
}

impl Default for BinlogConfig {
    fn default() -> Self {
        Self {
            max_bytes: 64 * MIB,
            zstd_level: 3,
            // Fits the cache of a core with what it becomes: larger pages make a merge slower and others wait longer.
            page_bytes: MIB / 4,
            // As the original writer has it: everything is one row group.
            row_group_rows: 1 << 30,
            dictionary: true,
            bloom_false_positive: 0.05,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct IngestConfig {
    /// A growing segment is sealed at this share of the maximum segment size.
    pub seal_proportion: f64,
    pub max_segment_bytes: u64,
    /// A growing segment is sealed at this age,
    pub max_life: Duration,
    /// or when nothing was written to it for this long and it has at least `min_idle_bytes`.
    pub max_idle: Duration,
    pub min_idle_bytes: u64,
    /// Growing segments are sealed, largest first, while they hold more than this in memory together.
    pub memory_limit_bytes: u64,
    /// The oldest growing segments are sealed while the log is longer than this.
    pub wal_max_bytes: u64,
    /// A new log file is begun beyond this size.
    pub wal_file_bytes: u64,
    /// The log of this name is given up if it can't be read as a whole.
    pub accept_lost_log: Option<uuid::Uuid>,
    /// Deletes of flushed segments are written as delta logs when this many wait, or after `delta_max_age`.
    pub delta_max_rows: u64,
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

#[derive(Debug, Clone, PartialEq)]
pub struct CompactionConfig {
    /// Switches all compaction.
    pub enabled: bool,
    /// Switches the flush event and the global tick.
    pub auto_enabled: bool,
    pub global_interval: Duration,
    /// Outputs are packed towards this size and never beyond it.
    pub max_segment_bytes: u64,
    /// A segment below this share of the maximum is small.
    pub small_proportion: f64,
    /// More small segments than this in a group are merged.
    pub max_small_segments: u32,
    /// Fewer small segments are merged if they reach this share of the maximum together.
    pub full_proportion: f64,
    /// A segment is rewritten beyond this share of delta rows,
    pub delta_ratio: f64,
    /// this many bytes of delta logs,
    pub delta_bytes: u64,
    /// this many delta logs,
    pub delta_logs: u32,
    /// or this share of expired rows.
    pub expired_ratio: f64,
    /// Operations newer than this are not compacted away.
    pub retention: Duration,
    /// Inputs of one plan at most.
    pub max_inputs: u32,
    /// When automatic work may begin.
    pub windows: Windows,
    /// Finished jobs are kept this long,
    pub history_age: Duration,
    /// and not more than this many.
    pub history_jobs: u64,
}

impl Default for CompactionConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            auto_enabled: true,
            global_interval: Duration::from_secs(60),
            max_segment_bytes: 512 * MIB,
            small_proportion: 0.5,
            max_small_segments: 10,
            full_proportion: 0.85,
            delta_ratio: 0.2,
            delta_bytes: 10 * MIB,
            delta_logs: 200,
            expired_ratio: 0.2,
            retention: Duration::ZERO,
            max_inputs: 1000,
            windows: Windows::default(),
            history_age: Duration::from_secs(90 * 86_400),
            history_jobs: 1_000_000,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct WorkerConfig {
    /// Plans executed at once.
    pub max_concurrency: usize,
    /// Memory for merging, all plans together.
    pub memory_limit_bytes: u64,
    /// Bytes that merges read and write per second, together; 0: no limit.
    pub throttle_bytes: u64,
    /// An execution without progress for this long has timed out.
    pub progress_timeout: Duration,
    /// Executions of one plan, the first included, before transient errors become a failure.
    pub max_attempts: u32,
    /// First pause before another attempt; doubles each time.
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

#[derive(Debug, Clone, PartialEq)]
pub struct GcConfig {
    /// Off: nothing is deleted unless a user asks for it.
    pub enabled: bool,
    pub interval: Duration,
    /// Files of a segment that a compaction replaced go after this.
    pub drop_tolerance: Duration,
    /// Files that no segment names go after this.
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

/// How often every object is read and compared with its checksum.
#[derive(Debug, Clone, PartialEq)]
pub struct ScrubConfig {
    /// Zero: never.
    pub interval: Duration,
}

impl Default for ScrubConfig {
    fn default() -> Self {
        Self { interval: Duration::from_secs(7 * 24 * 3600) }
    }
}

/// Limits on what a user may define, as Milvus 2.3.5 has them.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    pub max_dimension: u32,
    pub max_shards: u32,
    pub max_fields: u32,
    pub max_name_length: usize,
    pub max_databases: usize,
    pub max_partitions: usize,
    pub max_varchar_length: u32,
    pub max_array_capacity: u32,
    /// Bytes of one JSON value.
    pub max_json_bytes: usize,
    /// Rows of one query answer: limit + offset.
    pub max_query_rows: u64,
    /// Partitions of a collection with a partition key, when the client names no number.
    pub default_partition_count: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_dimension: 32_768,
            max_shards: 16,
            max_fields: 64,
            max_name_length: 255,
            max_databases: 64,
            max_partitions: 4096,
            max_varchar_length: 65_535,
            max_array_capacity: 4096,
            max_json_bytes: 65_536,
            max_query_rows: 16_384,
            default_partition_count: 64,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// Filter directives, e.g. `info` or `datacoord=debug,info`.
    pub level: String,
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}
