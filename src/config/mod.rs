//! Typed settings: how Milvus spells a key, which unit it has, and what the program uses.
//!
//! Layers: defaults < file < environment < flags ([`layers`]). Settings are values: they hold no store, clock or socket.
//!
//! Must never: print a secret (`Debug` and [`milvus_yaml::render`] leave secrets out), or correct a value silently.
//!
//! ```text
//! layers                       reads and merges the layers
//!   keys ── key ── setting     the one table: name, unit, range, sentence, typed field
//!   spelling                   which key a name means
//!   stock                      keys of Milvus and their defaults
//!   address                    names and numbers to listen on
//!   raw                        settings while layers are applied
//!   validate                   rules over several settings
//! settings                     Config, by section:
//!   access   server   tls   trace   storage   ingest   compaction   budget   windows
//!   secret                     text that is never printed
//! milvus_yaml                  settings as YAML
//! machine                      memory that the process may use
//! ```

mod access;
mod address;
mod budget;
mod compaction;
mod error;
mod ingest;
mod key;
mod keys;
pub mod layers;
pub mod machine;
pub mod milvus_yaml;
mod raw;
mod secret;
mod server;
mod setting;
mod settings;
mod spelling;
mod stock;
mod storage;
mod tls;
mod trace;
mod validate;
mod windows;

pub use access::{AccessConfig, HASH_BYTES};
pub use address::parse_listen;
pub use budget::{Division, DoesNotFit, MemoryConfig, Part};
pub use compaction::{CompactionConfig, GcConfig, IndexConfig, ScrubConfig, WorkerConfig};
pub use error::ConfigError;
pub use ingest::IngestConfig;
pub use layers::{LoadedConfig, Sources, UnknownVariable, ValueOrigin};
pub use secret::Secret;
pub use server::{LimitsConfig, LogConfig, LogFormat, QueryConfig, ServerConfig};
pub use settings::Config;
pub use storage::{BinlogConfig, S3Config, StorageConfig, StorageKind};
pub use tls::{TlsConfig, TlsMode};
pub use trace::{TraceConfig, TraceExporter};
pub use validate::check_level;
pub use windows::Windows;

#[cfg(test)]
mod tests;
