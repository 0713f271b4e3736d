//! The bytes of a payload for the page decoder, which sets aside as much memory as the header of a page claims.
//!
//! One damaged byte of a header may claim 2 GB, and an allocation that fails ends the process. So each header is looked at
//! here first: no page is larger than its column chunk, and none larger than [`MAX_PAGE_BYTES`].
//!
//! Must never: pass on a page header whose claim is not known.

use bytes::Bytes;
use parquet::{
    errors::{ParquetError, Result as ParquetResult},
    file::{
        metadata::ParquetMetaData,
        reader::{ChunkReader, Length},
    },
};

use super::{LogBytes, source::Peek};

/// Largest page before compression: one value of the largest length that a field allows, and twice that.
const MAX_PAGE_BYTES: u64 = 512 << 20;
/// Identifier of a first field, or of the field after the last one, whose value is an integer of 32 bits.
const NEXT_I32: u8 = 0x15;

/// A payload whose page headers are checked as they are read.
pub(super) struct Pages {
    bytes: LogBytes,
    most: u64,
}

impl Pages {
    /// `metadata` is the footer of these bytes.
    pub(super) fn new(bytes: LogBytes, metadata: &ParquetMetaData) -> Self {
        let chunks = metadata.row_groups().iter().flat_map(|group| group.columns());
        let largest = chunks.map(|chunk| u64::try_from(chunk.uncompressed_size()).unwrap_or(0)).max();
        Self { bytes, most: largest.unwrap_or(0).min(MAX_PAGE_BYTES) }
    }
}

impl Length for Pages {
    fn len(&self) -> u64 {
        Length::len(&self.bytes)
    }
}

impl ChunkReader for Pages {
    type T = Peek;

    /// Behind the footer, the decoder begins to read only at page headers.
    fn get_read(&self, start: u64) -> ParquetResult<Peek> {
        let peek = Peek::at(self.bytes.clone(), start)?;
        match claimed(peek.ahead()) {
            Some(claim) if claim <= self.most => Ok(peek),
            Some(claim) => {
                let what = format!("page at {start} claims {claim} bytes, its column chunk has at most {}", self.most);
                Err(ParquetError::General(what))
            }
            None => Err(ParquetError::General(format!("no page header at {start}"))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.bytes.get_bytes(start, length)
    }
}

/// Bytes of a page before compression, by its header: Thrift's compact form, the type in field 1 and the size in field 2.
fn claimed(header: &[u8]) -> Option<u64> {
    let (kind, rest) = next_i32(header)?;
    let (size, _) = next_i32(rest)?;
    // Signs are in the lowest bit. Negative numbers are none that a page may have.
    (kind & 1 == 0 && size & 1 == 0).then_some(size >> 1)
}

fn next_i32(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut rest = bytes.strip_prefix(&[NEXT_I32])?;
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let (byte, behind) = rest.split_first()?;
        rest = behind;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some((number, rest));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_read_from_headers() {
        // Type 0, sizes 64 and 21, as a header of a data page begins.
        assert_eq!(claimed(&[0x15, 0, 0x15, 0x80, 1, 0x15, 42]), Some(64));
        assert_eq!(claimed(&[0x15, 0, 0x15, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F]), Some(i32::MAX as u64));
        for none in
            [&[][..], &[0x15], &[0x15, 0, 0x15, 0x80], &[0x15, 0, 0x15, 1], &[0x25, 0, 0x15, 2], &[0x15, 0, 5, 4, 2]]
        {
            assert_eq!(claimed(none), None, "{none:?}");
        }
        assert_eq!(claimed(&[0x15, 0, 0x15, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1]), None);
    }
}
