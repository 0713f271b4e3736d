//! Decodes the logs of a segment into rows, deletes and statistics.
//!
//! Reads rows binlog by binlog: opens the n-th log of every wanted field, decodes it batch by batch, and drops it before it
//! opens the next. A large log is never whole in memory. Errors name the object.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{Field as ArrowField, Schema as ArrowSchema};
use futures::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};

use super::{
    checksum::StoredObject,
    error::StorageError,
    fetch::{Fetched, fetch},
    path::LogPath,
    ranged::{RangedObject, Reading},
    store::SegmentStore,
};
use crate::{
    background::blocking,
    binlog::{BinlogError, ColumnReader, DeltaReader, InsertLog, LogIds, PkStats, decode_delta, decode_stats},
    model::{CollectionSchema, Delete, Field, FieldId, LogId, PrimaryKey, SegmentLogs},
};

/// Objects of one segment fetched at once.
const FETCH_CONCURRENCY: usize = 8;
/// Objects up to this size are fetched whole. At most this much of a larger one is in memory.
const WHOLE_BYTES: u64 = 4 << 20;

/// Reads columns of a segment in batches of at most `batch_rows`. Each batch has one column per wanted field, in the order
/// given, named and typed as in `schema.arrow_schema()`. Without fields there are no batches.
///
/// Small objects are checked against their checksums before they are decoded, large ones when their last byte has been
/// read; a caller that stops early may have seen rows of a damaged object. Memory is bounded by a few megabytes per field
/// and one batch, for objects of any size.
pub fn read_columns(
    store: &SegmentStore,
    ids: LogIds,
    logs: &SegmentLogs,
    schema: &CollectionSchema,
    fields: &[FieldId],
    batch_rows: usize,
) -> BoxStream<'static, Result<RecordBatch, StorageError>> {
    let source = match Source::new(store, ids, logs, schema, fields, batch_rows) {
        Ok(source) => source,
        Err(e) => return stream::iter([Err(e)]).boxed(),
    };
    stream::try_unfold((source, None), |(mut source, mut current)| async move {
        loop {
            if current.is_none() {
                current = source.open_next().await?;
            }
            let Some(mut binlog) = current.take() else { return Ok(None) };
            let permit = if binlog.has_windows() { source.store.window_reader().await } else { None };
            let (batch, binlog) = blocking(move || {
                let batch = binlog.next_batch();
                drop(permit);
                Ok::<_, StorageError>((batch?, binlog))
            })
            .await?;
            if let Some(batch) = batch {
                return Ok(Some((batch, (source, Some(binlog)))));
            }
        }
    })
    .boxed()
}

/// Reads all deletes of a segment, log by log in order of arrival.
pub async fn read_deletes(store: &SegmentStore, ids: LogIds, logs: &SegmentLogs) -> Result<Vec<Delete>, StorageError> {
    // Owned: the compiler can't prove a future with a borrowing iterator `Send` inside another future.
    let objects: Vec<StoredObject> = logs.delta.iter().map(|log| StoredObject::delta(ids, log)).collect();
    let reads = objects.into_iter().map(|object| async move {
        let bytes = store.get(&object.path).await?;
        blocking(move || {
            object.check(&bytes)?;
            decode_delta(bytes).map_err(|e| of_object(&object.path, e))
        })
        .await
    });
    let parts: Vec<Vec<Delete>> = stream::iter(reads).buffered(FETCH_CONCURRENCY).try_collect().await?;
    Ok(parts.concat())
}

/// Reads the deletes of delta logs in parts of `part_bytes` or a little more; a part may span several logs. A large log is
/// never whole in memory. Damage to it shows at its end at the latest, so some of its deletes may be returned before.
pub fn read_delete_parts(
    store: &SegmentStore,
    mut logs: Vec<StoredObject>,
    part_bytes: usize,
) -> BoxStream<'static, Result<Vec<Delete>, StorageError>> {
    logs.reverse();
    stream::try_unfold((store.clone(), logs, None), move |(store, mut logs, mut open)| async move {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < part_bytes {
            let Some(log) = open.take() else {
                let Some(log) = logs.pop() else { break };
                open = Some(OpenDelta::open(&store, log).await?);
                continue;
            };
            let permit = if log.object.is_some() { store.window_reader().await } else { None };
            (open, part, bytes) = blocking(move || {
                let _permit = permit;
                log.read(part, bytes, part_bytes)
            })
            .await?;
        }
        Ok(if part.is_empty() { None } else { Some((part, (store, logs, open))) })
    })
    .boxed()
}

/// A delta log that is being read.
struct OpenDelta {
    path: LogPath,
    /// Source of the bytes if the log is read in windows.
    object: Option<Arc<RangedObject>>,
    reader: DeltaReader,
}

impl OpenDelta {
    async fn open(store: &SegmentStore, log: StoredObject) -> Result<Self, StorageError> {
        let fetched = fetch(store, log, reading(&log)).await?;
        let permit = if fetched.has_windows() { store.window_reader().await } else { None };
        blocking(move || {
            let _permit = permit;
            let path = log.path;
            let (bytes, object) = fetched.open()?;
            let reader = DeltaReader::open(bytes).map_err(|e| unreadable(&path, object.as_deref(), e))?;
            Ok(Self { path, object, reader })
        })
        .await
    }

    /// Appends deletes to a part of `bytes` bytes until it has `enough`. Returns the log unless it has ended.
    fn read(
        mut self,
        mut part: Vec<Delete>,
        mut bytes: usize,
        enough: usize,
    ) -> Result<(Option<Self>, Vec<Delete>, usize), StorageError> {
        while bytes < enough {
            let Some(deletes) = self.reader.next() else {
                self.object.as_deref().map_or(Ok(()), RangedObject::check_rest)?;
                return Ok((None, part, bytes));
            };
            let deletes = deletes.map_err(|e| unreadable(&self.path, self.object.as_deref(), e))?;
            bytes += deletes.iter().map(memory_bytes).sum::<usize>();
            part.extend(deletes);
        }
        Ok((Some(self), part, bytes))
    }
}

fn memory_bytes(delete: &Delete) -> usize {
    let text = match &delete.key {
        PrimaryKey::Int(_) => 0,
        PrimaryKey::Str(text) => text.len(),
    };
    size_of::<Delete>() + text
}

/// Reads the primary-key statistics of a segment: the compound log if there is one, otherwise all single logs (see
/// docs/formats.md).
pub async fn read_stats(store: &SegmentStore, ids: LogIds, logs: &SegmentLogs) -> Result<Vec<PkStats>, StorageError> {
    let all: Vec<StoredObject> = logs
        .stats
        .iter()
        .flat_map(|(field, files)| files.iter().map(|file| StoredObject::stats(ids, *field, file)))
        .collect();
    let is_compound = |object: &StoredObject| object.path.log() == LogId::COMPOUND_STATS;
    let compound: Vec<_> = all.iter().copied().filter(is_compound).collect();
    let wanted = if compound.is_empty() { all } else { compound };
    let reads = wanted.into_iter().map(|object| async move {
        let bytes = store.get(&object.path).await?;
        blocking(move || {
            object.check(&bytes)?;
            decode_stats(&bytes, is_compound(&object)).map_err(|e| of_object(&object.path, e))
        })
        .await
    });
    let parts: Vec<Vec<PkStats>> = stream::iter(reads).buffered(FETCH_CONCURRENCY).try_collect().await?;
    Ok(parts.concat())
}

/// The store's error if a read failed; otherwise the object is damaged.
fn unreadable(path: &LogPath, object: Option<&RangedObject>, source: BinlogError) -> StorageError {
    object.and_then(RangedObject::take_failure).unwrap_or_else(|| of_object(path, source))
}

fn of_object(path: &LogPath, source: BinlogError) -> StorageError {
    StorageError::Object { object: path.to_string(), source }
}

/// The binlogs that are still to be read.
struct Source {
    store: SegmentStore,
    fields: Vec<Field>,
    schema: Arc<ArrowSchema>,
    batch_rows: usize,
    /// The objects of every wanted field per binlog, in reverse order.
    binlogs: Vec<Vec<StoredObject>>,
}

impl Source {
    fn new(
        store: &SegmentStore,
        ids: LogIds,
        logs: &SegmentLogs,
        schema: &CollectionSchema,
        wanted: &[FieldId],
        batch_rows: usize,
    ) -> Result<Self, StorageError> {
        let stored = schema.stored_fields();
        let mut fields = Vec::with_capacity(wanted.len());
        let mut binlogs: Vec<Vec<StoredObject>> = vec![Vec::new(); if wanted.is_empty() { 0 } else { logs.batches() }];
        for id in wanted {
            let wrong = |what: String| StorageError::Segment { segment: ids.segment.0, field: *id, what };
            let field = stored.iter().find(|field| field.id == *id);
            fields.push(field.cloned().ok_or_else(|| wrong("not in the schema".to_owned()))?);
            let files = logs.field(*id);
            if files.len() != binlogs.len() {
                return Err(wrong(format!("{} binlogs, other fields have {}", files.len(), binlogs.len())));
            }
            for (binlog, file) in binlogs.iter_mut().zip(files) {
                binlog.push(StoredObject::insert(ids, *id, file));
            }
        }
        binlogs.reverse();
        let columns: Vec<ArrowField> =
            fields.iter().map(|f| ArrowField::new(f.column_name(), f.arrow_type(), false)).collect();
        let schema = Arc::new(ArrowSchema::new(columns));
        Ok(Self { store: store.clone(), fields, schema, batch_rows, binlogs })
    }

    /// Fetches and opens the next binlog.
    async fn open_next(&mut self) -> Result<Option<OpenBinlog>, StorageError> {
        let Some(objects) = self.binlogs.pop() else { return Ok(None) };
        let store = &self.store;
        let fetches = objects.into_iter().map(|object| async move {
            Ok::<_, StorageError>((object.path, fetch(store, object, reading(&object)).await?))
        });
        let objects: Vec<_> = stream::iter(fetches).buffered(FETCH_CONCURRENCY).try_collect().await?;
        let (fields, batch_rows) = (self.fields.clone(), self.batch_rows);
        let has_windows = objects.iter().any(|(_, fetched)| fetched.has_windows());
        let permit = if has_windows { store.window_reader().await } else { None };
        let columns = blocking(move || {
            let _permit = permit;
            let open = |(field, (path, fetched)): (&Field, (LogPath, Fetched))| {
                let (bytes, object) = fetched.open()?;
                let reader = InsertLog::open(bytes).and_then(|log| log.read(field, batch_rows));
                let reader = reader.map_err(|e| unreadable(&path, object.as_deref(), e))?;
                Ok::<_, StorageError>(OpenColumn { path, object, reader, next: None })
            };
            fields.iter().zip(objects).map(open).collect::<Result<Vec<_>, _>>()
        })
        .await?;
        Ok(Some(OpenBinlog { columns, schema: self.schema.clone() }))
    }
}

fn reading(object: &StoredObject) -> Reading {
    Reading { held_bytes: WHOLE_BYTES, check: object.running_check().map(Arc::new), ..Reading::default() }
}

struct OpenColumn {
    path: LogPath,
    /// Source of the bytes if the log is read in windows.
    object: Option<Arc<RangedObject>>,
    reader: ColumnReader,
    /// Decoded, not returned yet.
    next: Option<ArrayRef>,
}

/// The same rows of every wanted field.
struct OpenBinlog {
    columns: Vec<OpenColumn>,
    schema: Arc<ArrowSchema>,
}

impl OpenBinlog {
    fn has_windows(&self) -> bool {
        self.columns.iter().any(|column| column.object.is_some())
    }

    /// The next rows that every field has decoded. All logs of a binlog have the same number of rows, but their arrays may
    /// be cut differently.
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, StorageError> {
        let mut rows = usize::MAX;
        for column in &mut self.columns {
            if column.next.is_none() {
                let next = column.reader.next().transpose();
                column.next = next.map_err(|e| unreadable(&column.path, column.object.as_deref(), e))?;
            }
            rows = rows.min(column.next.as_ref().map_or(0, |array| array.len()));
        }
        if rows == 0 {
            // One log has ended, so all must have ended.
            return match self.columns.iter().find(|column| column.next.is_some()) {
                None => {
                    self.columns.iter().filter_map(|c| c.object.as_deref()).try_for_each(RangedObject::check_rest)?;
                    Ok(None)
                }
                Some(longer) => {
                    let what = "has more rows than the logs of other fields".to_owned();
                    Err(of_object(&longer.path, BinlogError::Corrupt { offset: 0, what }))
                }
            };
        }
        let mut arrays = Vec::with_capacity(self.columns.len());
        for column in &mut self.columns {
            let Some(array) = column.next.take() else { continue };
            if array.len() > rows {
                column.next = Some(array.slice(rows, array.len() - rows));
            }
            arrays.push(array.slice(0, rows));
        }
        let batch = RecordBatch::try_new(self.schema.clone(), arrays);
        batch.map(Some).map_err(|e| StorageError::Task(format!("record batch: {e}")))
    }
}

#[cfg(test)]
mod tests;
