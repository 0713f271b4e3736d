//! Insert logs: one column of one batch of rows.

use std::{collections::VecDeque, ops::Range};

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::DataType as Arrow,
};
use bytes::Bytes;

use super::{
    BinlogError, Descriptor, Encoded, LogBytes, LogIds,
    container::{self, INSERT_EVENT},
    payload::{ColumnWriter, Payload, PayloadReader, conform},
    size::{column_header, value_size},
    vector::VectorWriter,
};
use crate::{
    config::BinlogConfig,
    model::{Field, LogFile, LogId, Timestamp},
};

/// Writes one insert log. Streaming: pages are compressed as arrays arrive, so memory is that of the compressed log.
pub struct InsertLogWriter {
    ids: LogIds,
    field: Field,
    engine: Engine,
    rows: u64,
    memory_bytes: u64,
}

enum Engine {
    Column(Box<ColumnWriter>),
    Vector(Box<VectorWriter>),
}

impl InsertLogWriter {
    /// Begins a log of `field`. Fails for a vector field without a dimension and for a zstd level that does not exist.
    pub fn new(ids: LogIds, field: &Field, config: &BinlogConfig) -> Result<Self, BinlogError> {
        let engine = if field.data_type.is_vector() {
            Engine::Vector(Box::new(VectorWriter::new(field, config)?))
        } else {
            Engine::Column(Box::new(ColumnWriter::new(field, config)?))
        };
        Ok(Self { ids, field: field.clone(), engine, rows: 0, memory_bytes: column_header(field) })
    }

    /// Makes room for a log of about this many bytes, which spares growing the buffer by copying it.
    pub fn reserve(&mut self, bytes: usize) {
        match &mut self.engine {
            Engine::Column(writer) => writer.reserve(bytes),
            Engine::Vector(writer) => writer.reserve(bytes),
        }
    }

    /// Appends rows; any number of times. The column must have exactly the field's type and no nulls.
    pub fn write(&mut self, column: &ArrayRef) -> Result<(), BinlogError> {
        let expected = self.field.arrow_type();
        if *column.data_type() != expected {
            let (expected, actual) = (expected.to_string(), column.data_type().to_string());
            return Err(BinlogError::ColumnType { field: self.field.id, expected, actual });
        }
        if column.null_count() > 0 {
            return Err(BinlogError::Nulls { field: self.field.id, nulls: column.null_count() });
        }
        if column.is_empty() {
            return Ok(());
        }
        match &mut self.engine {
            Engine::Column(writer) => writer.write(column)?,
            // The type was checked, so the column is one, and its data covers exactly its rows.
            Engine::Vector(writer) => {
                writer.write(column.as_fixed_size_binary_opt().map_or(&[][..], |vectors| vectors.value_data()))?;
            }
        }
        self.rows += column.len() as u64;
        self.memory_bytes += value_size(&self.field, column);
        Ok(())
    }

    /// Bytes of the rows so far in memory, as [`super::memory_size`] counts them.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Ends the log. `ts_from` and `ts_to` are the smallest and largest timestamp of its rows, `written_at_ms` is
    /// recorded and never read. Fails for a log without rows, a zero timestamp, or 2 GiB.
    pub fn finish(self, ts_from: Timestamp, ts_to: Timestamp, written_at_ms: u64) -> Result<Encoded, BinlogError> {
        if self.rows == 0 {
            return Err(BinlogError::Empty { field: self.field.id });
        }
        let file = match self.engine {
            Engine::Column(writer) => writer.finish()?,
            Engine::Vector(writer) => writer.finish()?,
        };
        let descriptor = Descriptor {
            ids: self.ids,
            field: self.field.id,
            ts_from,
            ts_to,
            data_type: self.field.data_type.number(),
            original_size: self.memory_bytes,
        };
        seal(file, &descriptor, INSERT_EVENT, self.rows, written_at_ms)
    }
}

/// Completes a buffer that holds a payload after the room for the header.
pub(super) fn seal(
    mut file: Vec<u8>,
    descriptor: &Descriptor,
    event_code: u8,
    rows: u64,
    written_at_ms: u64,
) -> Result<Encoded, BinlogError> {
    let start = container::fill_prefix(&mut file, descriptor, event_code, written_at_ms)?;
    let bytes = Bytes::from(file).slice(start..);
    Ok(Encoded {
        checksum: crc32c::crc32c(&bytes),
        bytes,
        rows,
        memory_bytes: descriptor.original_size,
        ts_from: descriptor.ts_from,
        ts_to: descriptor.ts_to,
    })
}

/// An opened insert log: header parsed, parquet footer read, pages not yet.
#[derive(Debug, Clone)]
pub struct InsertLog {
    descriptor: Descriptor,
    /// One; several are tolerated.
    payloads: Vec<Payload>,
    /// Where the first payload begins, for errors that have no better place.
    payload_at: usize,
    /// CRC-32C of what is in front of it.
    prefix_checksum: u32,
}

impl InsertLog {
    /// Parses the container and the footers. Bytes in memory are kept, not copied; of others no more is read.
    pub fn open(bytes: impl Into<LogBytes>) -> Result<Self, BinlogError> {
        let bytes = bytes.into();
        let parsed = container::parse(&bytes, INSERT_EVENT)?;
        let payload_at = parsed.payloads.first().map_or(0, |range| range.start);
        let payloads: Result<Vec<_>, _> =
            parsed.payloads.iter().map(|range| Payload::open(bytes.part(range.clone()), range.start)).collect();
        let container::Container { descriptor, prefix_checksum, .. } = parsed;
        Ok(Self { descriptor, payloads: payloads?, payload_at, prefix_checksum })
    }

    /// Ids, time range, type and size as the file states them.
    pub fn header(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Rows per the footers.
    pub fn rows(&self) -> u64 {
        self.payloads.iter().map(Payload::rows).fold(0, u64::saturating_add)
    }

    /// Reads the column in arrays of at most `batch_rows` rows, of exactly `field.arrow_type()` and without nulls.
    /// Fails if the file holds another type of data than the field.
    pub fn read(&self, field: &Field, batch_rows: usize) -> Result<ColumnReader, BinlogError> {
        self.read_rows(field, batch_rows, 0..self.rows())
    }

    /// The same for some of the rows; pages that have none of them are not decoded.
    pub fn read_rows(&self, field: &Field, batch_rows: usize, rows: Range<u64>) -> Result<ColumnReader, BinlogError> {
        let (stored, wanted) = (self.descriptor.data_type, field.data_type.number());
        if stored != wanted {
            let what = format!("data type {stored}, field {} has {wanted}", field.id);
            return Err(BinlogError::corrupt(self.payload_at, what));
        }
        let mut readers = VecDeque::with_capacity(1);
        let mut first = 0u64;
        for payload in &self.payloads {
            let end = first.saturating_add(payload.rows());
            let here = rows.start.clamp(first, end) - first..rows.end.clamp(first, end) - first;
            if here == (0..payload.rows()) {
                readers.push_back(payload.read(batch_rows, None)?);
            } else if !here.is_empty() {
                readers.push_back(payload.read(batch_rows, Some(here))?);
            }
            first = end;
        }
        Ok(ColumnReader { readers, wanted: field.arrow_type(), offset: self.payload_at })
    }

    /// True if stock readers take a log that is made of such parts.
    pub fn is_readable(&self) -> bool {
        self.only_payload().is_ok()
    }

    fn only_payload(&self) -> Result<&Payload, BinlogError> {
        let [payload] = self.payloads.as_slice() else {
            return Err(BinlogError::NotCopyable(format!("{} events, readers take one", self.payloads.len())));
        };
        if !payload.has_safe_codec() {
            return Err(BinlogError::NotCopyable("compressed by a codec other than zstd".to_owned()));
        }
        Ok(payload)
    }

    /// What it takes to have the same payload under another segment's header, byte for byte: what a merge that drops
    /// nothing may copy. The payload itself is not looked at.
    /// Fails ([`BinlogError::NotCopyable`]) for a payload that stock readers might refuse; such a log has to be read and
    /// written anew.
    pub fn readdress(&self, ids: LogIds, written_at_ms: u64) -> Result<Readdressed, BinlogError> {
        let payload = self.only_payload()?;
        let original_size = match self.descriptor.original_size {
            0 => payload.uncompressed_bytes(),
            size => size,
        };
        let descriptor = Descriptor { ids, original_size, ..self.descriptor.clone() };
        let range = payload.range();
        let prefix = container::prefix(range.len(), &descriptor, INSERT_EVENT, written_at_ms)?;
        Ok(Readdressed {
            prefix: prefix.into(),
            payload: range.start as u64..range.end as u64,
            source_prefix_checksum: self.prefix_checksum,
            rows: payload.rows(),
            memory_bytes: original_size,
            ts_from: descriptor.ts_from,
            ts_to: descriptor.ts_to,
        })
    }
}

/// A log that is another one's payload behind a header of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readdressed {
    /// Everything in front of the payload.
    pub prefix: Bytes,
    /// The payload in the other log.
    pub payload: Range<u64>,
    /// CRC-32C of what the other log has in front of the payload, as it was read.
    source_prefix_checksum: u32,
    pub rows: u64,
    /// As in [`Encoded`].
    pub memory_bytes: u64,
    pub ts_from: Timestamp,
    pub ts_to: Timestamp,
}

impl Readdressed {
    /// The log in memory, given the other one.
    pub fn join(self, object: &Bytes) -> Encoded {
        let payload = object.slice(self.payload.start as usize..self.payload.end as usize);
        let bytes: Bytes = [&self.prefix[..], &payload[..]].concat().into();
        let Self { rows, memory_bytes, ts_from, ts_to, .. } = self;
        Encoded { checksum: crc32c::crc32c(&bytes), bytes, rows, memory_bytes, ts_from, ts_to }
    }

    /// What the segment's record will say about the log, given the checksum of the other one.
    pub fn log_file(&self, id: LogId, source: Option<u32>) -> LogFile {
        let Self { rows, memory_bytes, ts_from, ts_to, .. } = *self;
        let bytes = self.prefix.len() as u64 + self.payload.end - self.payload.start;
        LogFile { id, rows, ts_from, ts_to, bytes, memory_bytes, checksum: source.map(|sum| self.checksum(sum)) }
    }

    /// The checksum of the log, computed from that of the other one, whose last byte is the payload's. The payload is not
    /// looked at: if it is damaged, the log does not have this checksum, and the damage can be found in it too.
    fn checksum(&self, source: u32) -> u32 {
        let len = usize::try_from(self.payload.end - self.payload.start).unwrap_or(usize::MAX);
        // The sum of A and B is that of A, moved by B's length, xor that of B. So moving the sum of what is in front takes
        // it out of the sum of the whole, and the same puts the new prefix there.
        let payload = crc32c::crc32c_combine(self.source_prefix_checksum, source, len);
        crc32c::crc32c_combine(crc32c::crc32c(&self.prefix), payload, len)
    }
}

/// The arrays of an insert log; ends after the first error.
pub struct ColumnReader {
    readers: VecDeque<PayloadReader>,
    wanted: Arrow,
    offset: usize,
}

impl Iterator for ColumnReader {
    type Item = Result<ArrayRef, BinlogError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let reader = self.readers.front_mut()?;
            let array = match reader.next() {
                Ok(None) => {
                    self.readers.pop_front();
                    continue;
                }
                Ok(Some(array)) => conform(array, &self.wanted, self.offset),
                Err(error) => Err(error),
            };
            if array.is_err() {
                self.readers.clear();
            }
            return Some(array);
        }
    }
}
