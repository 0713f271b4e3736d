//! Milvus' storage-v1 files (as 2.3.5 writes and reads them): bytes to Arrow arrays and back.
//!
//! Pure: no IO, no clock, no ids of its own; whoever knows an object's name adds it to an error. Must never panic on
//! stored bytes, never write what a stock Milvus refuses (data page v2, `Large*` types, codecs other than zstd, two
//! events in a file), and never lose the exact 64 bits of a key or timestamp.
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
pub use size::memory_size;
pub use source::{LogBytes, PEEK_BYTES, ReadRange};
pub use stats::{PkStats, PkStatsBuilder, decode_stats, encode_compound_stats};

use bytes::Bytes;

pub use crate::model::LogIds;
use crate::model::{LogFile, LogId, Timestamp};

/// A finished log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The whole object.
    pub bytes: Bytes,
    /// Rows or deletes in it.
    pub rows: u64,
    /// Bytes of its rows in memory, as Milvus counts them ([`memory_size`]); the file's `original_size`.
    pub memory_bytes: u64,
    /// Smallest and largest timestamp, as written into the file.
    pub ts_from: Timestamp,
    pub ts_to: Timestamp,
    /// CRC-32C of the whole object, taken from memory before the bytes go anywhere.
    pub checksum: u32,
}

impl Encoded {
    /// What a segment's record says about the log.
    pub fn log_file(&self, id: LogId) -> LogFile {
        LogFile {
            id,
            rows: self.rows,
            ts_from: self.ts_from,
            ts_to: self.ts_to,
            bytes: self.bytes.len() as u64,
            memory_bytes: self.memory_bytes,
            checksum: Some(self.checksum),
        }
    }
}

/// What a segment's record says about a statistics log of so many keys.
pub fn stats_file(id: LogId, keys: u64, bytes: &[u8]) -> LogFile {
    let size = bytes.len() as u64;
    LogFile {
        id,
        rows: keys,
        ts_from: Timestamp::ZERO,
        ts_to: Timestamp::ZERO,
        bytes: size,
        memory_bytes: size,
        checksum: Some(crc32c::crc32c(bytes)),
    }
}

#[cfg(test)]
mod tests;
