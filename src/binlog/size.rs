//! Size of rows in memory as Milvus counts it. Decides where binlogs are cut, and is written as `original_size`.

use arrow_array::{Array, ArrayRef, cast::AsArray};

use crate::model::{DataType, Field};

/// Milvus counts a Go string or slice header per value of variable length.
const VALUE_HEADER: u64 = 16;
/// Milvus counts the dimension once per vector column.
const VECTOR_HEADER: u64 = 4;

/// Bytes of one column of rows. Values of fixed types count their width, VarChar and JSON their length plus 16, arrays the
/// sum of their elements, vectors their bytes. A vector column counts 4 bytes more. A column whose type is not that of the
/// field counts as empty.
pub fn memory_size(field: &Field, column: &ArrayRef) -> u64 {
    column_header(field) + value_size(field, column)
}

/// The part of [`memory_size`] that is counted once per column.
pub(super) fn column_header(field: &Field) -> u64 {
    if field.data_type.is_vector() { VECTOR_HEADER } else { 0 }
}

/// The part of [`memory_size`] that is counted per row.
pub(super) fn value_size(field: &Field, column: &ArrayRef) -> u64 {
    let rows = column.len() as u64;
    match field.data_type {
        DataType::Bool | DataType::Int8 => rows,
        DataType::Int16 => rows * 2,
        DataType::Int32 | DataType::Float => rows * 4,
        DataType::Int64 | DataType::Double => rows * 8,
        DataType::VarChar => {
            let offsets = column.as_string_opt::<i32>().map(|a| a.value_offsets());
            rows * VALUE_HEADER + offsets.map_or(0, spanned)
        }
        DataType::Json => {
            let offsets = column.as_binary_opt::<i32>().map(|a| a.value_offsets());
            rows * VALUE_HEADER + offsets.map_or(0, spanned)
        }
        DataType::Array => {
            let element = field.element_type.unwrap_or(DataType::Int64);
            column.as_binary_opt::<i32>().map_or(0, |cells| cells.iter().flatten().map(|c| cell_size(element, c)).sum())
        }
        DataType::BinaryVector | DataType::FloatVector => rows * field.vector_bytes() as u64,
    }
}

/// Bytes between the first and the last offset; a slice's offsets do not begin at 0.
fn spanned(offsets: &[i32]) -> u64 {
    match (offsets.first(), offsets.last()) {
        (Some(first), Some(last)) => u64::from(last.abs_diff(*first)),
        _ => 0,
    }
}

/// Bytes of the elements of a serialised `ScalarField`: a message whose one member is a list message with its values in
/// field 1, packed or not. A broken cell counts up to the break; writing and reading do not depend on this.
fn cell_size(element: DataType, cell: &[u8]) -> u64 {
    let mut size = 0;
    for list in Fields(cell).filter_map(WireMember::bytes) {
        for member in Fields(list).filter(|m| m.number == 1) {
            size += match (element, member.value) {
                (DataType::VarChar, WireValue::Bytes(text)) => text.len() as u64 + VALUE_HEADER,
                (DataType::Float, WireValue::Bytes(packed)) => packed.len() as u64,
                (DataType::Double, WireValue::Bytes(packed)) => packed.len() as u64,
                // A packed list of varints: the last byte of each has its high bit clear.
                (_, WireValue::Bytes(packed)) => {
                    element_width(element) * packed.iter().filter(|byte| **byte < 0x80).count() as u64
                }
                (_, WireValue::Number) => element_width(element),
            };
        }
    }
    size
}

fn element_width(element: DataType) -> u64 {
    match element {
        DataType::Bool | DataType::Int8 => 1,
        DataType::Int16 => 2,
        DataType::Int32 | DataType::Float => 4,
        _ => 8,
    }
}

enum WireValue<'a> {
    Bytes(&'a [u8]),
    Number,
}

struct WireMember<'a> {
    number: u64,
    value: WireValue<'a>,
}

impl<'a> WireMember<'a> {
    fn bytes(self) -> Option<&'a [u8]> {
        match self.value {
            WireValue::Bytes(bytes) => Some(bytes),
            WireValue::Number => None,
        }
    }
}

/// The members of a protobuf message. Ends at the first byte that can't be parsed.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7F) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn skip(&mut self, len: u64) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(head)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = WireMember<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => self.varint().map(|_| WireValue::Number)?,
            1 => self.skip(8).map(|_| WireValue::Number)?,
            2 => {
                let len = self.varint()?;
                WireValue::Bytes(self.skip(len)?)
            }
            5 => self.skip(4).map(|_| WireValue::Number)?,
            _ => return None,
        };
        Some(WireMember { number: tag >> 3, value })
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// Cells as Milvus writes them, with the sizes that it counts.
    #[rstest]
    #[case(DataType::Int64, "1a00", 0)]
    #[case(DataType::Int64, "1a0d0a0bffffffffffffffffff0100", 16)]
    #[case(DataType::VarChar, "32030a0161", 17)]
    #[case(DataType::Int8, "12080a06010203818001", 4)]
    #[case(DataType::Bool, "0a050a03010001", 3)]
    #[case(DataType::Float, "220a0a080000803f00000040", 8)]
    #[case(DataType::Double, "2a0a0a08000000000000f03f", 8)]
    #[case(DataType::Int64, "1a0408010802", 16)]
    #[case(DataType::Int64, "", 0)]
    #[case(DataType::Int64, "1aff", 0)]
    fn array_cells(#[case] element: DataType, #[case] cell: &str, #[case] size: u64) {
        assert_eq!(cell_size(element, &hex::decode(cell).unwrap()), size);
    }
}
