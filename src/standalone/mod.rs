//! The roles of a Milvus deployment beside the DataCoord, for one process: definitions as RootCoord takes them, writes
//! routed as a Proxy routes them, reads and load state as QueryCoord keeps them.
//!
//! ```text
//!        edges (grpc, http)
//!           │ definitions, writes, reads          │ compaction, control, garbage, health
//!           ▼                                     ▼
//!        Standalone ─────── definitions ────▶ Coordinator (a DataCoord)
//!           │ rows, deletes, snapshots            ▲
//!           ▼                                     │ flushed segments, deletes
//!        Ingest (log, growing segments) ──────────┘
//! ```
//!
//! It owns the write path, the queries and the names. The DataCoord below knows collections by id only.
//!
//! Invariants:
//! 1. Definitions change one at a time. Each change is one step of the DataCoord's catalog, with the segments that go
//!    with it, and finishes once it has begun.
//! 2. A name means one collection (`directory`), and a reader by name sees all of a change or none of it (`names`).
//! 3. A write is answered only after the log is durable (P3). A read takes its snapshot of memory before the list of
//!    segments (P4).
//!
//! Must never: commit to the catalog by itself after the start, decide what to compact, or parse a request.

mod admission;
mod asked_effort;
mod backup;
mod compaction;
mod definitions;
mod directory;
mod dml;
mod error;
mod gauges;
mod handle;
mod loading;
mod lookups;
mod names;
mod overview;
mod reads;
pub(crate) mod resource_groups;
mod search;
mod start;
mod write_path;

#[cfg(test)]
pub(crate) mod tests;

pub use asked_effort::{AskedEffort, AskedNumber};
pub use backup::{Backup, BackupPart, RestoreError, RestoredStore};
pub use definitions::NewCollection;
pub(crate) use definitions::partition_ids;
pub use directory::CollectionName;
pub use dml::{FlushedCollection, Mutation};
pub use error::StandaloneError;
pub use handle::Standalone;
pub use loading::LoadRequest;
pub(crate) use loading::{check_loaded, readable};
pub use overview::{CollectionView, OverallVerdict, Overview, Visible};
pub use reads::{ReadAnswer, ReadRequest, Rows};
pub use search::{HybridRequest, MOST_SEARCHES, SearchAnswer, SearchRequest};

pub use crate::query::{
    BoundExpr, ExprError, FilterError, Fusion, Grouping, IteratorPage, QueryVectors, Range, compile as compile_filter,
    expr::MAX_BYTES as MAX_FILTER_BYTES, is_key_name,
};
