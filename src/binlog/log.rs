//! An encoded log and its entry in a segment's record.

use bytes::Bytes;

use crate::model::{LogFile, LogId, Timestamp};

/// An encoded log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// The whole object.
    pub bytes: Bytes,
    /// Number of rows or deletes.
    pub rows: u64,
    /// Bytes of the rows in memory as Milvus counts them ([`super::memory_size`]); the file's `original_size`.
    pub memory_bytes: u64,
    /// Smallest timestamp, as written into the file.
    pub ts_from: Timestamp,
    /// Largest timestamp, as written into the file.
    pub ts_to: Timestamp,
    /// CRC-32C of the whole object, computed in memory before the bytes are written.
    pub checksum: u32,
}

impl Encoded {
    /// The entry for this log in its segment's record.
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

/// The entry for a statistics log of `keys` keys in its segment's record.
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
