//! Settings of the process and its edges: ports, queries, limits on requests, log lines.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

const MIB: usize = 1 << 20;

/// Addresses and limits of the two ports.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Folder of the metadata store, of the write-ahead log and, with local storage, of the objects.
    pub data_dir: PathBuf,
    pub grpc_listen: SocketAddr,
    pub http_listen: SocketAddr,
    /// Names with a dot, separated by commas, under which browsers reach the HTTP port.
    pub http_names: String,
    /// Metrics need neither a login nor a certificate.
    pub open_metrics: bool,
    /// First part of every channel name.
    pub channel_prefix: String,
    /// A larger request is refused with RESOURCE_EXHAUSTED.
    pub max_request_bytes: usize,
    /// How long a graceful stop waits for calls in flight.
    pub drain_timeout: Duration,
    /// Open connections at once. Zero: as many as descriptors and memory allow.
    pub max_connections: usize,
    /// Calls in flight on one connection.
    pub max_streams: u32,
    /// A connection is closed when a handshake, a head or a body stalls for this long.
    pub idle_timeout: Duration,
    /// A call that has waited this long for memory is refused.
    pub admission_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("./data"),
            grpc_listen: SocketAddr::from(([0, 0, 0, 0], 19530)),
            http_listen: SocketAddr::from(([0, 0, 0, 0], 9091)),
            http_names: String::new(),
            open_metrics: true,
            channel_prefix: "by-dev".to_owned(),
            max_request_bytes: 64 * MIB,
            drain_timeout: Duration::from_secs(10),
            max_connections: 0,
            max_streams: 1024,
            idle_timeout: Duration::from_secs(30),
            admission_timeout: Duration::from_secs(10),
        }
    }
}

/// How many queries run at once, and where they keep indexes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueryConfig {
    /// Zero: two for each core, at least four.
    pub max_concurrency: usize,
    /// Folder of the files from which indexes are mapped. Empty: indexes are in memory.
    pub mapped_indexes: PathBuf,
}

/// Limits on definitions, values and answers; the defaults are those of Milvus 2.3.5.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    pub max_dimension: u32,
    pub max_shards: u32,
    pub max_fields: u32,
    pub max_name_length: usize,
    pub max_databases: usize,
    /// Collections of all databases.
    pub max_collections: usize,
    pub max_database_collections: usize,
    pub max_partitions: usize,
    pub max_varchar_length: u32,
    pub max_array_capacity: u32,
    /// Largest JSON value.
    pub max_json_bytes: usize,
    /// Most rows of one query, limit and offset together.
    pub max_query_rows: u64,
    /// Partitions of a collection with a partition key when the client gives no number.
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
            max_collections: 65_536,
            max_database_collections: 65_536,
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
