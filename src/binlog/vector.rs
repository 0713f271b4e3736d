//! Writes a vector column as plain pages cut directly from the Arrow buffer.
//!
//! The general writer copies every vector several times (into single values, a page, a chunk, the file). Vectors are nearly
//! all bytes of a collection, so this writer compresses slices of the column and appends them. The file is an ordinary one:
//! a required fixed-length column, data pages v1 with plain values, zstd.
//!
//! Vectors of floats hardly compress (8 % at best, at a tenth of the speed); others do. A sample of the first page
//! decides whether the configured level is worth its time.

use std::{io::Write, sync::Arc};

use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use bytes::Bytes;
use parquet::{
    arrow::ArrowSchemaConverter,
    basic::{CompressionCodec, Encoding},
    column::page::{CompressedPage, Page, PageWriter},
    errors::ParquetError,
    file::{
        metadata::{
            ColumnChunkMetaData, FileMetaData, ParquetMetaDataBuilder, ParquetMetaDataWriter, RowGroupMetaData,
        },
        properties::DEFAULT_CREATED_BY,
        writer::{SerializedPageWriter, TrackedWrite},
    },
    schema::types::SchemaDescriptor,
};
use zstd::{bulk::Compressor, zstd_safe::compress_bound};

use super::{
    BinlogError,
    container::MAX_PREFIX_LEN,
    payload::{COLUMN, encode_error},
};
use crate::{
    config::BinlogConfig,
    model::{Field, FieldId},
};

const PARQUET_MAGIC: &[u8; 4] = b"PAR1";
const PARQUET_VERSION: i32 = 1;
/// Bytes of the first page that are compressed as a sample.
const SAMPLE_BYTES: usize = 64 << 10;
/// The sample must shrink by more than one part in this many; otherwise vectors are stored with `FAST_LEVEL`.
const WORTHWHILE_SHARE: usize = 8;
/// Level that finds repetitions but does not encode single bytes.
const FAST_LEVEL: i32 = -1;

pub(super) struct VectorWriter {
    field: FieldId,
    width: usize,
    zstd_level: i32,
    /// Most rows of a page.
    page_rows: usize,
    /// Most rows of a row group.
    group_rows: usize,
    schema: SchemaDescriptor,
    /// The file. Positions count from the payload's first byte.
    sink: TrackedWrite<Vec<u8>>,
    /// Chosen with the first page.
    compressor: Option<Compressor<'static>>,
    /// Rows that do not fill a page yet.
    pending: Vec<u8>,
    /// Reused for each compressed page: new memory for each would cost more than the compression.
    scratch: Vec<u8>,
    /// Row groups with at least one page. The last one may get more.
    groups: Vec<RowGroup>,
}

/// Adjacent pages.
#[derive(Default)]
struct RowGroup {
    /// Position of the first page in the payload.
    at: usize,
    rows: usize,
    compressed: usize,
    uncompressed: usize,
}

impl VectorWriter {
    pub(super) fn new(field: &Field, config: &BinlogConfig) -> Result<Self, BinlogError> {
        let failed = |e: ParquetError| encode_error(field.id, &e);
        let width = field.vector_bytes();
        if width == 0 {
            let (expected, actual) = ("a vector with a dimension".to_owned(), format!("{:?}", field.dim));
            return Err(BinlogError::ColumnType { field: field.id, expected, actual });
        }
        let schema = ArrowSchema::new(vec![ArrowField::new(COLUMN, field.arrow_type(), false)]);
        let schema = ArrowSchemaConverter::new().convert(&schema).map_err(failed)?;
        let mut sink = TrackedWrite::new(vec![0; MAX_PREFIX_LEN]);
        sink.write_all(PARQUET_MAGIC).map_err(|e| encode_error(field.id, &e))?;
        Ok(Self {
            field: field.id,
            width,
            zstd_level: config.zstd_level,
            page_rows: (config.page_bytes as usize / width).max(1),
            group_rows: config.row_group_rows.max(1) as usize,
            schema,
            sink,
            compressor: None,
            pending: Vec::new(),
            scratch: Vec::new(),
            groups: Vec::new(),
        })
    }

    pub(super) fn reserve(&mut self, bytes: usize) {
        self.sink.inner_mut().reserve(bytes);
    }

    /// Appends whole vectors, one after the other.
    pub(super) fn write(&mut self, mut values: &[u8]) -> Result<(), BinlogError> {
        while !values.is_empty() {
            let page_bytes = self.page_bytes();
            if self.pending.is_empty() && values.len() >= page_bytes {
                let (page, rest) = values.split_at(page_bytes);
                self.write_page(page)?;
                values = rest;
                continue;
            }
            let (part, rest) = values.split_at(values.len().min(page_bytes - self.pending.len()));
            self.pending.extend_from_slice(part);
            values = rest;
            if self.pending.len() == page_bytes {
                self.flush_pending()?;
            }
        }
        Ok(())
    }

    /// Bytes of the next page: whole vectors, at least one, and at most as many as its row group has room for.
    fn page_bytes(&self) -> usize {
        let used = self.groups.last().map_or(0, |group| group.rows % self.group_rows);
        self.page_rows.min(self.group_rows - used) * self.width
    }

    fn flush_pending(&mut self) -> Result<(), BinlogError> {
        let mut page = std::mem::take(&mut self.pending);
        self.write_page(&page)?;
        page.clear();
        self.pending = page;
        Ok(())
    }

    fn write_page(&mut self, values: &[u8]) -> Result<(), BinlogError> {
        let field = self.field;
        let mut compressor = match self.compressor.take() {
            Some(compressor) => compressor,
            None => choose(values, self.zstd_level).map_err(|e| encode_error(field, &e))?,
        };
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.reserve(compress_bound(values.len()));
        compressor.compress_to_buffer(values, &mut scratch).map_err(|e| encode_error(field, &e))?;
        self.compressor = Some(compressor);
        let compressed = Bytes::from(scratch);
        let rows = values.len() / self.width;
        let page = Page::DataPage {
            buf: compressed.clone(),
            num_values: rows as u32,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let at = self.sink.bytes_written();
        let written = SerializedPageWriter::new(&mut self.sink)
            .write_page(CompressedPage::new(page, values.len()))
            .map_err(|e| encode_error(field, &e))?;
        self.scratch = compressed.into();
        if self.groups.last().is_none_or(|group| group.rows >= self.group_rows) {
            self.groups.push(RowGroup { at, ..RowGroup::default() });
        }
        if let Some(group) = self.groups.last_mut() {
            group.rows += rows;
            group.compressed += written.compressed_size;
            group.uncompressed += written.uncompressed_size;
        }
        Ok(())
    }

    /// Ends the payload. Returns the buffer: room for the header, then the payload.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, BinlogError> {
        if !self.pending.is_empty() {
            self.flush_pending()?;
        }
        let field = self.field;
        self.write_footer().map_err(|e| encode_error(field, &e))?;
        self.sink.into_inner().map_err(|e| encode_error(field, &e))
    }

    fn write_footer(&mut self) -> Result<(), ParquetError> {
        let schema = Arc::new(self.schema.clone());
        let groups = (0..).zip(&self.groups).map(|(ordinal, group)| group.metadata(&schema, ordinal));
        let groups = groups.collect::<Result<Vec<_>, _>>()?;
        let rows = self.groups.iter().map(|group| group.rows as i64).sum();
        let created_by = Some(DEFAULT_CREATED_BY.to_owned());
        let file = FileMetaData::new(PARQUET_VERSION, rows, created_by, None, schema, None);
        let metadata = ParquetMetaDataBuilder::new(file).set_row_groups(groups).build();
        ParquetMetaDataWriter::new(&mut self.sink, &metadata).finish()
    }
}

impl RowGroup {
    fn metadata(&self, schema: &Arc<SchemaDescriptor>, ordinal: i32) -> Result<RowGroupMetaData, ParquetError> {
        let (rows, at, uncompressed) = (self.rows as i64, self.at as i64, self.uncompressed as i64);
        let chunk = ColumnChunkMetaData::builder(schema.column(0))
            .set_compression_codec(CompressionCodec::ZSTD)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE])
            .set_num_values(rows)
            .set_data_page_offset(at)
            .set_total_compressed_size(self.compressed as i64)
            .set_total_uncompressed_size(uncompressed)
            .build()?;
        RowGroupMetaData::builder(schema.clone())
            .set_num_rows(rows)
            .set_total_byte_size(uncompressed)
            .set_file_offset(at)
            .set_ordinal(ordinal)
            .add_column_metadata(chunk)
            .build()
    }
}

/// The configured level if a sample of the first page shrinks enough, otherwise `FAST_LEVEL`.
fn choose(page: &[u8], zstd_level: i32) -> std::io::Result<Compressor<'static>> {
    let sample = page.get(..SAMPLE_BYTES).unwrap_or(page);
    let mut configured = Compressor::new(zstd_level)?;
    let saved = sample.len().saturating_sub(configured.compress(sample)?.len());
    if saved > sample.len() / WORTHWHILE_SHARE { Ok(configured) } else { Compressor::new(FAST_LEVEL.min(zstd_level)) }
}
