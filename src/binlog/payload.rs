//! The parquet files inside the containers: chooses encodings, and decodes any file of the right shape into Arrow arrays of
//! the field's type (see docs/formats.md).
//!
//! Must never: write a data page v2, a codec other than zstd, or an Arrow schema into a payload.

use std::{
    ops::Range,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use arrow_array::{
    Array, ArrayRef, ArrowPrimitiveType, BinaryArray, RecordBatch, StringArray,
    cast::AsArray,
    make_array,
    types::{Int8Type, Int16Type, Int32Type},
};
use arrow_schema::{ArrowError, DataType as Arrow, Field as ArrowField, Schema as ArrowSchema};
use parquet::{
    arrow::{
        ArrowSchemaConverter, ArrowWriter,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
        },
        arrow_writer::ArrowWriterOptions,
    },
    basic::{Compression, CompressionCodec, Encoding, LogicalType, Repetition, Type as PhysicalType, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties, WriterVersion},
    schema::types::{SchemaDescriptor, Type as SchemaType},
};

use super::{BinlogError, LogBytes, container::MAX_PREFIX_LEN, pages::Pages};
use crate::{
    config::BinlogConfig,
    model::{DataType, Field, FieldId},
};

/// Name of the one column.
pub(super) const COLUMN: &str = "val";

/// Writes a column of any type except vectors into a buffer, behind room for the container's header.
pub(super) struct ColumnWriter {
    writer: ArrowWriter<Vec<u8>>,
    schema: Arc<ArrowSchema>,
    field: FieldId,
}

/// Encoding of the values of a column before compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Dictionary while it stays small, then plain; as Milvus writes.
    Dictionary,
    /// Plain, for distinct or large values, which a dictionary does not shrink.
    Plain,
    /// Differences, for integers that ascend or repeat: row ids and timestamps shrink to almost nothing, and keys are often
    /// serial.
    Delta,
}

impl Layout {
    fn of(field: &Field) -> Self {
        match field.data_type {
            DataType::Int64 if field.id.is_system() || field.is_primary_key => Self::Delta,
            DataType::VarChar if field.is_primary_key => Self::Plain,
            DataType::Bool | DataType::Json | DataType::Array | DataType::BinaryVector | DataType::FloatVector => {
                Self::Plain
            }
            _ => Self::Dictionary,
        }
    }
}

impl ColumnWriter {
    pub(super) fn new(field: &Field, config: &BinlogConfig) -> Result<Self, BinlogError> {
        let layout = Layout::of(field);
        // Statistics of documents are never used and may be long.
        let statistics = match field.data_type {
            DataType::Json | DataType::Array => EnabledStatistics::None,
            _ => EnabledStatistics::Chunk,
        };
        Self::with_layout(field.id, field.arrow_type(), layout, statistics, config)
    }

    /// The JSON texts of a delta log.
    pub(super) fn for_deletes(field: FieldId, config: &BinlogConfig) -> Result<Self, BinlogError> {
        Self::with_layout(field, Arrow::Utf8, Layout::Plain, EnabledStatistics::None, config)
    }

    fn with_layout(
        field: FieldId,
        arrow_type: Arrow,
        layout: Layout,
        statistics: EnabledStatistics,
        config: &BinlogConfig,
    ) -> Result<Self, BinlogError> {
        let failed = |e: ParquetError| encode_error(field, &e);
        let mut properties = WriterProperties::builder()
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(config.zstd_level).map_err(failed)?))
            .set_data_page_size_limit(config.page_bytes as usize)
            .set_max_row_group_row_count(Some(config.row_group_rows.max(1) as usize))
            .set_statistics_enabled(statistics)
            .set_offset_index_disabled(true)
            .set_dictionary_enabled(layout == Layout::Dictionary && config.dictionary);
        if layout == Layout::Delta {
            properties = properties.set_encoding(Encoding::DELTA_BINARY_PACKED);
        }
        let schema = Arc::new(ArrowSchema::new(vec![ArrowField::new(COLUMN, arrow_type, false)]));
        let options = ArrowWriterOptions::new()
            .with_properties(properties.build())
            .with_skip_arrow_metadata(true)
            .with_parquet_schema(parquet_schema(&schema).map_err(failed)?);
        let writer = ArrowWriter::try_new_with_options(vec![0; MAX_PREFIX_LEN], schema.clone(), options);
        Ok(Self { writer: writer.map_err(failed)?, schema, field })
    }

    pub(super) fn reserve(&mut self, bytes: usize) {
        self.writer.inner_mut().reserve(bytes);
    }

    pub(super) fn write(&mut self, column: &ArrayRef) -> Result<(), BinlogError> {
        let failed = |e: &dyn std::fmt::Display| encode_error(self.field, e);
        let batch = RecordBatch::try_new(self.schema.clone(), vec![column.clone()]).map_err(|e| failed(&e))?;
        self.writer.write(&batch).map_err(|e| failed(&e))
    }

    /// Ends the payload. Returns the buffer: room for the header, then the payload.
    pub(super) fn finish(self) -> Result<Vec<u8>, BinlogError> {
        let field = self.field;
        self.writer.into_inner().map_err(|e| encode_error(field, &e))
    }
}

/// The column as Milvus declares it. Milvus annotates the width of wide integers too; the general conversion leaves that
/// out, because the physical type implies it.
fn parquet_schema(schema: &ArrowSchema) -> Result<SchemaDescriptor, ParquetError> {
    let (physical, bits) = match schema.field(0).data_type() {
        Arrow::Int32 => (PhysicalType::INT32, 32),
        Arrow::Int64 => (PhysicalType::INT64, 64),
        _ => return ArrowSchemaConverter::new().convert(schema),
    };
    let column = SchemaType::primitive_type_builder(COLUMN, physical)
        .with_repetition(Repetition::REQUIRED)
        .with_logical_type(Some(LogicalType::integer(bits, true)))
        .build()?;
    let root = SchemaType::group_type_builder("schema").with_fields(vec![Arc::new(column)]).build()?;
    Ok(SchemaDescriptor::new(Arc::new(root)))
}

pub(super) fn encode_error(field: FieldId, error: &dyn std::fmt::Display) -> BinlogError {
    BinlogError::Encode { field, what: error.to_string() }
}

/// An opened payload: its bytes, its offset in the file, and its footer.
#[derive(Debug, Clone)]
pub(super) struct Payload {
    bytes: LogBytes,
    offset: usize,
    metadata: ArrowReaderMetadata,
}

impl Payload {
    /// Reads the footer. Ignores an Arrow schema in the file: the types of the columns decide.
    pub(super) fn open(bytes: LogBytes, offset: usize) -> Result<Self, BinlogError> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = guarded(offset, || ArrowReaderMetadata::load(&bytes, options))?;
        let columns = metadata.parquet_schema().columns();
        let [column] = columns else {
            return Err(BinlogError::corrupt(offset, format!("payload has {} columns, one expected", columns.len())));
        };
        if column.max_rep_level() != 0 || metadata.schema().fields().len() != 1 {
            return Err(BinlogError::corrupt(offset, "payload column is nested"));
        }
        if metadata.metadata().row_groups().iter().any(|group| group.num_rows() < 0) {
            return Err(BinlogError::corrupt(offset, "row group with a negative number of rows"));
        }
        let codecs = metadata.metadata().row_groups().iter().flat_map(|group| group.columns());
        if let Some(codec) = codecs.map(|column| column.compression_codec()).find(|codec| !is_bounded(*codec)) {
            let text = format!("payload is compressed by {codec}: its pages may become larger than they say");
            return Err(BinlogError::corrupt(offset, text));
        }
        Ok(Self { bytes, offset, metadata })
    }

    /// Offset in the file.
    pub(super) fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.bytes.len()
    }

    /// Type of the column as the file declares it.
    pub(super) fn stored_type(&self) -> &Arrow {
        // `open` has checked that there is exactly one.
        self.metadata.schema().fields().first().map_or(&Arrow::Null, |field| field.data_type())
    }

    /// Rows by the footer, which may claim any number.
    pub(super) fn rows(&self) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        groups.iter().map(|group| group.num_rows().unsigned_abs()).fold(0, u64::saturating_add)
    }

    /// Bytes of the pages before compression, by the footer.
    pub(super) fn uncompressed_bytes(&self) -> u64 {
        let groups = self.metadata.metadata().row_groups();
        let sizes = groups.iter().flat_map(|g| g.columns()).map(|c| c.uncompressed_size().unsigned_abs());
        sizes.fold(0, u64::saturating_add)
    }

    /// True if every part is zstd or uncompressed: both readers of Milvus have these codecs.
    pub(super) fn has_safe_codec(&self) -> bool {
        let groups = self.metadata.metadata().row_groups();
        groups
            .iter()
            .flat_map(|g| g.columns())
            .all(|c| matches!(c.compression_codec(), CompressionCodec::ZSTD | CompressionCodec::UNCOMPRESSED))
    }

    /// Reads all rows, or those in `rows`, in arrays of at most `batch_rows`. The payload must have the rows in `rows`.
    pub(super) fn read(&self, batch_rows: usize, rows: Option<Range<u64>>) -> Result<PayloadReader, BinlogError> {
        let metadata = self.metadata.clone();
        let pages = Pages::new(self.bytes.clone(), metadata.metadata());
        let missing = rows.as_ref().map_or_else(|| self.rows(), |rows| rows.end.saturating_sub(rows.start));
        let reader = guarded(self.offset, || {
            let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(pages, metadata);
            if let Some(rows) = rows {
                builder = builder.with_offset(rows.start as usize).with_limit(missing as usize);
            }
            builder.with_batch_size(batch_rows.max(1)).build()
        })?;
        Ok(PayloadReader { reader: Some(reader), offset: self.offset, missing })
    }
}

/// Whether the library makes no more of a page than its header claims. Milvus writes only zstd.
fn is_bounded(codec: CompressionCodec) -> bool {
    use CompressionCodec as C;
    matches!(codec, C::ZSTD | C::UNCOMPRESSED | C::SNAPPY | C::LZ4_RAW)
}

/// The rows of a payload. Ends after the first error.
pub(super) struct PayloadReader {
    reader: Option<ParquetRecordBatchReader>,
    offset: usize,
    /// Requested rows that are not decoded yet.
    missing: u64,
}

impl PayloadReader {
    /// The next array in the file's own type. `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<ArrayRef>, BinlogError> {
        let Some(mut reader) = self.reader.take() else { return Ok(None) };
        let offset = self.offset;
        let batch = guarded(offset, || reader.next().transpose())?;
        let Some(batch) = batch else {
            if self.missing > 0 {
                return Err(BinlogError::corrupt(offset, format!("payload ends {} rows early", self.missing)));
            }
            return Ok(None);
        };
        let rows = batch.num_rows() as u64;
        self.missing = self
            .missing
            .checked_sub(rows)
            .ok_or_else(|| BinlogError::corrupt(offset, "payload has more rows than its footer says"))?;
        self.reader = Some(reader);
        Ok(Some(batch.column(0).clone()))
    }
}

/// Converts an array to exactly the wanted type, without nulls. Other writers may store narrow integers as int32, text
/// without its annotation, or a column as nullable.
pub(super) fn conform(array: ArrayRef, wanted: &Arrow, offset: usize) -> Result<ArrayRef, BinlogError> {
    if array.null_count() > 0 {
        return Err(BinlogError::corrupt(offset, format!("column has {} nulls, none are allowed", array.null_count())));
    }
    let array = if array.nulls().is_some() { without_null_buffer(&array, offset)? } else { array };
    if array.data_type() == wanted {
        return Ok(array);
    }
    let actual = array.data_type().clone();
    let converted = match (&actual, wanted) {
        (Arrow::Int32, Arrow::Int8) => narrowed::<Int8Type>(&array),
        (Arrow::Int32, Arrow::Int16) => narrowed::<Int16Type>(&array),
        (Arrow::Binary, Arrow::Utf8) => text(&array),
        (Arrow::Utf8, Arrow::Binary) => Ok(Arc::new(BinaryArray::from(array.as_string::<i32>().clone())) as ArrayRef),
        _ => return Err(BinlogError::corrupt(offset, format!("column has type {actual}, field needs {wanted}"))),
    };
    converted.map_err(|e| BinlogError::corrupt(offset, format!("column of {actual} is no {wanted}: {e}")))
}

/// Integers of 32 bits as narrower ones. This and [`text`] are by hand: the crate that casts any type into any other costs
/// minutes of compile time.
fn narrowed<T: ArrowPrimitiveType<Native: TryFrom<i32>>>(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let narrow = |value| {
        let outside = |_| ArrowError::CastError(format!("Can't cast value {value} to type {}", T::DATA_TYPE));
        T::Native::try_from(value).map_err(outside)
    };
    Ok(Arc::new(array.as_primitive::<Int32Type>().try_unary::<_, T, _>(narrow)?))
}

fn text(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(StringArray::try_from_binary(array.as_binary::<i32>().clone())?))
}

fn without_null_buffer(array: &ArrayRef, offset: usize) -> Result<ArrayRef, BinlogError> {
    let data = array.to_data().into_builder().nulls(None).build();
    data.map(make_array).map_err(|e| BinlogError::corrupt(offset, format!("column can't be read: {e}")))
}

/// Calls the parquet library on stored bytes. An error and a panic both mean that the payload is corrupt: some decoders of
/// the library panic on bytes that no writer produces.
fn guarded<T, E: std::fmt::Display>(offset: usize, call: impl FnOnce() -> Result<T, E>) -> Result<T, BinlogError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(BinlogError::corrupt(offset, format!("parquet: {error}"))),
        Err(_) => Err(BinlogError::corrupt(offset, "parquet: a page can't be decoded")),
    }
}
