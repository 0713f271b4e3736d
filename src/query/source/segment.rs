//! Rows of a flushed segment: columns that the cache has, others read through `storage` binlog by binlog.

use std::{collections::BTreeSet, iter, sync::Arc};

use arrow_array::{Array, ArrayRef, RecordBatch, cast::AsArray};
use arrow_schema::{Field as ArrowField, Schema};
use async_trait::async_trait;
use futures::{
    future,
    stream::{self, BoxStream, StreamExt, TryStreamExt},
};

use super::{RowSource, take_from_batch};
use crate::{
    background::blocking,
    binlog::{LogIds, PkStats},
    error::{Classify, ErrorKind},
    fault::{self, Planted},
    graph::{GraphShape, Walk},
    memory::Spare,
    model::{
        Channel, CollectionSchema, Field, FieldId, LogFile, PartitionId, PkRange, PrimaryKey, Segment, SegmentIndex,
        SegmentLogs, Timestamp,
    },
    query::{QueryError, deletes, interrupt::Interrupt},
    storage::{
        IndexOpening, NewestDeletes, OpenIndex, SegmentCache, SegmentStore, StorageError, Vectors, read_columns,
        read_deletes, read_stats,
    },
};

/// Rows of a batch: large enough to be worth a task of its own, small next to a binlog.
const BATCH_ROWS: usize = 8_192;

/// Rows of a batch that is in memory already.
const KEPT_BATCH_ROWS: usize = 64 << 10;

/// Memory of a value beside its bytes, at most.
const ROW_BYTES: u64 = 8;

/// Copies of a column while it becomes one array: its parts, and the whole.
const COPIES: u64 = 2;

/// About the bytes of a batch of vectors.
const VECTOR_BATCH_BYTES: usize = 4 << 20;

/// Keys that are looked up before the task yields, which is also when a dropped read ends.
const KEYS_AT_ONCE: usize = 1_024;

/// A flushed segment and its logs. The creator must keep the objects from being collected while the source lives (P5).
#[derive(Debug, Clone)]
pub struct SegmentSource {
    store: SegmentStore,
    ids: LogIds,
    channel: Channel,
    rows: u64,
    ts_from: Timestamp,
    pk_range: Option<PkRange>,
    logs: Arc<SegmentLogs>,
    schema: Arc<CollectionSchema>,
    stats: Option<Arc<Vec<PkStats>>>,
    cache: Option<Arc<SegmentCache>>,
    index: Option<(SegmentIndex, GraphShape)>,
    /// Delta logs of the segments that this one stands in for.
    later: Vec<(LogIds, Arc<SegmentLogs>)>,
    expired_before: Timestamp,
}

impl SegmentSource {
    pub fn new(store: SegmentStore, segment: &Segment, logs: Arc<SegmentLogs>, schema: Arc<CollectionSchema>) -> Self {
        let group = &segment.group;
        Self {
            store,
            ids: segment.log_ids(),
            channel: group.channel.clone(),
            rows: logs.rows(),
            ts_from: segment.ts_from,
            pk_range: segment.pk_range.clone(),
            logs,
            schema,
            stats: None,
            cache: None,
            index: None,
            later: Vec::new(),
            expired_before: Timestamp::ZERO,
        }
    }

    /// Adds statistics that are in memory, so that they are not read again.
    pub fn with_stats(mut self, stats: Arc<Vec<PkStats>>) -> Self {
        self.stats = Some(stats);
        self
    }

    /// Adds the cache of decoded columns and open indexes.
    pub fn with_cache(mut self, cache: Arc<SegmentCache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Adds the index of a field. It is used only with a cache.
    pub fn with_index(mut self, index: SegmentIndex, shape: GraphShape) -> Self {
        self.index = Some((index, shape));
        self
    }

    /// Lets this segment stand in for one that it was merged into: the deletes of that one count too, and so does its
    /// decision about expired rows.
    pub fn in_place_of(mut self, merged: &Segment, logs: Arc<SegmentLogs>) -> Self {
        self.later.push((merged.log_ids(), logs));
        self.expired_before = self.expired_before.max(merged.expired_before);
        self
    }

    /// The values of a field in all rows, if they are in memory: in the cache, or as keys and timestamps of an open index.
    fn in_memory(&self, field: FieldId) -> Option<ArrayRef> {
        let cache = self.cache.as_ref()?;
        if let Some(column) = cache.column(self.ids.segment, field) {
            return Some(column);
        }
        let place = match field {
            field if field == self.schema.primary_key().id => 0,
            FieldId::TIMESTAMP => 1,
            _ => return None,
        };
        let (index, _) = self.index.as_ref()?;
        cache.indexed_rows(self.ids.segment, index)?.rows.columns().get(place).cloned()
    }

    /// All rows with these columns, if they are in memory.
    fn rows_in_memory(&self, fields: &[FieldId]) -> Option<Result<RecordBatch, QueryError>> {
        let columns: Vec<ArrayRef> = fields.iter().map(|field| self.in_memory(*field)).collect::<Option<_>>()?;
        let stored = self.schema.stored_fields();
        let named = fields.iter().map(|id| {
            let field = stored.iter().find(|field| field.id == *id)?;
            Some(ArrowField::new(field.column_name(), field.arrow_type(), false))
        });
        let schema = Arc::new(Schema::new(named.collect::<Option<Vec<_>>>()?));
        Some(RecordBatch::try_new(schema, columns).map_err(QueryError::from))
    }

    /// The values of a field in all rows. `spare` counts them.
    async fn read_column(&self, field: FieldId, spare: &Spare) -> Result<ArrayRef, StorageError> {
        let batches = read_columns(&self.store, self.ids, &self.logs, &self.schema, &[field], BATCH_ROWS);
        let parts: Vec<ArrayRef> =
            batches.map_ok(|batch| batch.columns().first().cloned()).try_filter_map(future::ok).try_collect().await?;
        let spare = spare.for_thread();
        blocking(move || {
            let _counted = spare;
            let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
            arrow_select::concat::concat(&parts).map_err(|error| StorageError::Task(format!("a whole column: {error}")))
        })
        .await
    }

    /// The deletes in the delta logs of a segment: this one, or one that it stands in for.
    async fn newest_deletes(
        &self,
        ids: LogIds,
        logs: &SegmentLogs,
        interrupt: &Interrupt,
        (spare, held): (&Spare, &mut u64),
    ) -> Result<Arc<NewestDeletes>, QueryError> {
        // Those that are kept take no memory of this read.
        if let Some(kept) = self.cache.as_ref().and_then(|cache| cache.kept_deletes(ids.segment, &logs.delta)) {
            return Ok(kept);
        }
        let bytes = NewestDeletes::estimate_bytes(logs.delta.iter().map(|log| log.rows).sum());
        let cache = self.cache.as_ref().filter(|cache| cache.fits(bytes) && spare.reach(*held + bytes));
        let Some(cache) = cache else {
            let deletes = read_deletes(&self.store, ids, logs).await?;
            let newest = interrupt.sized(deletes.len(), |checkpoint| deletes::newest(deletes, checkpoint)).await?;
            return Ok(Arc::new(newest));
        };
        *held += bytes;
        let read = async {
            let (deletes, spare) = (read_deletes(&self.store, ids, logs).await?, spare.for_thread());
            blocking(move || {
                let _counted = spare;
                Ok::<NewestDeletes, StorageError>(deletes.into_iter().collect())
            })
            .await
        };
        Ok(cache.keep_deletes(ids.segment, &logs.delta, read).await?)
    }

    /// The vectors of one log, a few at a time.
    fn read_vectors(&self, field: FieldId, log: usize) -> BoxStream<'static, Result<Arc<[Vectors]>, QueryError>> {
        let log = self.logs.field(field).get(log).cloned();
        let logs = SegmentLogs { insert: vec![(field, log.into_iter().collect())], ..SegmentLogs::default() };
        let width = self.schema.field_by_id(field).map_or(0, Field::vector_bytes);
        let rows = (VECTOR_BATCH_BYTES / width.max(1)).clamp(1, BATCH_ROWS);
        let batches = read_columns(&self.store, self.ids, &logs, &self.schema, &[field], rows);
        let vectors = batches.map_err(QueryError::from).and_then(move |batch| async move {
            let column = batch.columns().first().and_then(|column| column.as_fixed_size_binary_opt());
            let column = column.ok_or_else(|| QueryError::Batch { field, wanted: "vectors".to_owned() })?;
            Ok::<Arc<[Vectors]>, _>(Arc::new([Vectors::of(column)]))
        });
        vectors.boxed()
    }

    /// The logs of the binlogs that have at least one of the places, and the places counted in these binlogs only.
    fn narrow(&self, mut places: Vec<u64>) -> (SegmentLogs, Vec<u64>) {
        let counts: Vec<u64> =
            self.logs.insert.first().map_or(&[][..], |(_, files)| files).iter().map(|file| file.rows).collect();
        let mut keep = Vec::with_capacity(counts.len());
        let (mut start, mut kept, mut done) = (0, 0, 0);
        for rows in counts {
            let end = start + rows;
            let upto = done + places[done..].partition_point(|place| *place < end);
            keep.push(upto > done);
            if upto > done {
                for place in &mut places[done..upto] {
                    *place = *place - start + kept;
                }
                kept += rows;
                done = upto;
            }
            start = end;
        }
        let chosen =
            |files: &Vec<_>| files.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(f, _)| f).cloned().collect();
        let insert = self.logs.insert.iter().map(|(field, files)| (*field, chosen(files))).collect();
        (SegmentLogs { insert, ..SegmentLogs::default() }, places)
    }
}

#[async_trait]
impl RowSource for SegmentSource {
    fn partition(&self) -> PartitionId {
        self.ids.partition
    }

    fn channel(&self) -> &Channel {
        &self.channel
    }

    fn rows(&self) -> u64 {
        self.rows
    }

    fn pk_range(&self) -> Option<&PkRange> {
        self.pk_range.as_ref()
    }

    fn ts_from(&self) -> Timestamp {
        self.ts_from
    }

    fn expired_before(&self) -> Timestamp {
        self.expired_before
    }

    async fn may_contain(&self, keys: &BTreeSet<PrimaryKey>) -> Result<bool, QueryError> {
        let stats = match &self.stats {
            Some(stats) => stats.clone(),
            None => match read_stats(&self.store, self.ids, &self.logs).await {
                Ok(stats) => Arc::new(stats),
                // Statistics only save reading. Without them the rows can still be read.
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(segment = %self.ids.segment, %error, "a segment is read without its key statistics");
                    return Ok(true);
                }
                Err(error) => return Err(error.into()),
            },
        };
        if stats.is_empty() {
            // Without statistics any key may be in the segment.
            return Ok(true);
        }
        for (i, key) in keys.iter().enumerate() {
            if i % KEYS_AT_ONCE == KEYS_AT_ONCE - 1 {
                tokio::task::yield_now().await;
            }
            if stats.iter().any(|part| part.may_contain(key)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn deletes(&self, interrupt: &Interrupt, spare: &Spare) -> Result<Vec<Arc<NewestDeletes>>, QueryError> {
        let later = self.later.iter().filter(|_| !fault::planted(Planted::LaterDeletesIgnored));
        let mut all = Vec::with_capacity(1 + self.later.len());
        let mut held = 0;
        for (ids, logs) in iter::once(&(self.ids, Arc::clone(&self.logs))).chain(later) {
            if !logs.delta.is_empty() {
                all.push(self.newest_deletes(*ids, logs, interrupt, (spare, &mut held)).await?);
            }
        }
        Ok(all)
    }

    async fn keep(&self, fields: &[FieldId], spare: &Spare) {
        let Some(cache) = &self.cache else { return };
        let segment = self.ids.segment;
        for id in fields {
            let has_vectors = self.schema.field_by_id(*id).is_some_and(|field| field.data_type.is_vector());
            if has_vectors || self.in_memory(*id).is_some() {
                continue;
            }
            let bytes = |log: &LogFile| log.memory_bytes.max(log.bytes) + log.rows * ROW_BYTES;
            let bytes = self.logs.field(*id).iter().map(bytes).sum();
            // An array of texts has no more than this.
            if bytes > i32::MAX as u64 || !cache.fits(bytes) || !spare.reach(bytes.saturating_mul(COPIES)) {
                continue;
            }
            if let Err(error) = cache.keep_column(segment, *id, self.read_column(*id, spare)).await {
                tracing::debug!(%segment, field = %id, %error, "a column is not kept in memory");
            }
        }
    }

    fn read(&self, fields: &[FieldId]) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
        if let Some(rows) = self.rows_in_memory(fields) {
            let cut = |rows: RecordBatch| {
                let starts = (0..rows.num_rows()).step_by(KEPT_BATCH_ROWS);
                starts.map(move |at| Ok(rows.slice(at, KEPT_BATCH_ROWS.min(rows.num_rows() - at))))
            };
            return match rows {
                Ok(rows) => stream::iter(cut(rows)).boxed(),
                Err(error) => stream::iter([Err(error)]).boxed(),
            };
        }
        read_columns(&self.store, self.ids, &self.logs, &self.schema, fields, BATCH_ROWS)
            .map_err(QueryError::from)
            .boxed()
    }

    fn vector_parts(&self) -> Vec<u64> {
        self.logs.insert.first().map_or(&[][..], |(_, files)| files).iter().map(|file| file.rows).collect()
    }

    fn kept_vectors(&self, field: FieldId, part: usize) -> Option<Arc<[Vectors]>> {
        self.cache.as_ref()?.get(self.ids.segment, field, part)
    }

    fn vectors(
        &self,
        field: FieldId,
        part: usize,
        spare: &Spare,
    ) -> BoxStream<'static, Result<Arc<[Vectors]>, QueryError>> {
        let segment = self.ids.segment;
        let Some(cache) = self.cache.clone() else { return self.read_vectors(field, part) };
        let read = self.read_vectors(field, part);
        let rows = self.logs.field(field).get(part).map_or(0, |log| log.rows);
        let bytes = rows.saturating_mul(self.schema.field_by_id(field).map_or(0, Field::vector_bytes) as u64);
        if !cache.fits(bytes) || !spare.reach(bytes) {
            return read;
        }
        stream::once(async move {
            let read: Vec<Arc<[Vectors]>> = read.try_collect().await?;
            let vectors: Arc<[Vectors]> = read.iter().flat_map(|batch| batch.iter().cloned()).collect();
            cache.put(segment, field, part, Arc::clone(&vectors));
            Ok(vectors)
        })
        .boxed()
    }

    fn is_indexed(&self, field: FieldId) -> bool {
        self.index.as_ref().is_some_and(|(index, _)| index.field == field)
    }

    async fn index(&self, field: FieldId, spare: &Spare) -> Option<Arc<OpenIndex>> {
        let (index, shape) = self.index.as_ref().filter(|(index, _)| index.field == field)?;
        let (cache, segment) = (self.cache.as_ref()?, self.ids.segment);
        if let Some(open) = cache.open_index(segment, index) {
            return Some(open);
        }
        let takes = |walk| {
            let bytes = OpenIndex::estimate_bytes(index, self.rows, shape, walk);
            cache.fits(bytes) && spare.reach(bytes)
        };
        // Halves must not drive others out of the cache. And indexes are mapped so that the kernel can take their memory
        // back; it could not take that of halves.
        let has_room = cache.mapped().is_none()
            && cache.has_room(OpenIndex::estimate_bytes(index, self.rows, shape, Walk::Halves));
        let walk = if has_room && takes(Walk::Halves) {
            Walk::Halves
        } else if takes(Walk::Stored) {
            Walk::Stored
        } else {
            return None;
        };
        let opening = IndexOpening { shape, walk, mapped: cache.mapped(), memory: spare.clone() };
        let open = OpenIndex::read(&self.store, self.ids, index, (&self.schema, &self.logs), opening);
        match cache.open(segment, index, open).await {
            Ok(open) => open,
            // An index only saves work: the rows can be searched without it.
            Err(error) => {
                tracing::warn!(%segment, build = index.build, %error, "a segment is searched without its index");
                None
            }
        }
    }

    fn take(&self, fields: &[FieldId], places: Vec<u64>) -> BoxStream<'static, Result<RecordBatch, QueryError>> {
        if let Some(rows) = self.rows_in_memory(fields) {
            let taken = rows.and_then(|rows| take_from_batch(&rows, 0, &places)).transpose();
            return stream::iter(taken).boxed();
        }
        let (logs, places) = self.narrow(places);
        let places: Arc<[u64]> = places.into();
        let batches = read_columns(&self.store, self.ids, &logs, &self.schema, fields, BATCH_ROWS);
        stream::try_unfold((batches, 0u64), move |(mut batches, mut offset)| {
            let places = places.clone();
            async move {
                while let Some(batch) = batches.try_next().await? {
                    let start = offset;
                    offset += batch.num_rows() as u64;
                    if let Some(taken) = take_from_batch(&batch, start, &places)? {
                        return Ok(Some((taken, (batches, offset))));
                    }
                }
                Ok(None)
            }
        })
        .boxed()
    }
}
