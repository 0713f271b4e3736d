//! Rows of one growing segment, in pieces that never change once they are there.
//!
//! A request adds one piece. Clients that insert row by row would leave a hundred thousand of them, which makes reads
//! slow and costs more memory than the rows, so small neighbours are merged: 64 below 16 KiB into one, 64 below 1 MiB
//! into one. A row is copied at most a few times.
//!
//! Never changes the order of rows or the bytes of a value.

use std::sync::Arc;

use arrow::{
    array::{Array, AsArray, Int64Array, RecordBatch},
    compute::{concat_batches, interleave_record_batch},
    datatypes::{Int64Type, SchemaRef},
    error::ArrowError,
};

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

/// What the segments of one schema share.
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

/// The row ids of a chunk, which is its first column by the rule of `CollectionSchema::arrow_schema`.
fn row_ids(batch: &RecordBatch) -> Option<&Int64Array> {
    batch.column_by_name(&FieldId::ROW_ID.to_string())?.as_primitive_opt::<Int64Type>()
}

/// Rows handed on at a time when they have to be put in order one by one.
const SORTED_ROWS: usize = 8_192;

/// The rows of a segment ascending by row id. Requests arrive nearly in this order, so that mostly the chunks only have
/// to change places; where they overlap, rows do.
pub(super) fn by_row_id(chunks: &[Arc<Chunk>]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut runs: Vec<(i64, i64, &RecordBatch)> = Vec::with_capacity(chunks.len());
    for chunk in chunks.iter().filter(|c| c.batch.num_rows() > 0) {
        let ids = row_ids(&chunk.batch).ok_or_else(|| ArrowError::SchemaError("rows have no row ids".to_owned()))?;
        let values = ids.values();
        match (values.first(), values.last(), values.is_sorted()) {
            (Some(first), Some(last), true) => runs.push((*first, *last, &chunk.batch)),
            _ => return sort_rows(chunks),
        }
    }
    runs.sort_by_key(|(first, _, _)| *first);
    if runs.windows(2).any(|w| matches!(w, [a, b] if a.1 >= b.0)) {
        return sort_rows(chunks);
    }
    Ok(runs.into_iter().map(|(_, _, batch)| batch.clone()).collect())
}

fn sort_rows(chunks: &[Arc<Chunk>]) -> Result<Vec<RecordBatch>, ArrowError> {
    let mut keyed: Vec<(i64, usize, usize)> = Vec::new();
    for (n, chunk) in chunks.iter().enumerate() {
        let ids = row_ids(&chunk.batch).ok_or_else(|| ArrowError::SchemaError("rows have no row ids".to_owned()))?;
        keyed.extend(ids.values().iter().enumerate().map(|(row, id)| (*id, n, row)));
    }
    keyed.sort_unstable();
    let batches: Vec<&RecordBatch> = chunks.iter().map(|c| &c.batch).collect();
    keyed
        .chunks(SORTED_ROWS)
        .map(|part| {
            let places: Vec<(usize, usize)> = part.iter().map(|(_, n, row)| (*n, *row)).collect();
            interleave_record_batch(&batches, &places)
        })
        .collect()
}
