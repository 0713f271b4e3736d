//! The header of a frame: encoding and checks. `wal` draws it.
//!
//! Must never trust a length before the header's sum was right.

use super::super::IngestError;
use crate::model::{Lsn, SegmentId, Timestamp};

pub(in crate::ingest) const MAGIC: [u8; 4] = *b"DCW1";
/// Bytes of a header without parts.
pub(in crate::ingest) const FIXED_BYTES: usize = 48;
const PART_BYTES: usize = 16;
/// Parts of one frame at most: far above partitions times channels, far below what would exhaust memory.
pub(in crate::ingest) const MAX_PARTS: usize = 1 << 20;

/// The kind of record in the body of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) enum FrameKind {
    /// Deletes and rows of one request.
    Write = 1,
    /// Segments that take no more rows because a client asked.
    Seal = 2,
    /// Segments whose rows are in the object store and in the catalog.
    Flushed = 3,
    /// A collection was dropped.
    ForgetCollection = 4,
    /// A partition was dropped.
    ForgetPartition = 5,
}

impl FrameKind {
    fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Write,
            2 => Self::Seal,
            3 => Self::Flushed,
            4 => Self::ForgetCollection,
            5 => Self::ForgetPartition,
            _ => return None,
        })
    }
}

/// Rows of one group: their segment, their number, and the bytes that they take in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ingest) struct FramePart {
    pub(in crate::ingest) segment: SegmentId,
    pub(in crate::ingest) rows: u32,
    pub(in crate::ingest) bytes: u32,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ingest) struct FrameHeader {
    pub(in crate::ingest) kind: FrameKind,
    pub(in crate::ingest) lsn: Lsn,
    pub(in crate::ingest) ts: Timestamp,
    pub(in crate::ingest) durable: Lsn,
    pub(in crate::ingest) preamble_bytes: u32,
    pub(in crate::ingest) body_crc: u32,
    pub(in crate::ingest) parts: Vec<FramePart>,
}

impl FrameHeader {
    pub(in crate::ingest) fn encoded_bytes(&self) -> usize {
        FIXED_BYTES + self.parts.len() * PART_BYTES
    }

    pub(in crate::ingest) fn body_bytes(&self) -> u64 {
        u64::from(self.preamble_bytes) + self.parts.iter().map(|p| u64::from(p.bytes)).sum::<u64>()
    }

    pub(in crate::ingest) fn encode(&self) -> Result<Vec<u8>, IngestError> {
        let too_many = || IngestError::TooLarge { bytes: self.parts.len() as u64, limit: MAX_PARTS as u64 };
        let parts = u32::try_from(self.parts.len()).ok().filter(|n| *n as usize <= MAX_PARTS).ok_or_else(too_many)?;
        let mut out = Vec::with_capacity(self.encoded_bytes());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&(self.kind as u32).to_le_bytes());
        out.extend_from_slice(&parts.to_le_bytes());
        out.extend_from_slice(&self.lsn.0.to_le_bytes());
        out.extend_from_slice(&self.ts.0.to_le_bytes());
        out.extend_from_slice(&self.durable.0.to_le_bytes());
        out.extend_from_slice(&self.preamble_bytes.to_le_bytes());
        out.extend_from_slice(&self.body_crc.to_le_bytes());
        for part in &self.parts {
            out.extend_from_slice(&part.segment.0.to_le_bytes());
            out.extend_from_slice(&part.rows.to_le_bytes());
            out.extend_from_slice(&part.bytes.to_le_bytes());
        }
        let crc = crc32c::crc32c(&out[8..]);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        Ok(out)
    }

    /// Length of the whole header that `fixed`, its first [`FIXED_BYTES`], announces. Only the magic and the limit of
    /// parts have been verified yet.
    pub(in crate::ingest) fn announced_bytes(fixed: &[u8]) -> Result<usize, &'static str> {
        if fixed.get(..4) != Some(&MAGIC[..]) {
            return Err("no frame begins here");
        }
        match u32_at(fixed, 12) {
            Some(parts) if parts as usize <= MAX_PARTS => Ok(FIXED_BYTES + parts as usize * PART_BYTES),
            _ => Err("header announces too many parts"),
        }
    }

    /// Reads a header that takes up exactly `bytes`.
    pub(in crate::ingest) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "header is cut short";
        if Self::announced_bytes(bytes)? != bytes.len() {
            return Err(SHORT);
        }
        let sum = bytes.get(8..).map(crc32c::crc32c);
        if sum.is_none() || sum != u32_at(bytes, 4) {
            return Err("checksum of the header is wrong");
        }
        let kind = u32_at(bytes, 8).and_then(FrameKind::from_number).ok_or("kind of the frame is unknown")?;
        let parts = bytes
            .get(FIXED_BYTES..)
            .unwrap_or(&[])
            .chunks_exact(PART_BYTES)
            .map(|part| {
                Some(FramePart {
                    segment: SegmentId(u64_at(part, 0)? as i64),
                    rows: u32_at(part, 8)?,
                    bytes: u32_at(part, 12)?,
                })
            })
            .collect::<Option<Vec<_>>>()
            .ok_or(SHORT)?;
        Ok(Self {
            kind,
            lsn: Lsn(u64_at(bytes, 16).ok_or(SHORT)?),
            ts: Timestamp(u64_at(bytes, 24).ok_or(SHORT)?),
            durable: Lsn(u64_at(bytes, 32).ok_or(SHORT)?),
            preamble_bytes: u32_at(bytes, 40).ok_or(SHORT)?,
            body_crc: u32_at(bytes, 44).ok_or(SHORT)?,
            parts,
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}
