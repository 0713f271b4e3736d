//! Settings of the object store and of the objects in it.

use std::{path::PathBuf, time::Duration};

use super::secret::Secret;

const MIB: u64 = 1 << 20;

/// Where objects live.
#[derive(Debug, Clone, PartialEq)]
pub enum StorageKind {
    /// A directory. `None`: `files` below the data directory.
    Local { root: Option<PathBuf> },
    /// An S3-compatible bucket.
    S3(S3Config),
}

/// An S3-compatible bucket and how it is reached.
#[derive(Clone, PartialEq, Default)]
pub struct S3Config {
    /// `host:port`.
    pub endpoint: String,
    pub bucket: String,
    /// Prefix of every object name.
    pub root_path: String,
    pub access_key: Secret,
    pub secret_key: Secret,
    pub region: String,
    pub use_ssl: bool,
    pub virtual_host: bool,
    /// A request is given up when no bytes arrive for this long. Zero: never.
    pub request_timeout: Duration,
    /// Creates a missing bucket at the start.
    pub create_bucket: bool,
}

impl S3Config {
    /// The location for log lines and errors, with the keys that set it.
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

/// The object store and how often it is asked again.
#[derive(Debug, Clone, PartialEq)]
pub struct StorageConfig {
    pub kind: StorageKind,
    /// Attempts of one request to the store, the first included.
    pub max_attempts: u32,
    /// First pause between attempts; doubles each time.
    pub retry_backoff: Duration,
    /// A start fails when the store does not answer for this long.
    pub start_timeout: Duration,
    /// Owner whose mark on the store this start may replace. Empty: no owner's.
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

/// How objects are written. Offers no choice that would make objects unreadable for Milvus.
#[derive(Debug, Clone, PartialEq)]
pub struct BinlogConfig {
    /// A new binlog begins when the rows of the current one exceed this many bytes in memory, all fields together.
    pub max_bytes: u64,
    pub zstd_level: i32,
    /// Approximate bytes of a page before compression. A merge with little memory makes smaller pages.
    pub page_bytes: u64,
    /// Most rows of a row group.
    pub row_group_rows: u64,
    /// Uses dictionary encoding for columns whose values may repeat. `false`: every value is written out.
    pub dictionary: bool,
    /// False-positive rate of the primary-key filter.
    pub bloom_false_positive: f64,
}

impl Default for BinlogConfig {
    fn default() -> Self {
        Self {
            max_bytes: 64 * MIB,
            zstd_level: 3,
            // Raw and compressed bytes fit a core's cache together. Larger pages slow a merge down and delay requests.
            page_bytes: MIB / 4,
            // As Milvus writes: one row group holds everything.
            row_group_rows: 1 << 30,
            dictionary: true,
            bloom_false_positive: 0.05,
        }
    }
}
