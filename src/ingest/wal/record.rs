//! Bodies of frames: records to bytes and back.
//!
//! ```text
//! Write            collection (i64)
//!                  inserts (u32), each: partition (i64), channel (u32 length, UTF-8)      one per part of the header
//!                  deletes (u32), each: scope (u8 of bits: 1 only the partition that follows, not every one;
//!                                       2 has a timestamp), partition (i64), timestamp (u64, only with bit 2: older
//!                                       rows die, instead of those older than the frame), channel,
//!                                       key type (u8: 0 int64, 1 varchar), keys (u32),
//!                                       each key: i64, or u32 length and UTF-8
//! Seal, Flushed    segments (u32), each i64
//! ForgetCollection collection (i64)
//! ForgetPartition  collection (i64), partition (i64)
//! ```
//!
//! Rows are Arrow IPC streams (schema, one batch, end) whose buffers are those of the batch: encoding copies none.
//! Never panics on bytes of a file.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use arrow_ipc::{reader::StreamDecoder, writer::StreamEncoder};

use super::{
    super::{DeleteOp, IngestError},
    frame::FrameKind,
};
use crate::model::{Channel, CollectionId, Group, PartitionId, PrimaryKey, SegmentId, Timestamp};

/// Most bytes of one body: the lengths in a frame can carry it, and a reader is ready to hold it.
pub(in crate::ingest) const MAX_BODY_BYTES: u64 = 1 << 30;

/// Bits of the scope of a delete. Logs of releases before the second one have only the first.
const ONE_PARTITION: u8 = 1;
const OWN_TIMESTAMP: u8 = 2;

/// Rows of one group, encoded.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct EncodedPart {
    pub(in crate::ingest) rows: u32,
    pub(in crate::ingest) bytes: u32,
    buffers: Vec<Buffer>,
}

/// A body that is ready to be written: only the header is missing.
#[derive(Debug, Clone)]
pub(in crate::ingest) struct EncodedRecord {
    pub(in crate::ingest) kind: FrameKind,
    pub(in crate::ingest) preamble: Vec<u8>,
    pub(in crate::ingest) crc: u32,
    pub(in crate::ingest) parts: Vec<EncodedPart>,
}

impl EncodedRecord {
    /// A request: its deletes, and its rows per group.
    pub(in crate::ingest) fn write(
        collection: CollectionId,
        deletes: &[DeleteOp],
        inserts: &[(Arc<Group>, RecordBatch)],
    ) -> Result<Self, IngestError> {
        let mut preamble = Vec::with_capacity(64);
        put_i64(&mut preamble, collection.0);
        put_len(&mut preamble, inserts.len())?;
        for (group, _) in inserts {
            put_i64(&mut preamble, group.partition.0);
            put_str(&mut preamble, group.channel.as_str())?;
        }
        put_len(&mut preamble, deletes.len())?;
        for op in deletes {
            put_delete(&mut preamble, op)?;
        }
        let mut crc = crc32c::crc32c(&preamble);
        let mut parts = Vec::with_capacity(inserts.len());
        let mut total = preamble.len() as u64;
        for (_, batch) in inserts {
            let part = encode_rows(batch)?;
            total += u64::from(part.bytes);
            for buffer in &part.buffers {
                crc = crc32c::crc32c_append(crc, buffer);
            }
            parts.push(part);
        }
        if total > MAX_BODY_BYTES {
            return Err(IngestError::TooLarge { bytes: total, limit: MAX_BODY_BYTES });
        }
        Ok(Self { kind: FrameKind::Write, preamble, crc, parts })
    }

    pub(in crate::ingest) fn control(control: &Control) -> Result<Self, IngestError> {
        let mut preamble = Vec::new();
        let kind = match control {
            Control::Seal(segments) | Control::Flushed(segments) => {
                put_len(&mut preamble, segments.len())?;
                segments.iter().for_each(|s| put_i64(&mut preamble, s.0));
                if matches!(control, Control::Seal(_)) { FrameKind::Seal } else { FrameKind::Flushed }
            }
            Control::ForgetCollection(collection) => {
                put_i64(&mut preamble, collection.0);
                FrameKind::ForgetCollection
            }
            Control::ForgetPartition(collection, partition) => {
                put_i64(&mut preamble, collection.0);
                put_i64(&mut preamble, partition.0);
                FrameKind::ForgetPartition
            }
        };
        let crc = crc32c::crc32c(&preamble);
        Ok(Self { kind, preamble, crc, parts: Vec::new() })
    }

    /// Preamble and parts in order, as they follow the header.
    pub(in crate::ingest) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let rows = self.parts.iter().flat_map(|p| &p.buffers).map(|b| b.as_slice());
        std::iter::once(self.preamble.as_slice()).chain(rows)
    }

    pub(in crate::ingest) fn bytes(&self) -> u64 {
        self.preamble.len() as u64 + self.parts.iter().map(|p| u64::from(p.bytes)).sum::<u64>()
    }
}

/// Changes of the write path that are not rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ingest) enum Control {
    Seal(Vec<SegmentId>),
    Flushed(Vec<SegmentId>),
    ForgetCollection(CollectionId),
    ForgetPartition(CollectionId, PartitionId),
}

/// The beginning of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ingest) enum Preamble {
    /// One group per part of the header.
    Write {
        collection: CollectionId,
        groups: Vec<(PartitionId, Channel)>,
        deletes: Vec<DeleteOp>,
    },
    Control(Control),
}

impl Preamble {
    /// Reads a preamble. The error is a text that names the fault.
    pub(in crate::ingest) fn decode(kind: FrameKind, bytes: &[u8]) -> Result<Self, &'static str> {
        let mut input = Input { bytes };
        let preamble = match kind {
            FrameKind::Write => {
                let collection = CollectionId(input.i64()?);
                let groups = input.list(12, |i| Ok((PartitionId(i.i64()?), Channel::new(i.str()?))))?;
                let deletes = input.list(18, Input::delete)?;
                Self::Write { collection, groups, deletes }
            }
            FrameKind::Seal => Self::Control(Control::Seal(input.list(8, |i| Ok(SegmentId(i.i64()?)))?)),
            FrameKind::Flushed => Self::Control(Control::Flushed(input.list(8, |i| Ok(SegmentId(i.i64()?)))?)),
            FrameKind::ForgetCollection => Self::Control(Control::ForgetCollection(CollectionId(input.i64()?))),
            FrameKind::ForgetPartition => {
                Self::Control(Control::ForgetPartition(CollectionId(input.i64()?), PartitionId(input.i64()?)))
            }
        };
        if input.bytes.is_empty() { Ok(preamble) } else { Err("preamble is longer than its content") }
    }
}

/// Reads the rows of one part. Arrow's reader believes lengths inside its messages, and panics over some wrong ones: that
/// is an error here.
pub(in crate::ingest) fn decode_rows(bytes: Buffer) -> Result<RecordBatch, String> {
    catch_unwind(AssertUnwindSafe(|| decode_stream(bytes)))
        .unwrap_or_else(|_| Err("its rows have lengths that can't be".to_owned()))
}

fn decode_stream(mut bytes: Buffer) -> Result<RecordBatch, String> {
    let mut decoder = StreamDecoder::new();
    let batch = decoder.decode(&mut bytes).map_err(|e| e.to_string())?.ok_or("part holds no rows")?;
    match decoder.decode(&mut bytes) {
        Ok(None) => decoder.finish().map(|()| batch).map_err(|e| e.to_string()),
        Ok(Some(_)) => Err("part holds more than one batch".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

fn encode_rows(batch: &RecordBatch) -> Result<EncodedPart, IngestError> {
    let failed = |e: arrow_schema::ArrowError| IngestError::Internal(format!("can't encode rows: {e}"));
    let mut encoder = StreamEncoder::try_new(&batch.schema()).map_err(failed)?;
    let mut buffers = encoder.encode(batch).map_err(failed)?;
    buffers.extend(encoder.finish().map_err(failed)?);
    let bytes: u64 = buffers.iter().map(|b| b.len() as u64).sum();
    let too_large = || IngestError::TooLarge { bytes, limit: MAX_BODY_BYTES };
    let rows = u32::try_from(batch.num_rows()).map_err(|_| too_large())?;
    Ok(EncodedPart { rows, bytes: u32::try_from(bytes).map_err(|_| too_large())?, buffers })
}

fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_len(out: &mut Vec<u8>, len: usize) -> Result<(), IngestError> {
    let too_large = |_| IngestError::TooLarge { bytes: len as u64, limit: MAX_BODY_BYTES };
    out.extend_from_slice(&u32::try_from(len).map_err(too_large)?.to_le_bytes());
    Ok(())
}

fn put_str(out: &mut Vec<u8>, text: &str) -> Result<(), IngestError> {
    put_len(out, text.len())?;
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_delete(out: &mut Vec<u8>, op: &DeleteOp) -> Result<(), IngestError> {
    let scope = if op.partition.is_some() { ONE_PARTITION } else { 0 };
    out.push(scope | if op.older_than.is_some() { OWN_TIMESTAMP } else { 0 });
    put_i64(out, op.partition.unwrap_or_default().0);
    if let Some(ts) = op.older_than {
        out.extend_from_slice(&ts.0.to_le_bytes());
    }
    put_str(out, op.channel.as_str())?;
    let strings = matches!(op.keys.first(), Some(PrimaryKey::Str(_)));
    out.push(u8::from(strings));
    put_len(out, op.keys.len())?;
    for key in op.keys.iter() {
        match key {
            PrimaryKey::Int(v) if !strings => put_i64(out, *v),
            PrimaryKey::Str(v) if strings => put_str(out, v)?,
            _ => return Err(IngestError::Internal("keys of one delete are of two types".to_owned())),
        }
    }
    Ok(())
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], &'static str> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or("preamble is cut short")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_| "preamble is cut short")
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, &'static str> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, &'static str> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn str(&mut self) -> Result<&'a str, &'static str> {
        let len = self.u32()? as usize;
        std::str::from_utf8(self.take(len)?).map_err(|_| "text in the preamble is not UTF-8")
    }

    /// A counted list whose elements take at least `least` bytes each: a count that can't fit is refused before any
    /// memory is set aside for it.
    fn list<T>(
        &mut self,
        least: usize,
        mut element: impl FnMut(&mut Self) -> Result<T, &'static str>,
    ) -> Result<Vec<T>, &'static str> {
        let count = self.u32()? as usize;
        if count > self.bytes.len() / least {
            return Err("preamble announces more than it holds");
        }
        let mut out = Vec::with_capacity(count);
        for _ in 0..count {
            out.push(element(self)?);
        }
        Ok(out)
    }

    fn delete(&mut self) -> Result<DeleteOp, &'static str> {
        let scope = self.u8()?;
        if scope & !(ONE_PARTITION | OWN_TIMESTAMP) != 0 {
            return Err("scope of a delete is unknown");
        }
        let id = PartitionId(self.i64()?);
        let partition = (scope & ONE_PARTITION != 0).then_some(id);
        let older_than = if scope & OWN_TIMESTAMP != 0 { Some(Timestamp(self.u64()?)) } else { None };
        let channel = Channel::new(self.str()?);
        let keys = match self.u8()? {
            0 => self.list(8, |i| Ok(PrimaryKey::Int(i.i64()?)))?,
            1 => self.list(4, |i| Ok(PrimaryKey::Str(i.str()?.into())))?,
            _ => return Err("key type of a delete is unknown"),
        };
        Ok(DeleteOp { channel, partition, keys: keys.into(), older_than })
    }
}
