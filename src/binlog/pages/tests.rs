use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    file::{
        metadata::{ParquetMetaDataReader, ParquetMetaDataWriter},
        properties::{WriterProperties, WriterPropertiesBuilder},
    },
};
use rstest::rstest;

use super::{super::payload::Payload, *};
use crate::error::{Classify as _, ErrorKind};

/// A number in five bytes, which is room for every size.
fn wide(number: i32) -> Vec<u8> {
    let zigzag = u64::from(((number << 1) ^ (number >> 31)).cast_unsigned());
    let mut bytes: Vec<u8> = (0..5).map(|at| (zigzag >> (7 * at)) as u8 | 0x80).collect();
    bytes[4] &= 0x7F;
    bytes
}

fn written(column: ArrayRef, tune: impl FnOnce(WriterPropertiesBuilder) -> WriterPropertiesBuilder) -> Bytes {
    let schema = Arc::new(ArrowSchema::new(vec![ArrowField::new("val", column.data_type().clone(), false)]));
    let zstd = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default()));
    let options = ArrowWriterOptions::new().with_properties(tune(zstd).build()).with_skip_arrow_metadata(true);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), Arc::clone(&schema), options).unwrap();
    writer.write(&RecordBatch::try_new(schema, vec![column]).unwrap()).unwrap();
    writer.into_inner().unwrap().into()
}

fn numbers() -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((0..3000).map(|n| n * n)))
}

/// The header of a payload's first page, as another one.
struct Forged<'a> {
    /// First three fields: type, bytes before compression, bytes after.
    kind: u8,
    uncompressed: i32,
    compressed: i32,
    /// Fields behind them, and the end.
    rest: &'a [u8],
}

impl Forged<'_> {
    fn bytes(&self) -> Vec<u8> {
        let [uncompressed, compressed] = [self.uncompressed, self.compressed].map(wide);
        [&[0x15, self.kind, 0x15][..], &uncompressed, &[0x15], &compressed, self.rest].concat()
    }
}

/// The payload with another header at the beginning of its only chunk; the footer has the chunk's new length.
fn forged(payload: &Bytes, change: impl FnOnce(Forged<'_>) -> Vec<u8>) -> Bytes {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(payload).unwrap();
    let group = metadata.row_group(0).clone();
    let chunk = group.column(0).clone();
    let (first, length) = chunk.byte_range();
    let chunk_bytes = payload.slice(first as usize..(first + length) as usize);
    let mut cursor = ThriftCursor { rest: &chunk_bytes, claims: Claims::default() };
    cursor.structure(HeaderPart::Page, MAX_DEPTH).unwrap();
    let body = cursor.rest;
    let mut fields = ThriftCursor { rest: &chunk_bytes, claims: Claims::default() };
    let [kind, uncompressed, compressed] = [0; 3].map(|_: i64| {
        assert_eq!(fields.byte().unwrap(), 0x15);
        fields.signed().unwrap()
    });
    let rest = &fields.rest[..fields.rest.len() - body.len()];
    let header = change(Forged {
        kind: (kind << 1) as u8,
        uncompressed: uncompressed as i32,
        compressed: compressed as i32,
        rest,
    });
    let grown = (header.len() + body.len()) as i64;
    let added = grown - chunk_bytes.len() as i64;
    let mut chunk = chunk.into_builder().set_total_compressed_size(grown);
    // The data of a chunk with a dictionary are behind it.
    if group.column(0).dictionary_page_offset().is_some() {
        chunk = chunk.set_data_page_offset(group.column(0).data_page_offset() + added);
    }
    let group = group.into_builder().set_column_metadata(vec![chunk.build().unwrap()]).build().unwrap();
    let metadata = metadata.into_builder().set_row_groups(vec![group]).build();
    let mut file = [&payload[..first as usize], &header, body].concat();
    ParquetMetaDataWriter::new(&mut file, &metadata).finish().unwrap();
    file.into()
}

fn read(payload: &Bytes, rows: Option<Range<u64>>) -> Result<Vec<ArrayRef>, super::super::BinlogError> {
    let mut reader = Payload::open(payload.clone().into(), 0)?.read(500, rows)?;
    let mut arrays = Vec::new();
    while let Some(array) = reader.next()? {
        arrays.push(array);
    }
    Ok(arrays)
}

fn rows(arrays: &[ArrayRef]) -> usize {
    arrays.iter().map(|array| array.len()).sum()
}

fn plain(p: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
    p.set_dictionary_enabled(false)
}

#[test]
fn a_page_that_claims_more_than_its_chunk_has_is_refused_before_it_is_decoded() {
    let payload = written(numbers(), plain);
    // It has one page, so its chunk is little more than that.
    let same = forged(&payload, |header| header.bytes());
    assert_eq!(rows(&read(&same, None).unwrap()), 3000, "the forgery itself is read");
    for (claim, expected) in [
        (i32::MAX, "claims 2147483647 bytes, its column chunk may have 240"),
        (1 << 20, "claims 1048576 bytes"),
        (-1, "a size is negative"),
    ] {
        let damaged = forged(&payload, |header| Forged { uncompressed: claim, ..header }.bytes());
        for part in [None, Some(10..20), Some(2990..3000)] {
            let error = read(&damaged, part).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(expected), "{claim}: {error}");
        }
    }
}

#[test]
fn a_dictionary_that_claims_more_values_than_bytes_is_refused() {
    let texts = StringArray::from_iter_values((0..3000).map(|n| ["one", "two", "three"][n % 3]));
    let payload = written(Arc::new(texts), |p| p);
    let same = forged(&payload, |header| header.bytes());
    assert_eq!(rows(&read(&same, None).unwrap()), 3000);
    let damaged = forged(&payload, |header| {
        assert_eq!(header.rest[..3], [0x4C, 0x15, 6], "three values");
        let rest = [&header.rest[..2], &wide(i32::MAX), &header.rest[3..]].concat();
        Forged { rest: &rest, ..header }.bytes()
    });
    let error = read(&damaged, None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("claims 2147483647 values in"), "{error}");
}

/// The decoder takes the last one of a field that is there twice, and a field of any type for the one that it knows.
#[rstest]
#[case::again(&[0x05, 4], "claims 2147483647 bytes")]
#[case::as_another_type(&[0x06, 4], "a field has another type")]
#[case::as_a_text(&[0x08, 4], "a field has another type")]
fn a_claim_behind_the_first_one_counts_too(#[case] field: &[u8], #[case] expected: &str) {
    let damaged = forged(&written(numbers(), plain), |header| {
        let rest = [&header.rest[..header.rest.len() - 1], field, &wide(i32::MAX), &[0]].concat();
        Forged { rest: &rest, ..header }.bytes()
    });
    let error = read(&damaged, None).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
}

#[rstest]
#[case::that_fit(3000)]
#[case::that_take_several_reads(60_000)]
fn headers_with_long_fields_are_read(#[case] length: i32) {
    let payload = forged(&written(numbers(), plain), |header| {
        let (end, fields) = header.rest.split_last().unwrap();
        let rest = [fields, &[0x98], &wide(length / 2)[..], &vec![b'x'; length as usize], &[*end]].concat();
        Forged { rest: &rest, ..header }.bytes()
    });
    // A text has no sign: `wide` doubles.
    assert_eq!(rows(&read(&payload, None).unwrap()), 3000);
}

#[test]
fn a_header_that_ends_behind_its_chunk_is_refused() {
    let payload = forged(&written(numbers(), plain), |header| {
        let (end, fields) = header.rest.split_last().unwrap();
        Forged { rest: &[fields, &[0x98], &wide(i32::MAX)[..], &[*end]].concat(), ..header }.bytes()
    });
    let error = read(&payload, None).unwrap_err().to_string();
    assert!(error.contains("its end is missing"), "{error}");
}

/// The decoder looks ahead and skips, and so begins to read at bodies as well as at headers.
#[rstest]
fn all_parts_of_chunks_with_many_pages_are_read(
    #[values(true, false)] dictionary: bool,
    #[values(1, 7)] groups: usize,
) {
    let tune = |p: WriterPropertiesBuilder| {
        p.set_dictionary_enabled(dictionary)
            .set_data_page_row_count_limit(100)
            .set_write_batch_size(100)
            .set_max_row_group_row_count(Some(3000 / groups))
    };
    // Bytes that look like headers, and empty ones.
    let header = Forged { kind: 0, uncompressed: i32::MAX, compressed: 1, rest: &[0] }.bytes();
    let values: Vec<&[u8]> =
        (0..3000).map(|n| if n % 500 < 150 { &[][..] } else { &header[..n % header.len()] }).collect();
    for codec in [Compression::UNCOMPRESSED, Compression::ZSTD(ZstdLevel::default())] {
        for column in [Arc::new(BinaryArray::from_iter_values(&values)) as ArrayRef, numbers()] {
            let payload = written(Arc::clone(&column), |p| tune(p).set_compression(codec));
            assert_eq!(rows(&read(&payload, None).unwrap()), 3000);
            for (from, to) in [(0, 1), (99, 101), (150, 2900), (1234, 1300), (2999, 3000)] {
                let part = read(&payload, Some(from..to)).unwrap();
                let parts: Vec<&dyn Array> = part.iter().map(AsRef::as_ref).collect();
                let whole = arrow_select::concat::concat(&parts).unwrap();
                assert_eq!(whole.to_data(), column.slice(from as usize, (to - from) as usize).to_data());
            }
        }
    }
}

#[test]
fn headers_are_read_to_their_end() {
    let of = |bytes: &[u8]| Claims::of(bytes);
    let sizes = |bytes| Claims { bytes, values: 0 };
    // A data page of 64 bytes: type, sizes, and the structure of a data page.
    let page = [0x15, 0, 0x15, 0x80, 1, 0x15, 42, 0x2C, 0x15, 2, 0x15, 0, 0x15, 6, 0x15, 6, 0, 0];
    assert_eq!(of(&page), Ok(sizes(64)));
    for cut in 0..page.len() {
        assert_eq!(of(&page[..cut]), Err(NoHeader::Cut), "{cut}");
    }
    // A bool, a byte, an i16, an i64, a double and a text in a structure that nobody knows.
    let unknown = [&[0x9C, 0x11, 0x12, 0x13, 7, 0x14, 2, 0x16, 0xFF, 1, 0x17][..], &[1; 8], &[0x18, 2, 9, 9, 0, 0]];
    assert_eq!(of(&unknown.concat()), Ok(sizes(0)));
    for (wrong, bytes) in [
        ("a number is too long", &[0x15, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 1][..]),
        ("a number is too large", &[0x15, 0x80, 0x80, 0x80, 0x80, 0x80, 1]),
        ("a field has no number", &[0x05, 0x80, 0x80, 0x80, 1]),
        ("a field has a type that headers do not have", &[0x9B, 0]),
        ("it is nested too deep", &[0x9C; 20]),
        ("a field has another type than it should have", &[0x1C, 0, 0]),
    ] {
        assert_eq!(of(bytes), Err(NoHeader::Wrong(wrong)));
    }
}
