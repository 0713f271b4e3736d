//! Segments and their objects: a store of named, immutable objects, and the writer and reader that turn rows into a
//! segment's logs and back.
//!
//! Must never report a write that a loss of power could undo (P3), never retry without bound, and never touch
//! metadata: what it wrote is garbage until somebody else commits it.
//!
//! ```text
//! segment_writer   segment_reader        rows ⇄ logs (through crate::binlog)
//!          │         ranged              objects too large to be held, window by window
//!          │         checksum            whether what was read is what was written
//!          SegmentStore     pace         names, bounded retries, counters, batches; in parts while there is a limit
//!    local   bucket   fault              where objects are
//!      direct                            files past the machine's cache
//! ```

mod backend;
mod bucket;
mod checksum;
mod counters;
mod direct;
mod error;
mod fault;
mod local;
mod pace;
mod path;
mod ranged;
mod segment_reader;
mod segment_writer;
mod store;

pub use backend::{Backend, Listed, Object, Rest, SPLICED_BYTES, Swapped};
pub use checksum::{Fetched, RunningCheck, StoredObject, verify};
pub use counters::{OperationCounters, StorageCounters};
pub use error::StorageError;
pub use fault::{Fault, FaultyBackend, Operation};
pub use pace::{Pace, Paced};
pub use path::{LogKind, LogPath, ParsePathError};
pub use ranged::{RangedObject, Reading};
pub use segment_reader::{read_columns, read_delete_parts, read_deletes, read_stats};
pub use segment_writer::{SegmentOutput, SegmentTarget, StatsLayout, write_segment};
pub use store::{ListedLog, Outage, SegmentStore};

#[cfg(test)]
mod tests;
