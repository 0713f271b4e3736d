//! The container around the payload of insert and delta logs: magic, descriptor event, events (see docs/formats.md).
//!
//! Must never: use a length or offset of a file before it is checked.

use std::ops::Range;

use bytes::Bytes;

use super::{BinlogError, LogBytes, LogIds};
use crate::model::{CollectionId, FieldId, PartitionId, SegmentId, Timestamp};

/// Event code of insert logs.
pub(super) const INSERT_EVENT: u8 = 1;
/// Event code of delta logs.
pub(super) const DELETE_EVENT: u8 = 2;
/// Data type number of a delta log's payload (String, used nowhere else).
pub(super) const DELTA_DATA_TYPE: i32 = 20;
/// Field id in the descriptor of delta logs.
pub(super) const DELTA_FIELD: FieldId = FieldId(-1);

const MAGIC: [u8; 4] = [0xBC, 0xFA, 0xFF, 0x00];
const DESCRIPTOR_EVENT: u8 = 0;
/// Time, type, length, next position.
const HEADER_LEN: usize = 17;
/// Length of an event's header and time range; the payload follows.
const EVENT_FIXED_LEN: usize = HEADER_LEN + 16;
/// Offset of the extra JSON, behind magic, header, ids and times, data type, post-header lengths and the JSON's length.
const EXTRA_AT: usize = 4 + HEADER_LEN + 48 + 4 + 8 + 4;
const POST_HEADER_LENGTHS: [u8; 8] = [52, 16, 16, 16, 16, 16, 16, 16];
/// Lengths and positions are i32.
const MAX_FILE_BYTES: usize = i32::MAX as usize;
/// `{"original_size":""}` and at most 20 digits.
const MAX_EXTRA_LEN: usize = 40;

/// Room in front of a payload for the header, which is known only when the payload is complete.
pub(super) const MAX_PREFIX_LEN: usize = EXTRA_AT + MAX_EXTRA_LEN + EVENT_FIXED_LEN;

/// The descriptor event of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// In an insert log the ids of its segment. A delta log that a compaction carried over has the ids of the segment that
    /// it was written for.
    pub ids: LogIds,
    /// −1 in delta logs.
    pub field: FieldId,
    /// Smallest and largest timestamp of the rows or deletes.
    pub ts_from: Timestamp,
    pub ts_to: Timestamp,
    /// Milvus' number of the payload's type; 20 (String) in delta logs.
    pub data_type: i32,
    /// Bytes of the rows in memory. 0 if the file has no such entry.
    pub original_size: u64,
}

impl Descriptor {
    /// Reads only the descriptor of an insert or delta log.
    pub fn read(bytes: &[u8]) -> Result<Self, BinlogError> {
        read_descriptor(&mut FileCursor { bytes, base: 0, len: bytes.len(), pos: 0 })
    }
}

/// A parsed container: the descriptor and the ranges of the payloads.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) descriptor: Descriptor,
    pub(super) payloads: Vec<Range<usize>>,
    /// CRC-32C of the bytes in front of the first payload.
    pub(super) prefix_checksum: u32,
}

/// Reads the container of a log, but not its payloads. All events must have the given code.
pub(super) fn parse(log: &LogBytes, event_code: u8) -> Result<Container, BinlogError> {
    let len = log.len();
    let first: Bytes = log.read(0, MAGIC.len() + HEADER_LEN)?;
    let mut at = FileCursor { bytes: &first, base: 0, len, pos: 0 };
    at.take::<4>("magic")?;
    let head = log.read(0, at.header()?.end)?;
    let mut at = FileCursor { bytes: &head, base: 0, len, pos: 0 };
    let descriptor = read_descriptor(&mut at)?;
    let mut pos = at.pos;
    let mut prefix_checksum = crc32c::crc32c(&head);
    let mut payloads = Vec::with_capacity(1);
    while pos < len {
        let start = pos;
        let event = log.read(start, EVENT_FIXED_LEN)?;
        if payloads.is_empty() {
            prefix_checksum = crc32c::crc32c_append(prefix_checksum, &event);
        }
        let mut at = FileCursor { bytes: &event, base: start, len, pos: start };
        let header = at.header()?;
        if header.code != event_code {
            let what = format!("event has type {}, this kind of log has {event_code}", header.code);
            return Err(BinlogError::corrupt(start, what));
        }
        at.take::<16>("event time range")?;
        if at.pos > header.end {
            return Err(BinlogError::corrupt(start, format!("event of {} bytes has no payload", header.end - start)));
        }
        payloads.push(at.pos..header.end);
        pos = header.end;
    }
    if payloads.is_empty() {
        return Err(BinlogError::corrupt(pos, "no event after the descriptor"));
    }
    Ok(Container { descriptor, payloads, prefix_checksum })
}

/// Reads magic and descriptor event; the cursor ends behind them.
fn read_descriptor(at: &mut FileCursor<'_>) -> Result<Descriptor, BinlogError> {
    if at.take::<4>("magic")? != MAGIC {
        return Err(BinlogError::corrupt(0, "magic is not BC FA FF 00"));
    }
    let header = at.header()?;
    if header.code != DESCRIPTOR_EVENT {
        return Err(BinlogError::corrupt(4, format!("first event has type {}, descriptor is 0", header.code)));
    }
    let ids = LogIds {
        collection: CollectionId(at.i64("collection id")?),
        partition: PartitionId(at.i64("partition id")?),
        segment: SegmentId(at.i64("segment id")?),
    };
    let field = FieldId(at.i64("field id")?);
    let ts_from = Timestamp(at.u64("start timestamp")?);
    let ts_to = Timestamp(at.u64("end timestamp")?);
    let data_type = at.i32("data type")?;
    at.take::<8>("post-header lengths")?;
    let extra_at = at.pos;
    let extra_len = at.i32("extra length")?;
    let extra_len = usize::try_from(extra_len)
        .map_err(|_| BinlogError::corrupt(extra_at, format!("extra length {extra_len} is negative")))?;
    if at.pos.checked_add(extra_len) != Some(header.end) {
        return Err(BinlogError::corrupt(extra_at, format!("extra length {extra_len} disagrees with event length")));
    }
    // `header()` has checked that `header.end` lies within the file.
    let extra = at.bytes.get(at.pos - at.base..header.end - at.base).unwrap_or_default();
    let original_size = original_size(extra, at.pos)?;
    at.pos = header.end;
    Ok(Descriptor { ids, field, ts_from, ts_to, data_type, original_size })
}

/// The size is a decimal number in a string. A missing key is accepted, as in Milvus.
fn original_size(extra: &[u8], offset: usize) -> Result<u64, BinlogError> {
    let corrupt = |what: String| BinlogError::corrupt(offset, what);
    let value: serde_json::Value =
        serde_json::from_slice(extra).map_err(|e| corrupt(format!("extra is not JSON: {e}")))?;
    let Some(object) = value.as_object() else {
        return Err(corrupt("extra is not a JSON object".to_owned()));
    };
    match object.get("original_size") {
        None => Ok(0),
        Some(serde_json::Value::String(text)) => {
            text.parse().map_err(|_| corrupt(format!("original_size {text:?} is not a number")))
        }
        Some(other) => other.as_u64().ok_or_else(|| corrupt(format!("original_size {other} is not a number"))),
    }
}

/// Writes magic, descriptor and event header into the room in front of a payload at `MAX_PREFIX_LEN`, which is not moved.
/// Returns the offset at which the file begins.
pub(super) fn fill_prefix(
    file: &mut [u8],
    descriptor: &Descriptor,
    event_code: u8,
    written_at_ms: u64,
) -> Result<usize, BinlogError> {
    let payload_len = file.len().saturating_sub(MAX_PREFIX_LEN);
    let prefix = prefix(payload_len, descriptor, event_code, written_at_ms)?;
    let start = MAX_PREFIX_LEN - prefix.len();
    match file.get_mut(start..MAX_PREFIX_LEN) {
        Some(room) => room.copy_from_slice(&prefix),
        None => return Err(BinlogError::Empty { field: descriptor.field }),
    }
    Ok(start)
}

/// Magic, descriptor and event header of a file with a payload of the given length.
pub(super) fn prefix(
    payload_len: usize,
    descriptor: &Descriptor,
    event_code: u8,
    written_at_ms: u64,
) -> Result<Vec<u8>, BinlogError> {
    let field = descriptor.field;
    let (from, to) = (descriptor.ts_from.0, descriptor.ts_to.0);
    if from == 0 || to < from {
        return Err(BinlogError::TimeRange { field, from, to });
    }
    let extra = format!("{{\"original_size\":\"{}\"}}", descriptor.original_size);
    let prefix_len = EXTRA_AT + extra.len() + EVENT_FIXED_LEN;
    let file_len = prefix_len + payload_len;
    if file_len > MAX_FILE_BYTES {
        return Err(BinlogError::TooLarge { field, bytes: file_len as u64, limit: MAX_FILE_BYTES as u64 });
    }
    let written_at = Timestamp::from_ms(written_at_ms).0;

    let mut prefix = Vec::with_capacity(prefix_len);
    prefix.extend_from_slice(&MAGIC);
    let event_at = EXTRA_AT + extra.len();
    push_header(&mut prefix, written_at, DESCRIPTOR_EVENT, event_at - MAGIC.len());
    for id in [descriptor.ids.collection.0, descriptor.ids.partition.0, descriptor.ids.segment.0, field.0] {
        prefix.extend_from_slice(&id.to_le_bytes());
    }
    prefix.extend_from_slice(&from.to_le_bytes());
    prefix.extend_from_slice(&to.to_le_bytes());
    prefix.extend_from_slice(&descriptor.data_type.to_le_bytes());
    prefix.extend_from_slice(&POST_HEADER_LENGTHS);
    prefix.extend_from_slice(&(extra.len() as i32).to_le_bytes());
    prefix.extend_from_slice(extra.as_bytes());
    push_header(&mut prefix, written_at, event_code, EVENT_FIXED_LEN + payload_len);
    prefix.extend_from_slice(&from.to_le_bytes());
    prefix.extend_from_slice(&to.to_le_bytes());
    Ok(prefix)
}

/// Both numbers are below 2 GiB, because the caller has checked the length of the file.
fn push_header(out: &mut Vec<u8>, written_at: u64, code: u8, len: usize) {
    let next = out.len() + len;
    out.extend_from_slice(&written_at.to_le_bytes());
    out.push(code);
    out.extend_from_slice(&(len as i32).to_le_bytes());
    out.extend_from_slice(&(next as i32).to_le_bytes());
}

struct EventHeader {
    code: u8,
    /// Offset of the byte behind the event; lies within the file.
    end: usize,
}

/// Reads a part of a file. Positions count from the start of the file.
struct FileCursor<'a> {
    bytes: &'a [u8],
    /// Position at which the part begins.
    base: usize,
    /// Length of the file.
    len: usize,
    pos: usize,
}

impl FileCursor<'_> {
    fn take<const N: usize>(&mut self, what: &str) -> Result<[u8; N], BinlogError> {
        match self.bytes.get(self.pos - self.base..).and_then(|rest| rest.first_chunk::<N>()) {
            Some(chunk) => {
                self.pos += N;
                Ok(*chunk)
            }
            None => Err(BinlogError::corrupt(self.pos, format!("file ends inside the {what}"))),
        }
    }

    fn i64(&mut self, what: &str) -> Result<i64, BinlogError> {
        self.take(what).map(i64::from_le_bytes)
    }

    fn u64(&mut self, what: &str) -> Result<u64, BinlogError> {
        self.take(what).map(u64::from_le_bytes)
    }

    fn i32(&mut self, what: &str) -> Result<i32, BinlogError> {
        self.take(what).map(i32::from_le_bytes)
    }

    /// Reads an event header. Checks its length and next position against each other and the file.
    fn header(&mut self) -> Result<EventHeader, BinlogError> {
        let start = self.pos;
        self.u64("event header")?;
        let [code] = self.take::<1>("event header")?;
        let len = self.i32("event header")?;
        let next = self.i32("event header")?;
        let end = usize::try_from(len).ok().filter(|l| *l >= HEADER_LEN).and_then(|l| l.checked_add(start));
        let Some(end) = end.filter(|e| *e <= self.len) else {
            let rest = self.len - start;
            return Err(BinlogError::corrupt(start, format!("event length {len} in a file with {rest} bytes left")));
        };
        if usize::try_from(next).ok() != Some(end) {
            return Err(BinlogError::corrupt(start, format!("next position {next}, event ends at {end}")));
        }
        Ok(EventHeader { code, end })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header of a real file: collection, partition and so on.
    const REAL_HEADER: &str = "bcfaff00\
        0000e824b7e58706006a0000006e000000\
        271eee47abe58706281eee47abe587061e0feb47abe587060100000000000000\
        0500c0e0b4e58706030090 14b6e58706\
        05000000 3410101010101010 19000000 7b226f726967696e616c5f73697a65223a223432303030227d\
        0000e824b7e5870601bd0100002b020000 0500c0e0b4e58706 03009014b6e58706";

    fn real() -> Descriptor {
        Descriptor {
            ids: LogIds {
                collection: CollectionId(i64::from_le_bytes(*b"\x27\x1e\xee\x47\xab\xe5\x87\x06")),
                partition: PartitionId(i64::from_le_bytes(*b"\x28\x1e\xee\x47\xab\xe5\x87\x06")),
                segment: SegmentId(i64::from_le_bytes(*b"\x1e\x0f\xeb\x47\xab\xe5\x87\x06")),
            },
            field: FieldId(1),
            ts_from: Timestamp(u64::from_le_bytes(*b"\x05\x00\xc0\xe0\xb4\xe5\x87\x06")),
            ts_to: Timestamp(u64::from_le_bytes(*b"\x03\x00\x90\x14\xb6\xe5\x87\x06")),
            data_type: 5,
            original_size: 42_000,
        }
    }

    fn real_bytes() -> Vec<u8> {
        let header = REAL_HEADER.replace(' ', "");
        let mut bytes = hex::decode(header).unwrap();
        bytes.resize(555, 0xEE);
        bytes
    }

    #[test]
    fn writes_the_bytes_of_a_real_file() {
        let mut file = vec![0xEE; MAX_PREFIX_LEN + 412];
        let written_at_ms = u64::from_le_bytes(*b"\x00\x00\xe8\x24\xb7\xe5\x87\x06") >> 18;
        let start = fill_prefix(&mut file, &real(), INSERT_EVENT, written_at_ms).unwrap();
        assert_eq!(hex::encode(&file[start..]), hex::encode(real_bytes()));
    }

    #[test]
    fn reads_the_bytes_of_a_real_file() {
        let parsed = parse(&Bytes::from(real_bytes()).into(), INSERT_EVENT).unwrap();
        assert_eq!(parsed.descriptor, real());
        assert_eq!(parsed.payloads, vec![0x8F..555]);
    }

    #[test]
    fn every_truncation_is_an_error() {
        let bytes = Bytes::from(real_bytes());
        for len in 0..bytes.len() {
            let error = parse(&bytes.slice(..len).into(), INSERT_EVENT).unwrap_err();
            assert!(matches!(error, BinlogError::Corrupt { offset, .. } if offset <= len as u64), "{len}: {error}");
        }
    }

    #[test]
    fn refuses_wrong_lengths_and_types() {
        let at = |offset: usize, value: &[u8]| {
            let mut bytes = real_bytes();
            bytes[offset..offset + value.len()].copy_from_slice(value);
            parse(&Bytes::from(bytes).into(), INSERT_EVENT).unwrap_err().to_string()
        };
        assert_eq!(at(0, &[0]), "corrupt at byte 0: magic is not BC FA FF 00");
        assert_eq!(at(0x0C, &[1]), "corrupt at byte 4: first event has type 1, descriptor is 0");
        assert_eq!(at(0x0D, &[0xFF; 4]), "corrupt at byte 4: event length -1 in a file with 551 bytes left");
        assert_eq!(at(0x11, &[0x6F]), "corrupt at byte 4: next position 111, event ends at 110");
        assert_eq!(at(0x51, &[0x18]), "corrupt at byte 81: extra length 24 disagrees with event length");
        assert_eq!(at(0x76, &[2]), "corrupt at byte 110: event has type 2, this kind of log has 1");
        assert_eq!(at(0x77, &[0xBE]), "corrupt at byte 110: event length 446 in a file with 445 bytes left");
        assert!(at(0x67, b"x").contains("original_size \"x2000\" is not a number"));
    }

    #[test]
    fn extra_is_as_tolerant_as_in_milvus() {
        assert_eq!(original_size(b"{}", 0), Ok(0));
        assert_eq!(original_size(br#"{"a":1,"original_size":"7"}"#, 0), Ok(7));
        assert_eq!(original_size(br#"{"original_size":7}"#, 0), Ok(7));
        assert!(original_size(b"[]", 0).is_err());
    }

    #[test]
    fn refuses_a_time_range_with_zero() {
        let mut file = vec![0; MAX_PREFIX_LEN + 1];
        let descriptor = Descriptor { ts_from: Timestamp(0), ..real() };
        let error = fill_prefix(&mut file, &descriptor, INSERT_EVENT, 0).unwrap_err();
        assert!(matches!(error, BinlogError::TimeRange { from: 0, .. }));
    }
}
