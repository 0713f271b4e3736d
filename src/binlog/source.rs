//! The bytes of a log: in memory, or in a store that is read range by range, so that a log of any size needs little memory.

use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use parquet::{
    errors::{ParquetError, Result as ParquetResult},
    file::reader::{ChunkReader, Length},
};

use super::BinlogError;

/// Bytes that a reader of page headers requests at once.
pub const PEEK_BYTES: u64 = 4096;

/// Reads ranges of one object. Calls block.
pub trait ReadRange: Send + Sync {
    /// Reads exactly these bytes. The range must lie inside the object.
    fn read_range(&self, range: Range<u64>) -> io::Result<Bytes>;
}

/// An object, or a part of one.
#[derive(Clone)]
pub struct LogBytes(LogPlace);

#[derive(Clone)]
enum LogPlace {
    Memory(Bytes),
    Store { reader: Arc<dyn ReadRange>, range: Range<u64> },
}

impl std::fmt::Debug for LogBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LogBytes({})", self.len())
    }
}

impl From<Bytes> for LogBytes {
    fn from(bytes: Bytes) -> Self {
        Self(LogPlace::Memory(bytes))
    }
}

impl LogBytes {
    /// A whole object of `len` bytes behind a reader.
    pub fn in_store(reader: Arc<dyn ReadRange>, len: u64) -> Self {
        Self(LogPlace::Store { reader, range: 0..len })
    }

    pub(super) fn len(&self) -> usize {
        match &self.0 {
            LogPlace::Memory(bytes) => bytes.len(),
            // No log is longer; the check of its lengths will fail.
            LogPlace::Store { range, .. } => usize::try_from(range.end - range.start).unwrap_or(usize::MAX),
        }
    }

    /// The part in a range, which must lie inside.
    pub(super) fn part(&self, part: Range<usize>) -> Self {
        Self(match &self.0 {
            LogPlace::Memory(bytes) => LogPlace::Memory(bytes.slice(part)),
            LogPlace::Store { reader, range } => {
                let range = range.start + part.start as u64..range.start + part.end as u64;
                LogPlace::Store { reader: Arc::clone(reader), range }
            }
        })
    }

    /// At most `len` bytes from `at`; fewer at the end.
    pub(super) fn read(&self, at: usize, len: usize) -> Result<Bytes, BinlogError> {
        let end = at.saturating_add(len).min(self.len());
        self.get(at.min(end) as u64, (end - at.min(end)) as u64)
            .map_err(|e| BinlogError::corrupt(at, format!("can't be read: {e}")))
    }

    fn get(&self, at: u64, len: u64) -> io::Result<Bytes> {
        let end = at.checked_add(len).filter(|end| *end <= self.len() as u64);
        let Some(end) = end else {
            let what = format!("{len} bytes at {at} of {}", self.len());
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
        };
        match &self.0 {
            LogPlace::Memory(bytes) => Ok(bytes.slice(at as usize..end as usize)),
            LogPlace::Store { reader, range } => reader.read_range(range.start + at..range.start + end),
        }
    }
}

impl Length for LogBytes {
    fn len(&self) -> u64 {
        self.len() as u64
    }
}

impl ChunkReader for LogBytes {
    type T = Peek;

    fn get_read(&self, start: u64) -> ParquetResult<Peek> {
        Ok(Peek { bytes: self.clone(), at: start, ahead: Bytes::new() })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.get(start, length as u64).map_err(|e| ParquetError::EOF(e.to_string()))
    }
}

/// Reads from a position on, `PEEK_BYTES` at a time.
pub struct Peek {
    bytes: LogBytes,
    /// Behind `ahead`.
    at: u64,
    ahead: Bytes,
}

impl Peek {
    /// Where the next byte is.
    pub(super) fn position(&self) -> u64 {
        self.at - self.ahead.len() as u64
    }

    /// The next bytes, which stay to be read: at least as many as wanted, fewer at the end.
    pub(super) fn ahead(&mut self, wanted: u64) -> io::Result<&[u8]> {
        if (self.ahead.len() as u64) < wanted {
            let position = self.position();
            let left = (self.bytes.len() as u64).saturating_sub(position);
            self.ahead = self.bytes.get(position, left.min(wanted))?;
            self.at = position + self.ahead.len() as u64;
        }
        Ok(&self.ahead)
    }
}

impl Read for Peek {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.is_empty() {
            self.ahead(PEEK_BYTES)?;
        }
        let taken = self.ahead.split_to(buffer.len().min(self.ahead.len()));
        buffer[..taken.len()].copy_from_slice(&taken);
        Ok(taken.len())
    }
}
