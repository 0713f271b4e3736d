//! Rows of one growing segment, in pieces that never change.
//!
//! A request adds one piece. Clients that insert row by row would leave a hundred thousand of them, which makes reads
//! slow and costs more memory than the rows, so small neighbours are merged: 64 below 16 KiB into one, 64 below 1 MiB
//! into one. A row is copied at most a few times.
//!
//! Never changes the order of rows or the bytes of a value.

use std::sync::Arc;

use arrow_array::{Array, Int64Array, RecordBatch};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::concat::concat_batches;

use crate::model::{CollectionSchema, FieldId, Timestamp};

/// Rows in the order of their arrival, with all columns of `CollectionSchema::arrow_schema`.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// All stored columns, RowID and Timestamp included.
    pub batch: RecordBatch,
    /// Smallest and largest timestamp.
    pub ts_from: Timestamp,
    pub ts_to: Timestamp,
    /// Bytes of the values in memory.
    pub bytes: u64,
}

/// Shared by the segments of one schema.
#[derive(Debug, Clone)]
pub(super) struct RowLayout {
    pub(super) schema: Arc<CollectionSchema>,
    /// All stored columns.
    pub(super) stored: SchemaRef,
    /// Position of the Timestamp column in `stored`.
    timestamp: usize,
}

impl RowLayout {
    pub(super) fn new(schema: Arc<CollectionSchema>) -> Self {
        let stored = schema.arrow_schema();
        let name = FieldId::TIMESTAMP.to_string();
        let timestamp = stored.fields().iter().position(|f| *f.name() == name).unwrap_or(0);
        Self { schema, stored, timestamp }
    }

    /// Says why rows of a request, which have no Timestamp column yet, don't fit.
    pub(super) fn check(&self, rows: &RecordBatch) -> Result<(), String> {
        let fields = rows.schema();
        let expected = self.stored.fields().iter().enumerate().filter(|(n, _)| *n != self.timestamp).map(|(_, f)| f);
        if fields.fields().len() + 1 != self.stored.fields().len() {
            let (found, wanted) = (fields.fields().len(), self.stored.fields().len() - 1);
            return Err(format!("{found} columns, expected {wanted}"));
        }
        for (n, (found, wanted)) in fields.fields().iter().zip(expected).enumerate() {
            if found.name() != wanted.name() || found.data_type() != wanted.data_type() {
                let (a, b) = (found.data_type(), wanted.data_type());
                return Err(format!("column {n} is {:?} of {a}, expected {:?} of {b}", found.name(), wanted.name()));
            }
            let nulls = rows.column(n).null_count();
            if nulls > 0 {
                return Err(format!("column {:?} has {nulls} nulls", found.name()));
            }
        }
        Ok(())
    }

    /// Rows of a request with the request's timestamp.
    pub(super) fn stamp(&self, rows: &RecordBatch, ts: Timestamp, bytes: u64) -> Result<Chunk, ArrowError> {
        let mut columns = rows.columns().to_vec();
        columns
            .insert(self.timestamp.min(columns.len()), Arc::new(Int64Array::from_value(ts.0 as i64, rows.num_rows())));
        let batch = RecordBatch::try_new(self.stored.clone(), columns)?;
        Ok(Chunk { batch, ts_from: ts, ts_to: ts, bytes })
    }
}

/// Bytes of the values of rows, however much memory the buffers they are slices of have, plus those of the timestamps
/// that they get. The same before the log and after replay.
pub(super) fn row_bytes(rows: &RecordBatch) -> u64 {
    let columns = rows.columns().iter().map(|c| c.to_data().get_slice_memory_size().unwrap_or(0) as u64).sum::<u64>();
    columns + 8 * rows.num_rows() as u64
}

const RUN: usize = 64;
const SMALL_BYTES: [u64; 2] = [16 << 10, 1 << 20];

/// How many chunks at the end are worth merging.
pub(super) fn mergeable_tail(chunks: &[Arc<Chunk>]) -> Option<usize> {
    SMALL_BYTES.iter().map(|limit| chunks.iter().rev().take_while(|c| c.bytes < *limit).count()).find(|n| *n >= RUN)
}

/// One chunk with the rows of all; None for none.
pub(super) fn merge(chunks: &[Arc<Chunk>]) -> Result<Option<Chunk>, ArrowError> {
    let Some(first) = chunks.first() else { return Ok(None) };
    Ok(Some(Chunk {
        batch: concat_batches(&first.batch.schema(), chunks.iter().map(|c| &c.batch))?,
        ts_from: chunks.iter().map(|c| c.ts_from).min().unwrap_or_default(),
        ts_to: chunks.iter().map(|c| c.ts_to).max().unwrap_or_default(),
        bytes: chunks.iter().map(|c| c.bytes).sum(),
    }))
}
