//! The logs of a segment become rows, deletes and statistics again.
//!
//! Rows are read binlog by binlog: the n-th log of every wanted field is opened, decoded batch by batch, and dropped
//! before the next is opened; large ones are never whole in memory. Errors name the object.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef},
    datatypes::{Field as ArrowField, Schema as ArrowSchema},
    record_batch::RecordBatch,
};
use futures::{
    TryStreamExt,
    stream::{self, BoxStream, StreamExt},
};
use tokio_util::task::AbortOnDropHandle;

use super::{LogPath, RangedObject, Reading, SegmentStore, StorageError};
use crate::{
    binlog::{
        BinlogError, ColumnReader, DeltaReader, InsertLog, LogBytes, LogIds, PkStats, decode_delta, decode_stats,
    },
    model::{CollectionSchema, Delete, Field, FieldId, LogId, PrimaryKey, SegmentLogs},
};

/// Objects of one segment fetched at once.
const FETCH_CONCURRENCY: usize = 8;
/// Objects up to this size are read whole; of larger ones no more than this is in memory.
const WHOLE_BYTES: u64 = 4 << 20;

/// Reads columns of a segment in batches of at most `batch_rows`, with one column per wanted field, in the order given,
/// named and typed as in `schema.arrow_schema()`. Memory is bounded by a few megabytes per field and one batch, however
/// large the objects are. No fields: no batches.
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
                Ok((batch?, binlog))
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
    // Owned, because a future that holds a borrowing iterator is not provably `Send` inside another one.
    let paths: Vec<LogPath> = logs.delta.iter().map(|log| LogPath::delta(ids, log.id)).collect();
    let reads = paths.into_iter().map(|path| async move {
        let bytes = store.get(&path).await?;
        blocking(move || decode_delta(bytes).map_err(|e| of_object(&path, e))).await
    });
    let parts: Vec<Vec<Delete>> = stream::iter(reads).buffered(FETCH_CONCURRENCY).try_collect().await?;
    Ok(parts.concat())
}

/// Reads the deletes of delta logs, each a path and its size in bytes, in parts that take `part_bytes` or a little more,
/// whichever logs they come from. No log is whole in memory if it is large.
pub fn read_delete_parts(
    store: &SegmentStore,
    mut logs: Vec<(LogPath, u64)>,
    part_bytes: usize,
) -> BoxStream<'static, Result<Vec<Delete>, StorageError>> {
    logs.reverse();
    stream::try_unfold((store.clone(), logs, None), move |(store, mut logs, mut open)| async move {
        let (mut part, mut bytes) = (Vec::new(), 0);
        while bytes < part_bytes {
            let Some(log) = open.take() else {
                let Some((path, size)) = logs.pop() else { break };
                open = Some(OpenDelta::open(&store, path, size).await?);
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
    /// Where its bytes come from, if they are not in memory.
    object: Option<Arc<RangedObject>>,
    reader: DeltaReader,
}

impl OpenDelta {
    async fn open(store: &SegmentStore, path: LogPath, size: u64) -> Result<Self, StorageError> {
        let (bytes, object) = fetch(store, path, size).await?;
        let permit = if object.is_some() { store.window_reader().await } else { None };
        blocking(move || {
            let _permit = permit;
            let reader = DeltaReader::open(bytes).map_err(|e| unreadable(&path, object.as_deref(), e))?;
            Ok(Self { path, object, reader })
        })
        .await
    }

    /// Adds to a part of `bytes` until it has `enough`. Returns the log too unless it has ended.
    fn read(
        mut self,
        mut part: Vec<Delete>,
        mut bytes: usize,
        enough: usize,
    ) -> Result<(Option<Self>, Vec<Delete>, usize), StorageError> {
        while bytes < enough {
            let Some(deletes) = self.reader.next() else { return Ok((None, part, bytes)) };
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

/// Reads the primary-key statistics of a segment: the compound log if there is one, all single ones otherwise
/// (specification 6.2).
pub async fn read_stats(store: &SegmentStore, ids: LogIds, logs: &SegmentLogs) -> Result<Vec<PkStats>, StorageError> {
    let all: Vec<(FieldId, LogId)> =
        logs.stats.iter().flat_map(|(field, files)| files.iter().map(|file| (*field, file.id))).collect();
    let compound: Vec<_> = all.iter().copied().filter(|(_, id)| *id == LogId::COMPOUND_STATS).collect();
    let wanted = if compound.is_empty() { all } else { compound };
    let reads = wanted.into_iter().map(|(field, id)| {
        let path = LogPath::stats(ids, field, id);
        async move {
            let bytes = store.get(&path).await?;
            let decode = move || decode_stats(&bytes, id == LogId::COMPOUND_STATS);
            blocking(move || decode().map_err(|e| of_object(&path, e))).await
        }
    });
    let parts: Vec<Vec<PkStats>> = stream::iter(reads).buffered(FETCH_CONCURRENCY).try_collect().await?;
    Ok(parts.concat())
}

/// Damage, unless the store has not answered.
fn unreadable(path: &LogPath, object: Option<&RangedObject>, source: BinlogError) -> StorageError {
    object.and_then(RangedObject::take_failure).unwrap_or_else(|| of_object(path, source))
}

fn of_object(path: &LogPath, source: BinlogError) -> StorageError {
    StorageError::Object { object: path.to_string(), source }
}

/// Decoding is work, not waiting: it is kept off the threads that serve requests. Work that has not begun when its reader
/// is dropped never begins; what has begun is a batch or an object at most.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    let task = AbortOnDropHandle::new(tokio::task::spawn_blocking(work));
    task.await.map_err(|e| StorageError::Task(e.to_string()))?
}

/// What is still to be read.
struct Source {
    store: SegmentStore,
    fields: Vec<Field>,
    schema: Arc<ArrowSchema>,
    batch_rows: usize,
    /// Per binlog the object of every wanted field with its size; the next one last.
    binlogs: Vec<Vec<(LogPath, u64)>>,
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
        let mut binlogs: Vec<Vec<(LogPath, u64)>> =
            vec![Vec::new(); if wanted.is_empty() { 0 } else { logs.batches() }];
        for id in wanted {
            let wrong = |what: String| StorageError::Segment { segment: ids.segment.0, field: *id, what };
            let field = stored.iter().find(|field| field.id == *id);
            fields.push(field.cloned().ok_or_else(|| wrong("not in the schema".to_owned()))?);
            let files = logs.field(*id);
            if files.len() != binlogs.len() {
                return Err(wrong(format!("{} binlogs, other fields have {}", files.len(), binlogs.len())));
            }
            for (binlog, file) in binlogs.iter_mut().zip(files) {
                binlog.push((LogPath::insert(ids, *id, file.id), file.bytes));
            }
        }
        binlogs.reverse();
        let columns: Vec<ArrowField> =
            fields.iter().map(|f| ArrowField::new(f.column_name(), f.arrow_type(), false)).collect();
        let schema = Arc::new(ArrowSchema::new(columns));
        Ok(Self { store: store.clone(), fields, schema, batch_rows, binlogs })
    }

    /// Fetches the next binlog of every field.
    async fn open_next(&mut self) -> Result<Option<OpenBinlog>, StorageError> {
        let Some(paths) = self.binlogs.pop() else { return Ok(None) };
        let store = &self.store;
        let fetches = paths
            .into_iter()
            .map(|(path, bytes)| async move { Ok::<_, StorageError>((path, fetch(store, path, bytes).await?)) });
        let objects: Vec<_> = stream::iter(fetches).buffered(FETCH_CONCURRENCY).try_collect().await?;
        let (fields, batch_rows) = (self.fields.clone(), self.batch_rows);
        let has_windows = objects.iter().any(|(_, (_, object))| object.is_some());
        let permit = if has_windows { store.window_reader().await } else { None };
        let columns = blocking(move || {
            let _permit = permit;
            let open = |(field, (path, (bytes, object))): (&Field, (LogPath, Fetched))| {
                let reader = InsertLog::open(bytes).and_then(|log| log.read(field, batch_rows));
                let reader = reader.map_err(|e| unreadable(&path, object.as_deref(), e))?;
                Ok(OpenColumn { path, object, reader, next: None })
            };
            fields.iter().zip(objects).map(open).collect::<Result<Vec<_>, _>>()
        })
        .await?;
        Ok(Some(OpenBinlog { columns, schema: self.schema.clone() }))
    }
}

/// The bytes of an object, and where they come from if they are not in memory.
type Fetched = (LogBytes, Option<Arc<RangedObject>>);

/// An object of about so many bytes: in memory if it is small, behind a reader of windows otherwise.
async fn fetch(store: &SegmentStore, path: LogPath, bytes: u64) -> Result<Fetched, StorageError> {
    if bytes <= WHOLE_BYTES {
        return Ok((store.get(&path).await?.into(), None));
    }
    let reading = Reading { held_bytes: WHOLE_BYTES, ..Reading::default() };
    let object = RangedObject::open(store, path, reading).await?;
    Ok((object.log_bytes(), Some(object)))
}

struct OpenColumn {
    path: LogPath,
    /// Where its bytes come from, if they are not in memory.
    object: Option<Arc<RangedObject>>,
    reader: ColumnReader,
    /// Decoded and not handed out yet.
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

    /// The next rows that are there for every field. Logs of one binlog have equally many rows, but need not come in
    /// equal arrays.
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
            // Some have ended: then all must have.
            return match self.columns.iter().find(|column| column.next.is_some()) {
                None => Ok(None),
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
