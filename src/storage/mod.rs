//! Segments and their objects: a store of named, immutable objects, and a writer and a reader that encode rows into a
//! segment's logs and decode them again.
//!
//! Must never: report a write that a loss of power could undo (P3), retry without bound, or touch metadata. Written objects
//! are garbage until a caller commits them.
//!
//! ```text
//! segment_writer   segment_reader     rows ⇄ logs (through crate::binlog)
//!        │           fetch            whole or in windows
//!        │         ranged  checksum   windows of large objects; bytes compared with their checksum
//!        └──── store ────┘            names, bounded retries, counters, batches
//!        pace  outage  counters
//!     local     bucket                backends: files (local/direct: past the page cache), S3
//!
//! vectors ── segment_cache             decoded columns and open indexes that were read lately
//!  open_index
//! ```

mod backend;
mod bucket;
mod checksum;
mod counters;
mod error;
mod fetch;
#[cfg(test)]
mod fixtures;
mod local;
mod mapped;
mod newest_deletes;
mod open_index;
mod outage;
mod pace;
mod path;
mod ranged;
mod segment_cache;
mod segment_reader;
mod segment_writer;
mod store;
mod vectors;

pub use backend::{Listed, Object, Rest, SPLICED_BYTES, StorageBackend, Swapped};
pub use checksum::{RunningCheck, StoredObject};
pub use counters::{OperationCounters, StorageCounters};
pub use error::StorageError;
pub use fetch::{Fetched, fetch, verify};
pub use mapped::MappedFolder;
pub use newest_deletes::NewestDeletes;
pub use open_index::{IndexOpening, OpenIndex};
pub use outage::Outage;
pub use pace::{Pace, Paced};
pub use path::{LogKind, LogPath, ParsePathError};
pub use ranged::{RangedObject, Reading};
pub use segment_cache::SegmentCache;
pub use segment_reader::{read_columns, read_delete_parts, read_deletes, read_stats};
pub use segment_writer::{SegmentOutput, SegmentTarget, StatsLayout, write_segment};
pub use store::{ListedLog, SegmentStore};
pub use vectors::Vectors;
