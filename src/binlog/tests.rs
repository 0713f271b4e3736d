//! Insert and delta logs as a whole: what we write keeps the rules of both readers of Milvus, and what others wrote
//! within them is read.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array,
    Int16Array, Int32Array, Int64Array, LargeStringArray, RecordBatch, StringArray,
};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use bytes::Bytes;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{BrotliLevel, Compression, CompressionCodec, Encoding, GzipLevel, LogicalType, Repetition, Type},
    column::page::Page,
    file::{
        properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion},
        reader::{FileReader, SerializedFileReader},
    },
};
use rstest::rstest;

use super::{
    container::{DELETE_EVENT, INSERT_EVENT, MAX_PREFIX_LEN, fill_prefix},
    *,
};
use crate::{
    config::BinlogConfig,
    error::{Classify, ErrorKind},
    kit::model,
    model::{CollectionId, DataType, Delete, Field, FieldId, PartitionId, PrimaryKey, SegmentId, Timestamp},
};

const IDS: LogIds = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };
const FROM: Timestamp = Timestamp(10);
const TO: Timestamp = Timestamp(20);

fn field(data_type: DataType) -> Field {
    Field {
        element_type: (data_type == DataType::Array).then_some(DataType::Int64),
        dim: data_type.is_vector().then_some(16),
        ..model::field(100, "f", data_type)
    }
}

/// 5000 rows of any type, with extremes first.
fn column(data_type: DataType) -> ArrayRef {
    const ROWS: i64 = 5000;
    let text = |i: i64| if i % 7 == 0 { String::new() } else { format!("text \u{2028} <{}>", i * i) };
    match data_type {
        DataType::Bool => Arc::new(BooleanArray::from_iter((0..ROWS).map(|i| Some(i % 3 == 0)))),
        DataType::Int8 => Arc::new(Int8Array::from_iter_values((0..ROWS).map(|i| (i as i8).wrapping_add(i8::MIN)))),
        DataType::Int16 => Arc::new(Int16Array::from_iter_values((0..ROWS).map(|i| i16::MIN + i as i16))),
        DataType::Int32 => Arc::new(Int32Array::from_iter_values((0..ROWS).map(|i| i32::MIN + i as i32 * 7))),
        DataType::Int64 => {
            let spread = |i: i64| i.wrapping_mul(0x9E37_79B9_7F4A_7C15_u64 as i64);
            Arc::new(Int64Array::from_iter_values([i64::MIN, i64::MAX, 0, -1].into_iter().chain((4..ROWS).map(spread))))
        }
        DataType::Float => Arc::new(Float32Array::from_iter_values(
            [f32::MIN, -0.0, f32::from_bits(1), f32::INFINITY].into_iter().chain((4..ROWS).map(|i| i as f32 / 3.0)),
        )),
        DataType::Double => Arc::new(Float64Array::from_iter_values(
            [f64::MIN, -0.0, f64::from_bits(1), 9.0].into_iter().chain((4..ROWS).map(|i| i as f64 / 3.0)),
        )),
        DataType::VarChar => Arc::new(StringArray::from_iter_values((0..ROWS).map(text))),
        DataType::Json | DataType::Array => {
            Arc::new(BinaryArray::from_iter_values((0..ROWS).map(|i| text(i).into_bytes())))
        }
        DataType::BinaryVector | DataType::FloatVector => {
            let width = field(data_type).vector_bytes();
            let vector = |i: i64| (0..width).map(move |b| (i as usize * 31 + b * 7) as u8).collect::<Vec<_>>();
            Arc::new(FixedSizeBinaryArray::try_from_iter((0..ROWS).map(vector)).unwrap())
        }
    }
}

fn encode(field: &Field, columns: &[ArrayRef]) -> Encoded {
    let mut writer = InsertLogWriter::new(IDS, field, &BinlogConfig::default()).unwrap();
    columns.iter().for_each(|column| writer.write(column).unwrap());
    writer.finish(FROM, TO, 1).unwrap()
}

fn decode(bytes: &Bytes, field: &Field, batch_rows: usize) -> Result<Vec<ArrayRef>, BinlogError> {
    InsertLog::open(bytes.clone())?.read(field, batch_rows)?.collect()
}

fn joined(arrays: &[ArrayRef]) -> ArrayRef {
    let arrays: Vec<&dyn Array> = arrays.iter().map(|a| a.as_ref()).collect();
    arrow_select::concat::concat(&arrays).unwrap()
}

#[rstest]
fn every_type_comes_back(
    #[values(
        DataType::Bool,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float,
        DataType::Double,
        DataType::VarChar,
        DataType::Array,
        DataType::Json,
        DataType::BinaryVector,
        DataType::FloatVector
    )]
    data_type: DataType,
    #[values(1, 999, 5000)] batch_rows: usize,
) {
    let (field, all) = (field(data_type), column(data_type));
    // Slices: their buffers begin before the first row.
    let parts = [all.slice(0, 3), all.slice(3, 0), all.slice(3, 4997)];
    let encoded = encode(&field, &parts);
    assert_eq!((encoded.rows, encoded.memory_bytes), (5000, memory_size(&field, &all)));

    let log = InsertLog::open(encoded.bytes.clone()).unwrap();
    let header = log.header();
    assert_eq!((header.ids, header.field, header.ts_from, header.ts_to), (IDS, field.id, FROM, TO));
    assert_eq!((header.data_type, header.original_size), (data_type.number(), encoded.memory_bytes));
    assert_eq!(log.rows(), 5000);

    let arrays = decode(&encoded.bytes, &field, batch_rows).unwrap();
    assert!(arrays.iter().all(|a| a.data_type() == &field.arrow_type() && a.nulls().is_none()));
    assert!(arrays.iter().all(|a| a.len() <= batch_rows));
    assert_eq!(&joined(&arrays), &all);
}

/// Milvus counts 4 bytes once per vector column and 16 per text.
#[rstest]
#[case(DataType::Bool, 5000)]
#[case(DataType::Int16, 10_000)]
#[case(DataType::Double, 40_000)]
#[case(DataType::FloatVector, 5000 * 64 + 4)]
#[case(DataType::BinaryVector, 5000 * 2 + 4)]
fn memory_is_counted_as_milvus_does(#[case] data_type: DataType, #[case] bytes: u64) {
    assert_eq!(memory_size(&field(data_type), &column(data_type)), bytes);
    let three = StringArray::from(vec!["a", "", "bcd"]);
    let texts: ArrayRef = Arc::new(three.slice(1, 2));
    assert_eq!(memory_size(&field(DataType::VarChar), &texts), 3 + 32);
}

/// Properties of a payload that one of Milvus' readers refuses.
#[rstest]
#[case(DataType::Bool, Type::BOOLEAN, None)]
#[case(DataType::Int8, Type::INT32, Some(LogicalType::integer(8, true)))]
#[case(DataType::Int16, Type::INT32, Some(LogicalType::integer(16, true)))]
#[case(DataType::Int32, Type::INT32, Some(LogicalType::integer(32, true)))]
#[case(DataType::Int64, Type::INT64, Some(LogicalType::integer(64, true)))]
#[case(DataType::Float, Type::FLOAT, None)]
#[case(DataType::Double, Type::DOUBLE, None)]
#[case(DataType::VarChar, Type::BYTE_ARRAY, Some(LogicalType::String))]
#[case(DataType::Array, Type::BYTE_ARRAY, None)]
#[case(DataType::Json, Type::BYTE_ARRAY, None)]
#[case(DataType::BinaryVector, Type::FIXED_LEN_BYTE_ARRAY, None)]
#[case(DataType::FloatVector, Type::FIXED_LEN_BYTE_ARRAY, None)]
fn payloads_keep_the_rules(
    #[case] data_type: DataType,
    #[case] physical: Type,
    #[case] logical: Option<LogicalType>,
    #[values(false, true)] special: bool,
) {
    let mut field = field(data_type);
    field.is_primary_key = special;
    check_payload(&encode(&field, &[column(data_type)]).bytes, INSERT_EVENT, physical, logical.as_ref());
}

#[test]
fn delta_payloads_keep_the_rules() {
    let deletes: Vec<Delete> =
        (1..2000).map(|i| Delete { key: PrimaryKey::Int(-i), ts: Timestamp(i as u64) }).collect();
    let encoded = encode_delta(IDS, &deletes, &BinlogConfig::default(), 1).unwrap();
    check_payload(&encoded.bytes, DELETE_EVENT, Type::BYTE_ARRAY, Some(&LogicalType::String));
    let parsed = container::parse(&encoded.bytes.clone().into(), DELETE_EVENT).unwrap().descriptor;
    assert_eq!((parsed.field, parsed.data_type), (FieldId(-1), 20));
    assert_eq!((parsed.ts_from, parsed.ts_to), (Timestamp(1), Timestamp(1999)));
    assert_eq!((encoded.ts_from, encoded.ts_to, encoded.rows), (Timestamp(1), Timestamp(1999), 1999));
    assert_eq!(decode_delta(encoded.bytes).unwrap(), deletes);
}

fn check_payload(file: &Bytes, event: u8, physical: Type, logical: Option<&LogicalType>) {
    let parsed = container::parse(&file.clone().into(), event).unwrap();
    assert_eq!(parsed.payloads.len(), 1, "the C++ reader takes one event");
    let reader = SerializedFileReader::new(file.slice(parsed.payloads[0].clone())).unwrap();
    let metadata = reader.metadata();
    assert_eq!(metadata.file_metadata().key_value_metadata(), None, "an Arrow schema was written");
    assert_eq!(metadata.num_row_groups(), 1);
    let columns = metadata.file_metadata().schema_descr().columns();
    assert_eq!((columns.len(), columns[0].name()), (1, "val"));
    assert_eq!(columns[0].self_type().get_basic_info().repetition(), Repetition::REQUIRED);
    assert_eq!((columns[0].physical_type(), columns[0].logical_type_ref()), (physical, logical));
    let chunk = metadata.row_group(0).column(0);
    assert_eq!(chunk.compression_codec(), CompressionCodec::ZSTD);
    assert_eq!((chunk.offset_index_offset(), chunk.column_index_offset()), (None, None));
    let read_by_both = [
        Encoding::PLAIN,
        Encoding::RLE,
        Encoding::RLE_DICTIONARY,
        Encoding::PLAIN_DICTIONARY,
        Encoding::DELTA_BINARY_PACKED,
    ];
    let mut rows = 0;
    for page in reader.get_row_group(0).unwrap().get_column_page_reader(0).unwrap() {
        let page = page.unwrap();
        assert!(!matches!(page, Page::DataPageV2 { .. }), "the Go reader reads no row of a data page v2");
        assert!(read_by_both.contains(&page.encoding()), "{:?}", page.encoding());
        assert!(chunk.encodings().any(|e| e == page.encoding()), "footer does not list {:?}", page.encoding());
        rows += if page.is_data_page() { i64::from(page.num_values()) } else { 0 };
    }
    assert_eq!(rows, metadata.file_metadata().num_rows());
    assert_eq!(rows, chunk.num_values());
}

#[test]
fn vectors_are_cut_into_pages_and_chosen_levels() {
    // Noise that no level shrinks, and vectors that any level does.
    let mut seed = 1_u64;
    let mut noise = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 56) as u8
    };
    let mut field = field(DataType::FloatVector);
    field.dim = Some(768);
    let width = field.vector_bytes();
    let random: Vec<Vec<u8>> = (0..1000).map(|_| (0..width).map(|_| noise()).collect()).collect();
    let random: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter(random.into_iter()).unwrap());
    let zeros: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter((0..1000).map(|_| vec![0; width])).unwrap());
    for (column, at_most) in [(random, 1000 * width + 4096), (zeros, 4096)] {
        let encoded = encode(&field, &[column.slice(0, 10), column.slice(10, 990)]);
        assert!(encoded.bytes.len() < at_most, "{} bytes", encoded.bytes.len());
        assert_eq!(&joined(&decode(&encoded.bytes, &field, 300).unwrap()), &column);
    }
}

/// Sizes of pages (before compression, in order) of each row group, and whether any of them is a dictionary.
fn pages_of(file: &Bytes) -> (Vec<(i64, Vec<usize>)>, bool) {
    let parsed = container::parse(&file.clone().into(), INSERT_EVENT).unwrap();
    let reader = SerializedFileReader::new(file.slice(parsed.payloads[0].clone())).unwrap();
    let mut dictionary = false;
    let group = |number| {
        let group = reader.get_row_group(number).unwrap();
        let pages: Vec<Page> = group.get_column_page_reader(0).unwrap().map(Result::unwrap).collect();
        dictionary |= pages.iter().any(|page| !page.is_data_page());
        (group.metadata().num_rows(), pages.iter().map(|page| page.buffer().len()).collect())
    };
    ((0..reader.num_row_groups()).map(group).collect(), dictionary)
}

#[rstest]
fn pages_row_groups_and_dictionaries_are_as_set(
    #[values(DataType::Int16, DataType::Double, DataType::VarChar, DataType::Json, DataType::FloatVector)]
    data_type: DataType,
    #[values(false, true)] dictionary: bool,
) {
    let (field, all) = (field(data_type), column(data_type));
    let config = BinlogConfig { page_bytes: 4096, row_group_rows: 700, dictionary, ..BinlogConfig::default() };
    let mut writer = InsertLogWriter::new(IDS, &field, &config).unwrap();
    // Neither pages nor row groups end where a write does.
    for at in (0..5000).step_by(333) {
        writer.write(&all.slice(at, 333.min(5000 - at))).unwrap();
    }
    let encoded = writer.finish(FROM, TO, 1).unwrap();
    let (groups, has_dictionary) = pages_of(&encoded.bytes);
    let rows: Vec<i64> = groups.iter().map(|(rows, _)| *rows).collect();
    assert_eq!(rows, [700, 700, 700, 700, 700, 700, 700, 100]);
    let may_repeat = matches!(data_type, DataType::Int16 | DataType::Double | DataType::VarChar);
    assert_eq!(has_dictionary, dictionary && may_repeat);
    if !has_dictionary {
        // A page ends with the write that fills it.
        let write = memory_size(&field, &all) as usize * 333 / 5000;
        let sizes = groups.iter().flat_map(|(_, pages)| pages);
        assert!(sizes.clone().all(|bytes| *bytes <= 4096 + write), "{groups:?}");
        assert!(data_type == DataType::Int16 || sizes.count() > groups.len(), "{groups:?}");
    }
    for batch_rows in [1, 999, 5000] {
        assert_eq!(&joined(&decode(&encoded.bytes, &field, batch_rows).unwrap()), &all);
    }
}

#[test]
fn wrong_columns_are_refused() {
    let mut writer = InsertLogWriter::new(IDS, &field(DataType::Int64), &BinlogConfig::default()).unwrap();
    let error = writer.write(&column(DataType::Int32)).unwrap_err();
    assert_eq!(error.to_string(), "field 100: column has type Int32, field needs Int64");
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    assert_eq!(writer.write(&nulls).unwrap_err(), BinlogError::Nulls { field: FieldId(100), nulls: 1 });
    assert_eq!(writer.finish(FROM, TO, 1).unwrap_err(), BinlogError::Empty { field: FieldId(100) });

    let mut writer = InsertLogWriter::new(IDS, &field(DataType::FloatVector), &BinlogConfig::default()).unwrap();
    assert_eq!(writer.write(&column(DataType::BinaryVector)).unwrap_err().kind(), ErrorKind::Invalid);
    let dimensionless = Field { dim: None, ..field(DataType::FloatVector) };
    assert!(InsertLogWriter::new(IDS, &dimensionless, &BinlogConfig::default()).is_err());

    let mut writer = InsertLogWriter::new(IDS, &field(DataType::Bool), &BinlogConfig::default()).unwrap();
    writer.write(&column(DataType::Bool)).unwrap();
    let error = writer.finish(Timestamp(0), TO, 1).unwrap_err();
    assert_eq!(error.to_string(), "field 100: time range 0 to 20 must be non-zero and ascending");
    assert!(encode_delta(IDS, &[], &BinlogConfig::default(), 1).is_err());
}

/// A log around payloads made elsewhere.
fn log_of(data_type: DataType, payloads: &[Vec<u8>]) -> Bytes {
    let descriptor = Descriptor {
        ids: IDS,
        field: FieldId(100),
        ts_from: FROM,
        ts_to: TO,
        data_type: data_type.number(),
        original_size: 0,
    };
    let mut log = Vec::new();
    for payload in payloads {
        let mut file = vec![0; MAX_PREFIX_LEN];
        file.extend_from_slice(payload);
        let start = fill_prefix(&mut file, &descriptor, INSERT_EVENT, 1).unwrap();
        let event_at =
            container::parse(&Bytes::copy_from_slice(&file[start..]).into(), INSERT_EVENT).unwrap().payloads[0].start
                - 33;
        if log.is_empty() {
            log.extend_from_slice(&file[start..start + event_at]);
        }
        let event = log.len();
        log.extend_from_slice(&file[start + event_at..]);
        let next = (log.len() as i32).to_le_bytes();
        log[event + 13..event + 17].copy_from_slice(&next);
    }
    Bytes::from(log)
}

fn parquet_of(
    column: &ArrayRef,
    name: &str,
    nullable: bool,
    arrow_schema: bool,
    tune: impl FnOnce(WriterPropertiesBuilder) -> WriterPropertiesBuilder,
) -> Vec<u8> {
    let schema = Arc::new(ArrowSchema::new(vec![ArrowField::new(name, column.data_type().clone(), nullable)]));
    let properties = tune(WriterProperties::builder()).build();
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(!arrow_schema);
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), schema.clone(), options).unwrap();
    writer.write(&RecordBatch::try_new(schema, vec![column.clone()]).unwrap()).unwrap();
    writer.into_inner().unwrap()
}

/// Variants of payloads that other writers produce, and some that only we read.
#[test]
fn files_of_other_writers_are_read() {
    let texts = column(DataType::VarChar);
    let text_field = field(DataType::VarChar);
    let codecs = [Compression::UNCOMPRESSED, Compression::SNAPPY, Compression::LZ4_RAW];
    let mut variants: Vec<(String, Vec<u8>)> = codecs
        .into_iter()
        .map(|codec| (codec.to_string(), parquet_of(&texts, "val", false, false, |p| p.set_compression(codec))))
        .collect();
    let v2 = |p: WriterPropertiesBuilder| p.set_writer_version(WriterVersion::PARQUET_2_0);
    variants.push(("page v2".to_owned(), parquet_of(&texts, "val", false, false, v2)));
    variants.push(("nullable".to_owned(), parquet_of(&texts, "val", true, true, |p| p)));
    variants.push(("other name".to_owned(), parquet_of(&texts, "column", false, false, |p| p)));
    let groups = |p: WriterPropertiesBuilder| p.set_max_row_group_row_count(Some(700));
    variants.push(("row groups".to_owned(), parquet_of(&texts, "val", false, false, groups)));
    let strings = texts.as_any().downcast_ref::<StringArray>().unwrap();
    let large: ArrayRef = Arc::new(LargeStringArray::from_iter_values(strings.iter().flatten()));
    variants.push(("large with schema".to_owned(), parquet_of(&large, "val", false, true, |p| p)));
    let bare: ArrayRef = Arc::new(BinaryArray::from_iter_values(strings.iter().flatten()));
    variants.push(("not annotated".to_owned(), parquet_of(&bare, "val", false, false, |p| p)));

    for (name, payload) in variants {
        let log = log_of(DataType::VarChar, &[payload]);
        let arrays = decode(&log, &text_field, 512).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(arrays.iter().all(|a| a.nulls().is_none()), "{name}");
        assert_eq!(&joined(&arrays), &texts, "{name}");
    }

    let int32: ArrayRef = Arc::new(Int32Array::from_iter_values([-128, 0, 127]));
    let log = log_of(DataType::Int8, &[parquet_of(&int32, "val", false, false, |p| p)]);
    let expected: ArrayRef = Arc::new(Int8Array::from(vec![-128, 0, 127]));
    assert_eq!(&joined(&decode(&log, &field(DataType::Int8), 10).unwrap()), &expected);
}

/// Kinds of pages that expand without a bound. Milvus never writes them.
#[test]
fn pages_that_may_become_any_size_are_refused() {
    let texts = column(DataType::VarChar);
    let refused = |tune: &dyn Fn(WriterPropertiesBuilder) -> WriterPropertiesBuilder| {
        let log = log_of(DataType::VarChar, &[parquet_of(&texts, "val", false, false, tune)]);
        let error = decode(&log, &field(DataType::VarChar), 512).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        error.to_string()
    };
    for codec in
        [Compression::GZIP(GzipLevel::default()), Compression::BROTLI(BrotliLevel::default()), Compression::LZ4]
    {
        let error = refused(&|p| p.set_compression(codec));
        assert!(error.contains("its pages may become larger than they say"), "{codec}: {error}");
    }
    for encoding in [Encoding::DELTA_BYTE_ARRAY, Encoding::DELTA_LENGTH_BYTE_ARRAY] {
        for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
            let error =
                refused(&|p| p.set_writer_version(version).set_dictionary_enabled(false).set_encoding(encoding));
            assert!(error.contains("which Milvus never writes"), "{encoding}: {error}");
        }
    }
}

#[test]
fn several_events_are_read_in_order() {
    let all = column(DataType::Int64);
    let payload = |from: usize, rows: usize| parquet_of(&all.slice(from, rows), "val", false, false, |p| p);
    let log = log_of(DataType::Int64, &[payload(0, 1200), payload(1200, 1), payload(1201, 3799)]);
    assert_eq!(InsertLog::open(log.clone()).unwrap().rows(), 5000);
    assert_eq!(&joined(&decode(&log, &field(DataType::Int64), 500).unwrap()), &all);
    let error = InsertLog::open(log).unwrap().readdress(IDS, 1).unwrap_err();
    assert_eq!(error, BinlogError::NotCopyable("3 events, readers take one".to_owned()));
}

#[test]
fn contents_that_do_not_fit_the_field_are_corrupt() {
    let nulls: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
    let cases = [
        (DataType::Int64, nulls, "column has 1 nulls, none are allowed"),
        (DataType::Int64, column(DataType::Int32), "column has type Int32, field needs Int64"),
        (DataType::FloatVector, column(DataType::BinaryVector), "field needs FixedSizeBinary(64)"),
    ];
    for (data_type, stored, expected) in cases {
        let log = log_of(data_type, &[parquet_of(&stored, "val", true, false, |p| p)]);
        let error = decode(&log, &field(data_type), 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains(expected), "{error}");
    }
    let int32: ArrayRef = Arc::new(Int32Array::from(vec![128]));
    let log = log_of(DataType::Int8, &[parquet_of(&int32, "val", false, false, |p| p)]);
    assert!(decode(&log, &field(DataType::Int8), 10).is_err(), "128 is no int8");
    let error = decode(&log, &field(DataType::Int16), 10).unwrap_err().to_string();
    assert!(error.ends_with("data type 2, field 100 has 3"), "{error}");
}

#[test]
fn readdressing_changes_the_header_only() {
    let field = field(DataType::FloatVector);
    let encoded = encode(&field, &[column(DataType::FloatVector)]);
    let ids = LogIds { segment: SegmentId(77), ..IDS };
    let copy = InsertLog::open(encoded.bytes.clone()).unwrap().readdress(ids, 9).unwrap();
    let copy = copy.join(&encoded.bytes);
    let bytes = copy.bytes.clone();
    let header = InsertLog::open(bytes.clone()).unwrap().header().clone();
    assert_eq!((header.ids, header.ts_from, header.ts_to), (ids, FROM, TO));
    assert_eq!((copy.rows, copy.memory_bytes), (encoded.rows, encoded.memory_bytes));
    let payload = |bytes: &Bytes| {
        let range = container::parse(&bytes.clone().into(), INSERT_EVENT).unwrap().payloads[0].clone();
        bytes.slice(range)
    };
    assert_eq!(payload(&bytes), payload(&encoded.bytes));

    let snappy = parquet_of(&column(DataType::Int64), "val", false, false, |p| p.set_compression(Compression::SNAPPY));
    let log = InsertLog::open(log_of(DataType::Int64, &[snappy])).unwrap();
    assert_eq!(log.readdress(ids, 9).unwrap_err().kind(), ErrorKind::Precondition);
}
