//! Rows of a growing segment, as the write path holds them.

use std::{collections::BTreeSet, sync::Arc};

use arrow_array::{RecordBatch, cast::AsArray};
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt};

use super::{RowSource, take_from_batch};
use crate::{
    memory::Spare,
    model::{Channel, Delete, FieldId, PartitionId, PkRange, PrimaryKey, Timestamp},
    query::{QueryError, deletes, interrupt::Interrupt},
    storage::{NewestDeletes, Vectors},
};

/// Rows of one growing segment, in the order of their arrival.
#[derive(Debug, Clone)]
pub struct MemorySource {
    partition: PartitionId,
    channel: Channel,
    /// All columns of `CollectionSchema::arrow_schema`.
    chunks: Arc<Vec<RecordBatch>>,
    deletes: Vec<Delete>,
    pk_range: Option<PkRange>,
}

impl MemorySource {
    pub fn new(partition: PartitionId, channel: Channel, chunks: Vec<RecordBatch>) -> Self {
        Self { partition, channel, chunks: Arc::new(chunks), deletes: Vec::new(), pk_range: None }
    }

    /// Adds the deletes that are attached to this segment.
    pub fn with_deletes(mut self, deletes: Vec<Delete>) -> Self {
        self.deletes = deletes;
        self
    }

    /// Adds the range of the keys.
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
        self.chunks.iter().map(|rows| rows.num_rows() as u64).sum()
    }

    fn pk_range(&self) -> Option<&PkRange> {
        self.pk_range.as_ref()
    }

    fn ts_from(&self) -> Timestamp {
        // A bound would save no reading: the rows are in memory.
        Timestamp::ZERO
    }

    async fn may_contain(&self, _: &BTreeSet<PrimaryKey>) -> Result<bool, QueryError> {
        Ok(true)
    }

    async fn deletes(&self, interrupt: &Interrupt, _: &Spare) -> Result<Vec<Arc<NewestDeletes>>, QueryError> {
        let deletes = self.deletes.clone();
        let newest = interrupt.sized(deletes.len(), |checkpoint| deletes::newest(deletes, checkpoint)).await?;
        Ok(vec![Arc::new(newest)])
    }

    fn read(&self, fields: &[FieldId]) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
        let (chunks, fields) = (self.chunks.clone(), fields.to_vec());
        let batches = (0..chunks.len()).map(move |i| project(&chunks[i], &fields));
        stream::iter(batches).boxed()
    }

    fn vector_parts(&self) -> Vec<u64> {
        self.chunks.iter().map(|rows| rows.num_rows() as u64).collect()
    }

    fn vectors(
        &self,
        field: FieldId,
        part: usize,
        _: &Spare,
    ) -> BoxStream<'static, Result<Arc<[Vectors]>, QueryError>> {
        let column = self.chunks.get(part).and_then(|rows| rows.column_by_name(&field.to_string()));
        let vectors: Result<Arc<[Vectors]>, _> = match column.and_then(|column| column.as_fixed_size_binary_opt()) {
            Some(column) => Ok(Arc::new([Vectors::of(column)])),
            None => Err(QueryError::Batch { field, wanted: "vectors".to_owned() }),
        };
        stream::iter([vectors]).boxed()
    }

    fn take(&self, fields: &[FieldId], places: Vec<u64>) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
        let fields: Arc<[FieldId]> = fields.into();
        let places: Arc<[u64]> = places.into();
        let chunks = Arc::clone(&self.chunks);
        let starts = (0..chunks.len()).scan(0, move |next, i| {
            let start = *next;
            *next += chunks[i].num_rows() as u64;
            Some((chunks[i].clone(), start))
        });
        let taken = stream::iter(starts).then(move |(rows, start)| {
            let (fields, places) = (Arc::clone(&fields), Arc::clone(&places));
            async move {
                // Nothing else here waits. Without this, thousands of chunks would be one step, and a dropped read ends only
                // between steps.
                tokio::task::consume_budget().await;
                project(&rows, &fields).and_then(|batch| take_from_batch(&batch, start, &places))
            }
        });
        taken.filter_map(|batch| std::future::ready(batch.transpose())).boxed()
    }
}

/// The requested columns of a chunk.
fn project(rows: &RecordBatch, fields: &[FieldId]) -> Result<RecordBatch, QueryError> {
    let columns = fields.iter().map(|field| {
        let column = rows.column_by_name(&field.to_string());
        let column = column.ok_or_else(|| QueryError::Batch { field: *field, wanted: "any type".to_owned() })?;
        Ok((field.to_string(), column.clone(), false))
    });
    Ok(RecordBatch::try_from_iter_with_nullable(columns.collect::<Result<Vec<_>, QueryError>>()?)?)
}
