//! All settings of a process as one value.

use super::{
    access::AccessConfig,
    budget::{self, Division, MemoryConfig},
    compaction::{CompactionConfig, GcConfig, IndexConfig, ScrubConfig, WorkerConfig},
    ingest::IngestConfig,
    server::{LimitsConfig, LogConfig, QueryConfig, ServerConfig},
    storage::{BinlogConfig, StorageConfig},
    tls::TlsConfig,
    trace::TraceConfig,
};

/// All settings of a process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    pub memory: MemoryConfig,
    /// Memory of each part. The shares of a large machine until [`Config::divide_memory`] is called.
    pub budget: Division,
    pub access: AccessConfig,
    pub server: ServerConfig,
    pub tls: TlsConfig,
    pub storage: StorageConfig,
    pub binlog: BinlogConfig,
    pub ingest: IngestConfig,
    pub query: QueryConfig,
    pub compaction: CompactionConfig,
    pub worker: WorkerConfig,
    pub gc: GcConfig,
    pub index: IndexConfig,
    pub scrub: ScrubConfig,
    pub limits: LimitsConfig,
    pub log: LogConfig,
    pub trace: TraceConfig,
}

impl Config {
    /// Divides `total` bytes over all parts and copies the shares to the sections that use them.
    ///
    /// # Errors
    /// `DoesNotFit` when the settings take more than `total`.
    pub fn divide_memory(&mut self, total: u64) -> Result<(), budget::DoesNotFit> {
        let logins = self.access.login_bytes();
        let division = budget::divide(total.saturating_sub(logins), &self.memory)?;
        self.budget = Division { total, base: division.base + logins, ..division };
        self.ingest.memory_limit_bytes = division.growing / budget::GROWING_TIMES;
        self.worker.memory_limit_bytes = division.merges;
        Ok(())
    }
}
