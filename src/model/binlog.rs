//! The objects a segment consists of.

use serde::{Deserialize, Serialize};

use super::{FieldId, LogId, Timestamp};

/// One object: a column of a batch of rows, a delta log or a statistics log. Its name follows from the segment, the
/// field and the id (`storage::path`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFile {
    pub id: LogId,
    /// Rows of an insert log, deletes of a delta log, keys of a statistics log.
    pub rows: u64,
    /// Smallest timestamp of its rows or deletes; 0 for statistics.
    pub ts_from: Timestamp,
    /// Largest timestamp of its rows or deletes; 0 for statistics.
    pub ts_to: Timestamp,
    /// Bytes of the object.
    pub bytes: u64,
    /// Bytes of the rows in memory, as Milvus counts them (`binlog::memory_size`).
    pub memory_bytes: u64,
    /// CRC-32C of the whole object. None if Milvus or an older release wrote it.
    pub checksum: Option<u32>,
}

/// All objects of a segment.
///
/// Invariant: every field has equally many insert logs, and the n-th logs of all fields hold the same rows in the same
/// order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentLogs {
    /// Per field, ascending by field id (system fields 0 and 1 included).
    pub insert: Vec<(FieldId, Vec<LogFile>)>,
    /// Per field (only the primary key has statistics).
    pub stats: Vec<(FieldId, Vec<LogFile>)>,
    /// In order of arrival.
    pub delta: Vec<LogFile>,
}

impl SegmentLogs {
    /// Insert logs of one field, empty if it has none.
    pub fn field(&self, id: FieldId) -> &[LogFile] {
        self.insert.iter().find(|(f, _)| *f == id).map_or(&[], |(_, logs)| logs)
    }

    /// Insert logs per field.
    pub fn batches(&self) -> usize {
        self.insert.first().map_or(0, |(_, logs)| logs.len())
    }

    /// Rows of the segment: all fields have the same, so the first one's logs tell.
    pub fn rows(&self) -> u64 {
        self.insert.first().map_or(0, |(_, logs)| logs.iter().map(|l| l.rows).sum())
    }

    /// Bytes of all insert objects.
    pub fn insert_bytes(&self) -> u64 {
        self.insert.iter().flat_map(|(_, logs)| logs).map(|l| l.bytes).sum()
    }

    /// Bytes of all rows in memory, as Milvus counts them.
    pub fn memory_bytes(&self) -> u64 {
        self.insert.iter().flat_map(|(_, logs)| logs).map(|l| l.memory_bytes).sum()
    }
}
