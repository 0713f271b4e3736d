//! Sources of rows: a growing segment in memory, or a flushed one in the store.

mod memory;
mod segment;

use std::{collections::BTreeSet, sync::Arc};

use arrow_array::RecordBatch;
use async_trait::async_trait;
use futures::stream::BoxStream;

pub use memory::MemorySource;
pub use segment::SegmentSource;

use super::{QueryError, interrupt::Interrupt};
use crate::{
    memory::Spare,
    model::{Channel, FieldId, PartitionId, PkRange, PrimaryKey, Timestamp},
    storage::{NewestDeletes, OpenIndex, Vectors},
};

/// Rows of one group, and the deletes that are attached to them.
///
/// Rows have places, counted from 0 in the order of [`RowSource::read`]. They never change during the life of the source.
/// Batches have one column per requested field, in the requested order, named and typed as in
/// `CollectionSchema::arrow_schema`.
#[async_trait]
pub trait RowSource: Send + Sync {
    fn partition(&self) -> PartitionId;

    fn channel(&self) -> &Channel;

    /// Number of rows, dead ones included.
    fn rows(&self) -> u64;

    /// A range that has the keys of all rows; None: not known.
    fn pk_range(&self) -> Option<&PkRange>;

    /// Lower bound of the timestamps; zero: not known.
    fn ts_from(&self) -> Timestamp;

    /// Rows with a smaller timestamp have expired for good, whatever the time to live is now. Zero: none.
    fn expired_before(&self) -> Timestamp {
        Timestamp::ZERO
    }

    /// False if the source has none of these keys. True may be wrong.
    async fn may_contain(&self, keys: &BTreeSet<PrimaryKey>) -> Result<bool, QueryError>;

    /// Deletes that are stored with the rows. A source that keeps them for later reads reserves their bytes first.
    async fn deletes(&self, interrupt: &Interrupt, spare: &Spare) -> Result<Vec<Arc<NewestDeletes>>, QueryError>;

    /// Brings columns without vectors into memory, for this read and later ones. The source reserves their bytes first.
    /// It only saves work: a column that can't be kept is read as it always was, and that read meets the error.
    async fn keep(&self, _fields: &[FieldId], _spare: &Spare) {}

    /// All rows, in batches. `fields` must not be empty.
    fn read(&self, fields: &[FieldId]) -> BoxStream<'static, Result<RecordBatch, QueryError>>;

    /// Number of rows in each part in which vectors are read, in order of places.
    fn vector_parts(&self) -> Vec<u64>;

    /// The vectors of all rows of a part, if the cache has them.
    fn kept_vectors(&self, _field: FieldId, _part: usize) -> Option<Arc<[Vectors]>> {
        None
    }

    /// The vectors of all rows of a part, some or all at a time. `field` is a vector field. A source that wants to hold
    /// all of them at once, to keep them for the next search, reserves their bytes first.
    fn vectors(
        &self,
        field: FieldId,
        part: usize,
        spare: &Spare,
    ) -> BoxStream<'static, Result<Arc<[Vectors]>, QueryError>>;

    /// True if a search of this field may go through an index.
    fn is_indexed(&self, _field: FieldId) -> bool {
        false
    }

    /// The index of a field, opened. A source that opens it reserves its bytes first. None: the source has no index, or
    /// it can't be used.
    async fn index(&self, _field: FieldId, _spare: &Spare) -> Option<Arc<OpenIndex>> {
        None
    }

    /// The rows at these places, which must be ascending. `fields` must not be empty.
    fn take(&self, fields: &[FieldId], places: Vec<u64>) -> BoxStream<'static, Result<RecordBatch, QueryError>>;
}

/// The rows of a batch that are among `places`, which are ascending. `offset` is the place of the first row of the batch.
/// None if there are none.
fn take_from_batch(batch: &RecordBatch, offset: u64, places: &[u64]) -> Result<Option<RecordBatch>, QueryError> {
    let end = offset + batch.num_rows() as u64;
    let here = &places[places.partition_point(|p| *p < offset)..places.partition_point(|p| *p < end)];
    if here.is_empty() {
        return Ok(None);
    }
    let indices = arrow_array::UInt64Array::from_iter_values(here.iter().map(|place| place - offset));
    Ok(Some(arrow_select::take::take_record_batch(batch, &indices)?))
}
