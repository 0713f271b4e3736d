//! The first pass of every read: finds the live rows that match, and their places.
//!
//! Reads only the columns of the filter, and key and timestamp if they are needed.

use std::{collections::HashSet, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, RecordBatch,
    cast::AsArray,
    types::{Int8Type, Int16Type, Int32Type, Int64Type},
};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};
use arrow_schema::DataType as Arrow;
use futures::stream::{self, Stream, StreamExt, TryStreamExt};

use super::{
    BoundExpr, PkFilter, QueryError, QueryLimits, RowSource, ScopedDelete,
    deletes::{PendingDeletes, SourceDeletes},
    interrupt::{Checkpoint, Interrupt},
};
use crate::{
    memory::Spare,
    model::{CollectionSchema, DataType, Field, FieldId, PartitionId, PrimaryKey, Timestamp},
};

/// Sources that are read at once, so that one is decoded while the objects of the next one arrive.
pub(super) const CONCURRENT_SOURCES: usize = 2;

/// Most rows that are filtered at once. Bounds the work between two checkpoints if the expression has none of its own.
const PIECE_ROWS: usize = 8_192;
/// About the most bytes that are filtered at once, for the same reason.
const PIECE_BYTES: usize = 4 << 20;

/// Everything that a read sees.
#[derive(Default)]
pub struct ReadSet {
    pub sources: Vec<Box<dyn RowSource>>,
    /// Deletes that are not attached to sources yet. A delete may be in both places.
    pub deletes: Vec<ScopedDelete>,
}

/// The rows of a read set that a read is about.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// None: every row.
    pub filter: Option<Arc<BoundExpr>>,
    /// None: every partition.
    pub partitions: Option<Vec<PartitionId>>,
    /// Rows with a smaller timestamp have expired; see [`Timestamp::expire_before`].
    pub expire_before: Option<Timestamp>,
}

/// The parts of a surviving row that the caller needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// Nothing, not even places: rows are counted.
    Count,
    Key,
    KeyAndTime,
}

/// The live rows of one batch of one source that match.
pub(super) struct Survivors {
    /// Index of the source in the read set.
    pub(super) source: usize,
    /// Their number. If rows are only counted there are no places.
    pub(super) rows: u64,
    /// Ascending.
    pub(super) places: Vec<u64>,
    /// Keys, parallel to `places`; only if the caller needs them.
    pub(super) keys: Option<KeyColumn>,
    /// Timestamps, parallel to `places`; only if the caller needs them.
    pub(super) times: Vec<Timestamp>,
    /// Values of the column by which rows are grouped, parallel to `places`.
    pub(super) groups: Option<KeyColumn>,
}

/// A column of primary keys, or of values by which rows are grouped: whole numbers, bools or text.
#[derive(Debug, Clone)]
pub(super) struct KeyColumn(ArrayRef);

impl KeyColumn {
    /// A column of primary keys.
    pub(super) fn of(keys: ArrayRef) -> Self {
        Self(keys)
    }

    pub(super) fn get(&self, index: usize) -> PrimaryKey {
        match self.0.data_type() {
            Arrow::Int64 => PrimaryKey::Int(self.0.as_primitive::<Int64Type>().value(index)),
            Arrow::Int32 => PrimaryKey::Int(self.0.as_primitive::<Int32Type>().value(index).into()),
            Arrow::Int16 => PrimaryKey::Int(self.0.as_primitive::<Int16Type>().value(index).into()),
            Arrow::Int8 => PrimaryKey::Int(self.0.as_primitive::<Int8Type>().value(index).into()),
            Arrow::Boolean => PrimaryKey::Int(self.0.as_boolean().value(index).into()),
            _ => PrimaryKey::Str(self.0.as_string::<i32>().value(index).into()),
        }
    }

    /// True if the key is greater than `other`. Allocates nothing.
    pub(super) fn exceeds(&self, index: usize, other: &PrimaryKey) -> bool {
        match other {
            PrimaryKey::Int(other) => {
                self.0.as_primitive_opt::<Int64Type>().is_some_and(|keys| keys.value(index) > *other)
            }
            PrimaryKey::Str(other) => {
                self.0.as_string_opt::<i32>().is_some_and(|keys| keys.value(index) > other.as_ref())
            }
        }
    }
}

/// The parts of a scan that all batches share.
struct Context {
    schema: Arc<CollectionSchema>,
    filter: Option<Arc<BoundExpr>>,
    expire_before: Option<Timestamp>,
    detail: Detail,
    /// The column by which rows are grouped.
    group: Option<Field>,
    pending: PendingDeletes,
    /// Memory for columns that are kept for later reads. None: this read keeps none.
    keeping: Option<QueryLimits>,
    interrupt: Interrupt,
}

/// All survivors, in no particular order of batches.
pub(super) async fn survivors<'a>(
    schema: &Arc<CollectionSchema>,
    sources: &'a [Box<dyn RowSource>],
    deletes: Vec<ScopedDelete>,
    scope: Scope,
    detail: Detail,
    keeping: Option<&QueryLimits>,
    interrupt: &Interrupt,
) -> Result<impl Stream<Item = Result<Survivors, QueryError>> + Send + use<'a>, QueryError> {
    let scan = Arc::new(Scan::begin(schema, deletes, scope, detail, None, keeping, interrupt).await?);
    let chosen = scan.chosen(sources);
    let found = stream::iter(chosen)
        .map(move |i| {
            let scan = Arc::clone(&scan);
            let opened = async move { scan.open(i, sources[i].as_ref()).await };
            stream::once(opened).try_flatten().boxed()
        })
        .flatten_unordered(CONCURRENT_SOURCES);
    Ok(found)
}

/// The first pass over any number of sources.
pub(super) struct Scan {
    context: Arc<Context>,
    pk_filter: PkFilter,
    partitions: Option<HashSet<PartitionId>>,
}

impl Scan {
    pub(super) async fn begin(
        schema: &Arc<CollectionSchema>,
        deletes: Vec<ScopedDelete>,
        scope: Scope,
        detail: Detail,
        group: Option<Field>,
        keeping: Option<&QueryLimits>,
        interrupt: &Interrupt,
    ) -> Result<Self, QueryError> {
        let pk_filter = scope.filter.as_ref().map_or(PkFilter::All, |filter| filter.pk_filter());
        let context = Arc::new(Context {
            schema: schema.clone(),
            filter: scope.filter,
            expire_before: scope.expire_before,
            detail,
            group,
            pending: interrupt.sized(deletes.len(), |checkpoint| PendingDeletes::of(deletes, checkpoint)).await?,
            keeping: keeping.cloned(),
            interrupt: interrupt.clone(),
        });
        let partitions = scope.partitions.map(|wanted| wanted.into_iter().collect());
        Ok(Self { context, pk_filter, partitions })
    }

    /// Positions of the sources that may have survivors.
    pub(super) fn chosen(&self, sources: &[Box<dyn RowSource>]) -> Vec<usize> {
        (0..sources.len())
            .filter(|i| {
                let source = &sources[*i];
                source.rows() > 0
                    && self.partitions.as_ref().is_none_or(|wanted| wanted.contains(&source.partition()))
                    && source.pk_range().is_none_or(|range| self.pk_filter.overlaps(range))
            })
            .collect()
    }

    /// The conditions on the rows of a source. None: it has no row that could match.
    pub(super) async fn gate(&self, source: &dyn RowSource) -> Result<Option<RowConditions>, QueryError> {
        let context = &self.context;
        if let Some(keys) = self.pk_filter.keys()
            && !source.may_contain(keys).await?
        {
            return Ok(None);
        }
        let own = {
            let spare = context.keeping.as_ref().map_or_else(Spare::nothing, QueryLimits::spare);
            source.deletes(&context.interrupt, &spare).await?
        };
        let deletes = context.pending.for_source(own, source.channel(), source.partition());
        let bound = context.expire_before.unwrap_or_default().max(source.expired_before());
        let expiry = Some(bound).filter(|bound| source.ts_from() < *bound);
        Ok(Some(RowConditions { has_filter: context.filter.is_some(), deletes, expiry }))
    }

    /// Survivors of one source, batch by batch in the order of their places. `index` is its position in the read set.
    pub(super) async fn open(
        &self,
        index: usize,
        source: &dyn RowSource,
    ) -> Result<stream::BoxStream<'static, Result<Survivors, QueryError>>, QueryError> {
        let Some(conditions) = self.gate(source).await? else { return Ok(stream::empty().boxed()) };
        let Some((pass, batches)) = self.pass(index, source, conditions, self.context.detail).await else {
            let rows = source.rows();
            let all =
                Survivors { source: index, rows, places: Vec::new(), keys: None, times: Vec::new(), groups: None };
            return Ok(stream::iter([Ok(all)]).boxed());
        };
        let found = stream::try_unfold((batches, 0u64), move |(mut batches, offset)| {
            let pass = pass.clone();
            async move {
                let Some(batch) = batches.try_next().await? else { return Ok(None) };
                let next = offset + batch.num_rows() as u64;
                // Filtering thousands of rows takes too long for a thread that serves requests.
                let interrupt = pass.context.interrupt.clone();
                let found = interrupt.blocking(move |checkpoint| pass.sift(&batch, offset, checkpoint)).await?;
                Ok(Some((found, (batches, next))))
            }
        });
        Ok(found.boxed())
    }

    /// A bit for each row of a source: true if it survives. `conditions` are those of [`Self::gate`].
    pub(super) async fn bits(
        &self,
        index: usize,
        source: &dyn RowSource,
        conditions: RowConditions,
    ) -> Result<BooleanBuffer, QueryError> {
        let rows = source.rows() as usize;
        let Some((pass, mut batches)) = self.pass(index, source, conditions, Detail::Count).await else {
            return Ok(BooleanBuffer::new_set(rows));
        };
        let mut bits = BooleanBufferBuilder::new(rows);
        while let Some(batch) = batches.try_next().await? {
            let pass = Arc::clone(&pass);
            let look = move |checkpoint: &Checkpoint| pass.survive(&batch, checkpoint);
            bits.append_buffer(&self.context.interrupt.blocking(look).await?);
        }
        Ok(bits.finish())
    }

    /// The pass over a source with the columns that it needs. None: it needs none, every row survives.
    async fn pass(
        &self,
        index: usize,
        source: &dyn RowSource,
        RowConditions { deletes, expiry, .. }: RowConditions,
        detail: Detail,
    ) -> Option<(Arc<SourcePass>, stream::BoxStream<'static, Result<RecordBatch, QueryError>>)> {
        let context = Arc::clone(&self.context);
        let needs_time = expiry.is_some() || !deletes.is_empty() || detail == Detail::KeyAndTime;
        let needs_key = !deletes.is_empty() || detail != Detail::Count;
        let mut fields = context.filter.as_ref().map_or(Vec::new(), |filter| filter.fields().to_vec());
        if needs_key {
            fields.push(context.schema.primary_key().id);
        }
        if needs_time {
            fields.push(FieldId::TIMESTAMP);
        }
        fields.extend(context.group.as_ref().map(|group| group.id));
        if fields.is_empty() {
            return None;
        }
        fields.sort_unstable();
        fields.dedup();
        if let Some(limits) = &context.keeping {
            limits.keep(source, &fields).await;
        }
        Some((Arc::new(SourcePass { context, index, deletes, expiry }), source.read(&fields)))
    }
}

/// The conditions on the rows of one source beside the filter.
pub(super) struct RowConditions {
    has_filter: bool,
    deletes: SourceDeletes,
    expiry: Option<Timestamp>,
}

impl RowConditions {
    pub(super) fn is_filtered(&self) -> bool {
        self.has_filter
    }

    /// True if every row is live.
    pub(super) fn is_open(&self) -> bool {
        self.deletes.is_empty() && self.expiry.is_none()
    }

    /// True if the row with this key and time is live.
    pub(super) fn lets_int(&self, key: i64, ts: Timestamp) -> bool {
        self.expiry.is_none_or(|bound| ts >= bound) && !self.deletes.kill_int(key, ts)
    }

    pub(super) fn lets_text(&self, key: &str, ts: Timestamp) -> bool {
        self.expiry.is_none_or(|bound| ts >= bound) && !self.deletes.kill_text(key, ts)
    }
}

/// The conditions that the rows of one source must pass.
struct SourcePass {
    context: Arc<Context>,
    index: usize,
    deletes: SourceDeletes,
    expiry: Option<Timestamp>,
}

impl SourcePass {
    fn sift(&self, batch: &RecordBatch, offset: u64, checkpoint: &Checkpoint) -> Result<Survivors, QueryError> {
        let live = self.survive(batch, checkpoint)?;
        let key_field = self.context.schema.primary_key();
        let rows = live.count_set_bits() as u64;
        let mut found =
            Survivors { source: self.index, rows, places: Vec::new(), keys: None, times: Vec::new(), groups: None };
        if self.context.detail == Detail::Count || rows == 0 {
            return Ok(found);
        }
        found.places = live.set_indices().map(|i| offset + i as u64).collect();
        if self.context.detail == Detail::KeyAndTime {
            let times = times(batch)?;
            found.times = live.set_indices().map(|i| Timestamp(times.value(i) as u64)).collect();
        }
        let live = BooleanArray::new(live, None);
        let column = |field: &Field| {
            let column = batch.column_by_name(&field.column_name());
            let column = column.filter(|column| *column.data_type() == field.arrow_type());
            let column = column.ok_or_else(|| missing(field.id, field.data_type.name()))?;
            Ok::<_, QueryError>(KeyColumn(arrow_select::filter::filter(column, &live)?))
        };
        found.keys = Some(column(key_field)?);
        found.groups = self.context.group.as_ref().map(column).transpose()?;
        Ok(found)
    }

    /// A bit per row of a batch: true if it is live and matches.
    fn survive(&self, batch: &RecordBatch, checkpoint: &Checkpoint) -> Result<BooleanBuffer, QueryError> {
        let mut live = BooleanBufferBuilder::new(batch.num_rows());
        for piece in pieces(batch) {
            live.append_buffer(&self.live(&piece, checkpoint)?);
        }
        Ok(live.finish())
    }

    /// The same of a piece.
    fn live(&self, piece: &RecordBatch, checkpoint: &Checkpoint) -> Result<BooleanBuffer, QueryError> {
        checkpoint.spend(piece.num_rows())?;
        let mut live = match &self.context.filter {
            Some(filter) => filter.evaluate_until(piece, checkpoint)?,
            None => BooleanBuffer::new_set(piece.num_rows()),
        };
        if let Some(bound) = self.expiry {
            let times = times(piece)?;
            live = &live & &BooleanBuffer::collect_bool(live.len(), |i| times.value(i) as u64 >= bound.0);
        }
        if self.deletes.is_empty() {
            return Ok(live);
        }
        let times = times(piece)?;
        let time = |i| Timestamp(times.value(i) as u64);
        let key_field = self.context.schema.primary_key();
        let wrong = || missing(key_field.id, key_field.data_type.name());
        let keys = piece.column_by_name(&key_field.column_name()).ok_or_else(wrong)?;
        Ok(if key_field.data_type == DataType::VarChar {
            let keys = keys.as_string_opt::<i32>().ok_or_else(wrong)?;
            let alive = |i| live.value(i) && !self.deletes.kill_text(keys.value(i), time(i));
            BooleanBuffer::collect_bool(live.len(), alive)
        } else {
            let keys = keys.as_primitive_opt::<Int64Type>().ok_or_else(wrong)?;
            let alive = |i| live.value(i) && !self.deletes.kill_int(keys.value(i), time(i));
            BooleanBuffer::collect_bool(live.len(), alive)
        })
    }
}

/// A batch in parts, in order, each of which is filtered in a short time.
fn pieces(batch: &RecordBatch) -> impl Iterator<Item = RecordBatch> + '_ {
    let rows = batch.num_rows();
    let row_bytes = batch.get_array_memory_size() / rows.max(1);
    let piece = (PIECE_BYTES / row_bytes.max(1)).clamp(16, PIECE_ROWS);
    (0..rows).step_by(piece).map(move |at| batch.slice(at, piece.min(rows - at)))
}

fn times(batch: &RecordBatch) -> Result<&Int64Array, QueryError> {
    let times = batch.column_by_name(&FieldId::TIMESTAMP.to_string()).and_then(|c| c.as_primitive_opt());
    times.ok_or_else(|| missing(FieldId::TIMESTAMP, "Int64"))
}

fn missing(field: FieldId, wanted: &str) -> QueryError {
    QueryError::Batch { field, wanted: wanted.to_owned() }
}
