//! Insert logs: one column of one batch of rows.

use std::{collections::VecDeque, ops::Range};

use arrow_array::{Array, ArrayRef, cast::AsArray};
use arrow_schema::DataType as Arrow;
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
    model::{DataType, Field, LogFile, LogId, Timestamp},
};

/// Writes one insert log. Compresses pages as arrays arrive, so it holds little more than the compressed log.
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
    /// Begins a log of `field`. Fails for a vector field without a dimension and for an unknown zstd level.
    pub fn new(ids: LogIds, field: &Field, config: &BinlogConfig) -> Result<Self, BinlogError> {
        let engine = if field.data_type.is_vector() {
            Engine::Vector(Box::new(VectorWriter::new(field, config)?))
        } else {
            Engine::Column(Box::new(ColumnWriter::new(field, config)?))
        };
        Ok(Self { ids, field: field.clone(), engine, rows: 0, memory_bytes: column_header(field) })
    }

    /// Reserves room for a log of about this many bytes, so that the buffer need not be copied to grow.
    pub fn reserve(&mut self, bytes: usize) {
        match &mut self.engine {
            Engine::Column(writer) => writer.reserve(bytes),
            Engine::Vector(writer) => writer.reserve(bytes),
        }
    }

    /// Appends rows. The column must have exactly the field's type and no nulls.
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
            // The type was checked, so this is a fixed-size column whose data covers exactly its rows.
            Engine::Vector(writer) => {
                writer.write(column.as_fixed_size_binary_opt().map_or(&[][..], |vectors| vectors.value_data()))?;
            }
        }
        self.rows += column.len() as u64;
        self.memory_bytes += value_size(&self.field, column);
        Ok(())
    }

    /// Bytes in memory of the rows so far, as [`super::memory_size`] counts them.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Ends the log. `ts_from` and `ts_to` are the smallest and largest timestamp of its rows; `written_at_ms` is recorded
    /// and never read. Fails for a log without rows, with a zero timestamp, or of 2 GiB or more.
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

/// Completes a buffer that holds a payload behind the room for the header.
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

/// An opened insert log: the header is parsed and the parquet footer is read, but no page.
#[derive(Debug, Clone)]
pub struct InsertLog {
    descriptor: Descriptor,
    /// Usually one; several are accepted.
    payloads: Vec<Payload>,
    /// Offset of the first payload, for errors without a better position.
    payload_at: usize,
    /// CRC-32C of the bytes in front of the first payload.
    prefix_checksum: u32,
}

impl InsertLog {
    /// Parses the container and the footers. Does not copy bytes that are in memory, and reads nothing else from a store.
    pub fn open(bytes: impl Into<LogBytes>) -> Result<Self, BinlogError> {
        let bytes = bytes.into();
        let parsed = container::parse(&bytes, INSERT_EVENT)?;
        let payload_at = parsed.payloads.first().map_or(0, |range| range.start);
        let payloads: Result<Vec<_>, _> =
            parsed.payloads.iter().map(|range| Payload::open(bytes.part(range.clone()), range.start)).collect();
        let container::Container { descriptor, prefix_checksum, .. } = parsed;
        Ok(Self { descriptor, payloads: payloads?, payload_at, prefix_checksum })
    }

    /// Ids, time range, type and size from the file.
    pub fn header(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Rows by the footers.
    pub fn rows(&self) -> u64 {
        self.payloads.iter().map(Payload::rows).fold(0, u64::saturating_add)
    }

    /// The field as far as the file tells it: id, type, and dimension of a vector. Fails for a type that is not known here.
    pub fn field(&self) -> Result<Field, BinlogError> {
        let Descriptor { field, data_type, .. } = self.descriptor;
        let Some(known) = DataType::from_number(data_type) else {
            return Err(BinlogError::corrupt(self.payload_at, format!("data type {data_type} is unknown")));
        };
        let mut field = Field::new(field, "", known);
        if let (true, Some(Arrow::FixedSizeBinary(width))) =
            (known.is_vector(), self.payloads.first().map(Payload::stored_type))
        {
            let width = u32::try_from(*width).unwrap_or_default();
            field.dim = Some(if known == DataType::FloatVector { width / 4 } else { width.saturating_mul(8) });
        }
        Ok(field)
    }

    /// Reads the column in arrays of at most `batch_rows` rows, of exactly `field.arrow_type()` and without nulls. Fails if
    /// the file's type of data is not that of the field.
    pub fn read(&self, field: &Field, batch_rows: usize) -> Result<ColumnReader, BinlogError> {
        self.read_rows(field, batch_rows, 0..self.rows())
    }

    /// Reads some of the rows like [`Self::read`]. Does not decode pages without any of them.
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

    /// True if stock readers accept this payload in a log of its own.
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

    /// The header with which another segment can have the same payload, byte for byte. A merge that drops no row copies
    /// logs this way. Does not read the payload. Fails with [`BinlogError::NotCopyable`] for a payload that stock readers
    /// might refuse; such a log must be decoded and written again.
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

/// A log that consists of another log's payload behind a header of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Readdressed {
    /// The bytes in front of the payload.
    pub prefix: Bytes,
    /// Range of the payload in the other log.
    pub payload: Range<u64>,
    /// CRC-32C of the bytes in front of the payload in the other log, as they were read.
    source_prefix_checksum: u32,
    pub rows: u64,
    /// As in [`Encoded`].
    pub memory_bytes: u64,
    pub ts_from: Timestamp,
    pub ts_to: Timestamp,
}

impl Readdressed {
    /// The whole log, built from the bytes of the other log.
    pub fn join(self, object: &Bytes) -> Encoded {
        let payload = object.slice(self.payload.start as usize..self.payload.end as usize);
        let bytes: Bytes = [&self.prefix[..], &payload[..]].concat().into();
        let Self { rows, memory_bytes, ts_from, ts_to, .. } = self;
        Encoded { checksum: crc32c::crc32c(&bytes), bytes, rows, memory_bytes, ts_from, ts_to }
    }

    /// The entry for the segment's record, computed from the checksum of the other log.
    pub fn log_file(&self, id: LogId, source: Option<u32>) -> LogFile {
        let Self { rows, memory_bytes, ts_from, ts_to, .. } = *self;
        let bytes = self.prefix.len() as u64 + self.payload.end - self.payload.start;
        LogFile { id, rows, ts_from, ts_to, bytes, memory_bytes, checksum: source.map(|sum| self.checksum(sum)) }
    }

    /// The checksum of this log, computed from that of the other log, which ends with the payload. Does not read the
    /// payload: a damaged payload does not match this checksum, so the damage is found in the copy too.
    fn checksum(&self, source: u32) -> u32 {
        let len = usize::try_from(self.payload.end - self.payload.start).unwrap_or(usize::MAX);
        // crc(A + B) is crc(A), shifted by B's length, xor crc(B). So one shifted xor removes the old prefix from the
        // checksum, and another one adds the new prefix.
        let payload = crc32c::crc32c_combine(self.source_prefix_checksum, source, len);
        crc32c::crc32c_combine(crc32c::crc32c(&self.prefix), payload, len)
    }
}

/// The arrays of an insert log. Ends after the first error.
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
