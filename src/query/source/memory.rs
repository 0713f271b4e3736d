//! Rows of a growing segment, as the write path holds them.

use std::{collections::BTreeSet, sync::Arc};

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    datatypes::{DataType, Field as ArrowField, Schema},
};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};

use super::{RowSource, take_from_batch};
use crate::{
    model::{Channel, Delete, FieldId, PartitionId, PkRange, PrimaryKey, Timestamp},
    query::QueryError,
};

/// Chunks of rows; each was one part of a request and has that request's timestamp.
#[derive(Debug, Clone)]
pub struct MemorySource {
    partition: PartitionId,
    channel: Channel,
    /// The columns of `CollectionSchema::arrow_schema` without the timestamp.
    chunks: Arc<Vec<(RecordBatch, Timestamp)>>,
    deletes: Vec<Delete>,
    pk_range: Option<PkRange>,
}

impl MemorySource {
    pub fn new(partition: PartitionId, channel: Channel, chunks: Vec<(RecordBatch, Timestamp)>) -> Self {
        Self { partition, channel, chunks: Arc::new(chunks), deletes: Vec::new(), pk_range: None }
    }

    /// Deletes that are bound to this segment already.
    pub fn with_deletes(mut self, deletes: Vec<Delete>) -> Self {
        self.deletes = deletes;
        self
    }

    /// The range of the keys, where the caller knows it.
    pub fn with_pk_range(mut self, range: PkRange) -> Self {
        self.pk_range = Some(range);
        self
    }
}

#[async_trait]
impl RowSource for MemorySource {
    fn partition(&self) -> PartitionId {
        self.partition
    }

    fn channel(&self) -> &Channel {
        &self.channel
    }

    fn rows(&self) -> u64 {
        self.chunks.iter().map(|(rows, _)| rows.num_rows() as u64).sum()
    }

    fn pk_range(&self) -> Option<&PkRange> {
        self.pk_range.as_ref()
    }

    fn ts_from(&self) -> Timestamp {
        self.chunks.iter().map(|(_, ts)| *ts).min().unwrap_or_default()
    }

    async fn may_contain(&self, _: &BTreeSet<PrimaryKey>) -> Result<bool, QueryError> {
        Ok(true)
    }

    async fn deletes(&self) -> Result<Vec<Delete>, QueryError> {
        Ok(self.deletes.clone())
    }

    fn read(&self, fields: &[FieldId]) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
        let (chunks, fields) = (self.chunks.clone(), fields.to_vec());
        let batches = (0..chunks.len()).map(move |i| {
            let (rows, ts) = &chunks[i];
            project(rows, *ts, &fields)
        });
        stream::iter(batches).boxed()
    }

    fn take(&self, fields: &[FieldId], places: Vec<u64>) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
        let (chunks, fields) = (self.chunks.clone(), fields.to_vec());
        let batches = (0..chunks.len()).scan(0, move |offset, i| {
            let (rows, ts) = &chunks[i];
            let start = *offset;
            *offset += rows.num_rows() as u64;
            Some(project(rows, *ts, &fields).and_then(|batch| take_from_batch(&batch, start, &places)))
        });
        stream::iter(batches.filter_map(Result::transpose)).boxed()
    }
}

/// The wanted columns of a chunk; the timestamp, which is one for all rows, is made here.
fn project(rows: &RecordBatch, ts: Timestamp, fields: &[FieldId]) -> Result<RecordBatch, QueryError> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(fields.len());
    let mut declared = Vec::with_capacity(fields.len());
    for field in fields {
        let name = field.to_string();
        if *field == FieldId::TIMESTAMP {
            columns.push(Arc::new(Int64Array::from_value(ts.0 as i64, rows.num_rows())));
            declared.push(ArrowField::new(name, DataType::Int64, false));
            continue;
        }
        let column = rows.column_by_name(&name);
        let column = column.ok_or_else(|| QueryError::Batch { field: *field, wanted: "any type".to_owned() })?;
        declared.push(ArrowField::new(name, column.data_type().clone(), false));
        columns.push(column.clone());
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(declared)), columns)?)
}
