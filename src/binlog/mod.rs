//! Milvus' storage-v1 files (as 2.3.5 writes and reads them): bytes to Arrow arrays and back.
//!
//! Pure: no IO, no clock, no ids of its own. Callers add the name of the object to an error.
//!
//! Must never: panic on stored bytes, write files that a stock Milvus refuses (data page v2, `Large*` types, codecs other
//! than zstd, two events in a file), or lose a bit of a 64-bit key or timestamp.
//!
//! ```text
//! insert log, delta log: little-endian, no padding          statistics log: JSON text
//!   0  magic BC FA FF 00
//!   4  descriptor event ─┬ 17  header: time u64, type i8 = 0, length i32, next position i32
//!                        ├ 64  collection, partition, segment, field (−1: delta), start, end u64 ×6, data type i32,
//!                        │     post-header lengths u8 ×8, extra length i32
//!                        └     extra: {"original_size":"N"}
//!      event ────────────┬ 17  header: type 1 (insert) or 2 (delete)
//!                        ├ 16  start, end u64
//!                        └     parquet file with one required column
//! ```
//!
//! An insert log is one column of one batch of rows ([`InsertLogWriter`], [`InsertLog`]); a delta log holds deletes as
//! JSON ([`encode_delta`], [`decode_delta`]); a statistics log holds the range of the primary keys and a Bloom filter
//! ([`PkStats`]).

mod bloom;
mod container;
mod delta;
mod error;
mod insert;
mod json;
mod log;
mod pages;
mod payload;
mod size;
mod source;
mod stats;
mod vector;

pub use bloom::BloomFilter;
pub use container::Descriptor;
pub use delta::{DeltaReader, decode_delta, encode_delta, scan_delta};
pub use error::BinlogError;
pub use insert::{ColumnReader, InsertLog, InsertLogWriter, Readdressed};
pub use log::{Encoded, stats_file};
pub use size::memory_size;
pub use source::{LogBytes, PEEK_BYTES, ReadRange};
pub use stats::{PkStats, PkStatsBuilder, decode_stats};

pub use crate::model::LogIds;

#[cfg(test)]
mod tests;
