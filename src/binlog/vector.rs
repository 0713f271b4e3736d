//! Writes a vector column: plain pages cut straight from the Arrow buffer.
//!
//! The general writer copies every vector several times (into single values, a page, a chunk, the file). Vectors are
//! nearly all bytes of a collection, so their pages are made here: compress a slice of the column, append it. The file
//! is an ordinary one: a required fixed-length column, data pages v1 with plain values, zstd.
//!
//! Numbers as floats hardly compress (8 % at best, at a tenth of the speed), others do; a sample of the first page
//! decides whether the configured level is worth its time.

use std::{io::Write, sync::Arc};

use arrow::datatypes::{Field as ArrowField, Schema as ArrowSchema};
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
use zstd::bulk::Compressor;

use super::{
    BinlogError,
    container::MAX_PREFIX_LEN,
    payload::{COLUMN, encode_error},
};
use crate::model::{Field, FieldId};

const PARQUET_MAGIC: &[u8; 4] = b"PAR1";
const PARQUET_VERSION: i32 = 1;
/// Bytes of a page before compression, as the general writer has it.
const PAGE_BYTES: usize = 1 << 20;
/// How much of the first page is compressed to see what it is worth.
const SAMPLE_BYTES: usize = 64 << 10;
/// The sample must shrink by more than this share, or vectors are stored with `FAST_LEVEL`.
const WORTHWHILE_SHARE: usize = 8;
/// Finds repetitions, spends nothing on single bytes.
const FAST_LEVEL: i32 = -1;

pub(super) struct VectorWriter {
    field: FieldId,
    width: usize,
    zstd_level: i32,
    schema: SchemaDescriptor,
    /// The file; counts from the payload's first byte.
    sink: TrackedWrite<Vec<u8>>,
    /// Chosen with the first page.
    compressor: Option<Compressor<'static>>,
    /// Rows that do not fill a page yet.
    pending: Vec<u8>,
    rows: u64,
    compressed: u64,
    uncompressed: u64,
}

impl VectorWriter {
    pub(super) fn new(field: &Field, zstd_level: i32) -> Result<Self, BinlogError> {
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
            zstd_level,
            schema,
            sink,
            compressor: None,
            pending: Vec::new(),
            rows: 0,
            compressed: 0,
            uncompressed: 0,
        })
    }

    pub(super) fn reserve(&mut self, bytes: usize) {
        self.sink.inner_mut().reserve(bytes);
    }

    /// Appends whole vectors, one after the other.
    pub(super) fn write(&mut self, mut values: &[u8]) -> Result<(), BinlogError> {
        // Whole vectors, at least one.
        let page_bytes = (PAGE_BYTES / self.width).max(1) * self.width;
        while !values.is_empty() {
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
        let compressed = compressor.compress(values).map_err(|e| encode_error(field, &e))?;
        self.compressor = Some(compressor);
        let rows = values.len() / self.width;
        let page = Page::DataPage {
            buf: Bytes::from(compressed),
            num_values: rows as u32,
            encoding: Encoding::PLAIN,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        let written = SerializedPageWriter::new(&mut self.sink)
            .write_page(CompressedPage::new(page, values.len()))
            .map_err(|e| encode_error(field, &e))?;
        self.rows += rows as u64;
        self.compressed += written.compressed_size as u64;
        self.uncompressed += written.uncompressed_size as u64;
        Ok(())
    }

    /// The buffer: room for the header, then the payload.
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
        let rows = self.rows as i64;
        let pages_at = PARQUET_MAGIC.len() as i64;
        let chunk = ColumnChunkMetaData::builder(schema.column(0))
            .set_compression_codec(CompressionCodec::ZSTD)
            .set_encodings(vec![Encoding::PLAIN, Encoding::RLE])
            .set_num_values(rows)
            .set_data_page_offset(pages_at)
            .set_total_compressed_size(self.compressed as i64)
            .set_total_uncompressed_size(self.uncompressed as i64)
            .build()?;
        let group = RowGroupMetaData::builder(schema.clone())
            .set_num_rows(rows)
            .set_total_byte_size(self.uncompressed as i64)
            .set_file_offset(pages_at)
            .set_ordinal(0)
            .add_column_metadata(chunk)
            .build()?;
        let created_by = Some(DEFAULT_CREATED_BY.to_owned());
        let file = FileMetaData::new(PARQUET_VERSION, rows, created_by, None, schema, None);
        let metadata = ParquetMetaDataBuilder::new(file).add_row_group(group).build();
        ParquetMetaDataWriter::new(&mut self.sink, &metadata).finish()
    }
}

/// The configured level if a sample of the first page is worth it.
fn choose(page: &[u8], zstd_level: i32) -> std::io::Result<Compressor<'static>> {
    let sample = page.get(..SAMPLE_BYTES).unwrap_or(page);
    let mut configured = Compressor::new(zstd_level)?;
    let saved = sample.len().saturating_sub(configured.compress(sample)?.len());
    if saved > sample.len() / WORTHWHILE_SHARE { Ok(configured) } else { Compressor::new(FAST_LEVEL.min(zstd_level)) }
}
