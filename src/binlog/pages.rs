//! The bytes of a payload for the page decoder, which sets aside as much memory as the header of a page claims.
//!
//! One damaged byte of a header may claim 2 GB, and an allocation that fails ends the process. So each header is read here
//! before the decoder reads it: no page is larger than its column chunk by the footer, none larger than
//! [`MAX_PAGE_BYTES`], and no dictionary has more values than bytes. Two encodings of texts are refused: their lengths may
//! claim any memory, and Milvus never writes them.
//!
//! The decoder also begins to read where a page's body begins, and then reads nothing there: so a header is looked at when
//! its first byte is asked for, not when a reader is made.
//!
//! Must never: hand a byte of a header over before all of it was read.

use std::{
    io::{self, Read},
    ops::Range,
};

use bytes::Bytes;
use parquet::{
    errors::Result as ParquetResult,
    file::{
        metadata::{ColumnChunkMetaData, ParquetMetaData},
        reader::{ChunkReader, Length},
    },
};

use super::{
    LogBytes,
    source::{PEEK_BYTES, Peek},
};

/// Largest page before compression. Writers end a page at 1 MB, but may first write 1,024 values into it: twice that of the
/// longest vectors.
const MAX_PAGE_BYTES: u64 = 512 << 20;
/// Encodings of texts that are refused, `DELTA_LENGTH_BYTE_ARRAY` and `DELTA_BYTE_ARRAY`.
const REFUSED_ENCODINGS: [i32; 2] = [6, 7];
/// Structures in structures of a header. Headers have three.
const MAX_DEPTH: u8 = 8;

/// A payload whose page headers are checked before they are read.
pub(super) struct Pages {
    bytes: LogBytes,
    chunks: Vec<ColumnChunk>,
}

/// Where a column chunk is, and its bytes before compression, by the footer.
struct ColumnChunk {
    range: Range<u64>,
    uncompressed: u64,
}

impl ColumnChunk {
    fn of(metadata: &ColumnChunkMetaData) -> Self {
        let first = metadata.dictionary_page_offset().unwrap_or_else(|| metadata.data_page_offset());
        // Nothing is in a chunk with a negative number.
        let [first, length, uncompressed] =
            [first, metadata.compressed_size(), metadata.uncompressed_size()].map(|n| u64::try_from(n).unwrap_or(0));
        Self { range: first..first.saturating_add(length), uncompressed }
    }
}

impl Pages {
    /// `metadata` is the footer of these bytes.
    pub(super) fn new(bytes: LogBytes, metadata: &ParquetMetaData) -> Self {
        let chunks = metadata.row_groups().iter().flat_map(|group| group.columns()).map(ColumnChunk::of).collect();
        Self { bytes, chunks }
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        Length::len(&self.bytes)
    }
}

impl ChunkReader for Pages {
    type T = PageStart;

    fn get_read(&self, start: u64) -> ParquetResult<PageStart> {
        let chunk = self.chunks.iter().find(|chunk| chunk.range.contains(&start));
        let limits = chunk.map_or(HeaderLimits { header: 0, page: 0 }, |chunk| HeaderLimits {
            header: chunk.range.end - start,
            page: chunk.uncompressed.min(MAX_PAGE_BYTES),
        });
        Ok(PageStart { peek: self.bytes.get_read(start)?, unread: Some(limits) })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.bytes.get_bytes(start, length)
    }
}

/// Most bytes of a header, and of its page before compression.
#[derive(Debug, Clone, Copy)]
struct HeaderLimits {
    header: u64,
    page: u64,
}

/// Reads a page header, which it checks at the first call.
pub(super) struct PageStart {
    peek: Peek,
    /// Until the first call.
    unread: Option<HeaderLimits>,
}

impl Read for PageStart {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(limits) = self.unread.take() {
            let at = self.peek.position();
            let claims = self.claims(limits)?;
            claims.check(at, limits)?;
        }
        self.peek.read(buffer)
    }
}

impl PageStart {
    /// Reads ahead until the header is there.
    fn claims(&mut self, limits: HeaderLimits) -> io::Result<Claims> {
        let at = self.peek.position();
        let mut wanted = PEEK_BYTES;
        loop {
            let ahead = self.peek.ahead(wanted)?;
            let within = usize::try_from(limits.header).map_or(ahead, |most| &ahead[..most.min(ahead.len())]);
            match Claims::of(within) {
                Ok(claims) => return Ok(claims),
                // Headers with long statistics are rare: to begin again costs less than to keep the place.
                Err(NoHeader::Cut) if ahead.len() as u64 == wanted && wanted < limits.header => wanted *= 2,
                Err(why) => return Err(refused(format!("no page header at {at}: {why}"))),
            }
        }
    }
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The memory that a header makes the decoder set aside.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Claims {
    /// Bytes of the page before compression.
    bytes: u64,
    /// Values of a dictionary.
    values: u64,
}

impl Claims {
    fn check(self, at: u64, limits: HeaderLimits) -> io::Result<()> {
        let Self { bytes, values } = self;
        if bytes > limits.page {
            let most = limits.page;
            return Err(refused(format!("page at {at} claims {bytes} bytes, its column chunk may have {most}")));
        }
        // Each value has its length or four bytes of its own.
        if values > bytes {
            return Err(refused(format!("dictionary at {at} claims {values} values in {bytes} bytes")));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoHeader {
    /// More bytes are needed.
    Cut,
    /// It can't be one with any continuation.
    Wrong(&'static str),
}

impl std::fmt::Display for NoHeader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cut => "its end is missing",
            Self::Wrong(what) => what,
        })
    }
}

/// Structures of a header, as far as the decoder knows them. It reads the fields that it knows as their right type,
/// and ignores the type that they claim, so another type is refused here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HeaderPart {
    Page,
    Data,
    Index,
    Dictionary,
    DataV2,
    /// One that is skipped.
    Other,
}

/// Types of Thrift's compact form.
mod kind {
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const STRUCT: u8 = 12;
}

impl HeaderPart {
    /// Whether a field that the decoder knows has its type, and the structure that is in it.
    fn field(self, id: i16, kind: u8) -> Option<HeaderPart> {
        let (is_right, inner) = match (self, id) {
            (HeaderPart::Page, 1..=4)
            | (HeaderPart::Data, 1..=4)
            | (HeaderPart::Dictionary, 1..=2)
            | (HeaderPart::DataV2, 1..=6) => (kind == kind::I32, HeaderPart::Other),
            (HeaderPart::Page, 5) => (kind == kind::STRUCT, HeaderPart::Data),
            (HeaderPart::Page, 6) => (kind == kind::STRUCT, HeaderPart::Index),
            (HeaderPart::Page, 7) => (kind == kind::STRUCT, HeaderPart::Dictionary),
            (HeaderPart::Page, 8) => (kind == kind::STRUCT, HeaderPart::DataV2),
            (HeaderPart::Dictionary, 3) | (HeaderPart::DataV2, 7) => {
                (matches!(kind, kind::TRUE | kind::FALSE), HeaderPart::Other)
            }
            _ => (true, HeaderPart::Other),
        };
        is_right.then_some(inner)
    }
}

/// Reads Thrift's compact form.
struct ThriftCursor<'a> {
    rest: &'a [u8],
    claims: Claims,
}

impl Claims {
    /// The claims of the header at the beginning of these bytes.
    fn of(bytes: &[u8]) -> Result<Self, NoHeader> {
        let mut cursor = ThriftCursor { rest: bytes, claims: Self::default() };
        cursor.structure(HeaderPart::Page, MAX_DEPTH)?;
        Ok(cursor.claims)
    }
}

impl ThriftCursor<'_> {
    fn byte(&mut self) -> Result<u8, NoHeader> {
        let (byte, rest) = self.rest.split_first().ok_or(NoHeader::Cut)?;
        self.rest = rest;
        Ok(*byte)
    }

    fn number(&mut self) -> Result<u64, NoHeader> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(NoHeader::Wrong("a number is too long"))
    }

    /// A number with its sign in the lowest bit.
    fn signed(&mut self) -> Result<i64, NoHeader> {
        let number = self.number()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn skip(&mut self, bytes: u64) -> Result<(), NoHeader> {
        let rest = usize::try_from(bytes).ok().and_then(|bytes| self.rest.get(bytes..));
        self.rest = rest.ok_or(NoHeader::Cut)?;
        Ok(())
    }

    fn structure(&mut self, part: HeaderPart, depth: u8) -> Result<(), NoHeader> {
        let depth = depth.checked_sub(1).ok_or(NoHeader::Wrong("it is nested too deep"))?;
        let mut id = 0i16;
        loop {
            let head = self.byte()?;
            let (kind, step) = (head & 0x0F, i16::from(head >> 4));
            if kind == kind::STOP {
                return Ok(());
            }
            let next = if step == 0 { i16::try_from(self.signed()?).ok() } else { id.checked_add(step) };
            id = next.ok_or(NoHeader::Wrong("a field has no number"))?;
            let inner = part.field(id, kind).ok_or(NoHeader::Wrong("a field has another type than it should have"))?;
            match kind {
                kind::TRUE | kind::FALSE => {}
                kind::BYTE => self.skip(1)?,
                kind::I32 => self.i32(part, id)?,
                kind::I16 | kind::I64 => self.number().map(drop)?,
                kind::DOUBLE => self.skip(8)?,
                kind::BINARY => {
                    let length = self.number()?;
                    self.skip(length)?;
                }
                kind::STRUCT => self.structure(inner, depth)?,
                _ => return Err(NoHeader::Wrong("a field has a type that headers do not have")),
            }
        }
    }

    /// Of a field that is there twice the larger number counts.
    fn i32(&mut self, part: HeaderPart, id: i16) -> Result<(), NoHeader> {
        let number = i32::try_from(self.signed()?).map_err(|_| NoHeader::Wrong("a number is too large"))?;
        let claim = match (part, id) {
            (HeaderPart::Page, 2) => &mut self.claims.bytes,
            (HeaderPart::Dictionary, 1) => &mut self.claims.values,
            (HeaderPart::Data, 2) | (HeaderPart::DataV2, 4) if REFUSED_ENCODINGS.contains(&number) => {
                return Err(NoHeader::Wrong("its values are lengths and parts of texts, which Milvus never writes"));
            }
            _ => return Ok(()),
        };
        *claim = (*claim).max(u64::try_from(number).map_err(|_| NoHeader::Wrong("a size is negative"))?);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
