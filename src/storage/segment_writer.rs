//! Encodes rows and deletes into the logs of a new segment.
//!
//! Cuts rows into binlogs by their size in memory and encodes the fields of a cut in parallel. Holds one encoded cut at a
//! time: collects the next while it is uploaded, and encodes that when the upload is done. Removes nothing after a failure:
//! no segment refers to the objects, so garbage collection deletes them.

use std::{iter::Peekable, sync::Arc};

use arrow_array::{ArrayRef, RecordBatch, cast::AsArray, types::Int64Type};
use arrow_schema::Schema as ArrowSchema;
use bytes::Bytes;
use futures::{
    TryStreamExt,
    stream::{self, StreamExt},
};
use tokio::task::JoinSet;

use super::{error::StorageError, path::LogPath, store::SegmentStore};
use crate::{
    background::{blocking, cores},
    binlog::{Encoded, InsertLogWriter, LogIds, PkStats, PkStatsBuilder, encode_delta, memory_size, stats_file},
    config::BinlogConfig,
    error::ErrorKind,
    fault::{self, Planted},
    model::{CollectionSchema, Delete, Field, FieldId, LogFile, LogId, PkRange, SegmentLogs, Timestamp},
};

/// A binlog may end only at a row count that is one short of a multiple of this, as in Milvus.
const CUT_ROWS: usize = 100;

/// Which statistics logs a segment gets (see docs/formats.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatsLayout {
    /// Of a flush: one log per binlog. Milvus adds the compound log, which has the same name in every attempt: a server that
    /// was taken over and does not know it yet could replace that of the new owner.
    Flushed,
    /// Of a compaction: one log for the whole segment. The filter is sized for `capacity` keys, the rows of the sources.
    Compacted { capacity: u64 },
}

/// The segment to write, and how to write it.
#[derive(Debug, Clone, Copy)]
pub struct SegmentTarget<'a> {
    pub ids: LogIds,
    pub schema: &'a CollectionSchema,
    pub stats: StatsLayout,
    pub config: &'a BinlogConfig,
    /// Recorded in the files for people; the program does not read it.
    pub written_at_ms: u64,
}

/// A segment's logs after writing: durable, but not committed.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentOutput {
    pub logs: SegmentLogs,
    pub rows: u64,
    /// `None` without rows.
    pub pk_range: Option<PkRange>,
    /// One entry per binlog, or the only entry of a compaction. Empty without rows.
    pub stats: Vec<PkStats>,
}

/// Writes a segment. Batches must have the columns of `schema.arrow_schema()`, and rows must ascend by row id over all
/// batches; both are checked. `log_ids` gives a new id for every object; ids up to 1 are refused. Deletes, if any, become
/// one delta log. Without rows nothing else is written.
pub async fn write_segment(
    store: &SegmentStore,
    target: &SegmentTarget<'_>,
    batches: impl Iterator<Item = RecordBatch> + Send,
    deletes: &[Delete],
    log_ids: &mut (dyn FnMut() -> Result<LogId, StorageError> + Send),
) -> Result<SegmentOutput, StorageError> {
    let fields: Arc<[Field]> = target.schema.stored_fields().into();
    let rows = Checked { batches, schema: target.schema.arrow_schema(), segment: target.ids.segment.0, last: i64::MIN };
    let mut cuts =
        BinlogCuts { rows: rows.peekable(), fields: fields.clone(), max_bytes: target.config.max_bytes, rest: None }
            .peekable();
    let mut segment = Assembly {
        target,
        log_ids,
        logs: SegmentLogs::default(),
        rows: 0,
        stats: Vec::new(),
        stats_files: Vec::new(),
        objects: Vec::new(),
    };
    let key = target.schema.primary_key();
    let new_stats = |capacity| PkStatsBuilder::new(key.id, key.data_type, capacity, target.config.bloom_false_positive);
    let mut whole = match target.stats {
        StatsLayout::Flushed => None,
        StatsLayout::Compacted { capacity } => Some(new_stats(capacity)),
    };
    let mut uploads = JoinSet::new();
    while let Some(cut) = cuts.next() {
        let cut = cut?;
        settled(&mut uploads).await?;
        let builder = whole.take().unwrap_or_else(|| new_stats(cut.rows as u64));
        let (encoded, builder) = encode_cut(target, &fields, cut, builder).await?;
        let last = cuts.peek().is_none();
        segment.add_logs(&fields, encoded)?;
        match target.stats {
            StatsLayout::Compacted { .. } if !last => whole = Some(builder),
            _ => segment.add_stats(builder.finish())?,
        }
        if last {
            break;
        }
        let (store, objects) = (store.clone(), std::mem::take(&mut segment.objects));
        uploads.spawn(async move { store.put_all(objects).await });
    }
    if !deletes.is_empty() {
        segment.add_delta(encode_delta(target.ids, deletes, target.config, target.written_at_ms)?)?;
    }
    store.put_all(std::mem::take(&mut segment.objects)).await?;
    settled(&mut uploads).await?;
    Ok(segment.finish())
}

/// Waits for all uploads.
async fn settled(uploads: &mut JoinSet<Result<(), StorageError>>) -> Result<(), StorageError> {
    while let Some(upload) = uploads.join_next().await {
        upload.map_err(|e| StorageError::Task(e.to_string()))??;
    }
    Ok(())
}

/// Collects the objects of a segment and their metadata.
struct Assembly<'a> {
    target: &'a SegmentTarget<'a>,
    log_ids: &'a mut (dyn FnMut() -> Result<LogId, StorageError> + Send),
    logs: SegmentLogs,
    rows: u64,
    stats: Vec<PkStats>,
    stats_files: Vec<LogFile>,
    /// Encoded, not uploaded yet.
    objects: Vec<(LogPath, Bytes)>,
}

impl Assembly<'_> {
    fn next_id(&mut self) -> Result<LogId, StorageError> {
        let id = (self.log_ids)()?;
        if id <= LogId::COMPOUND_STATS {
            return Err(StorageError::LogId { what: format!("{id} is reserved"), kind: ErrorKind::Internal });
        }
        Ok(id)
    }

    /// Adds one binlog per field, in the order of `fields`.
    fn add_logs(&mut self, fields: &[Field], encoded: Vec<Encoded>) -> Result<(), StorageError> {
        if self.logs.insert.is_empty() {
            self.logs.insert = fields.iter().map(|field| (field.id, Vec::new())).collect();
        }
        self.rows += encoded.first().map_or(0, |log| log.rows);
        for (at, log) in encoded.into_iter().enumerate() {
            let id = self.next_id()?;
            let Some((field, files)) = self.logs.insert.get_mut(at) else { continue };
            files.push(log.log_file(id));
            self.objects.push((LogPath::insert(self.target.ids, *field, id), log.bytes));
        }
        Ok(())
    }

    fn add_stats(&mut self, stats: PkStats) -> Result<(), StorageError> {
        let mut id = self.next_id()?;
        if fault::planted(Planted::StatisticsShareNames) {
            id = LogId(2 + self.stats_files.len() as i64);
        }
        let keys = self.rows - self.stats_files.iter().map(|file| file.rows).sum::<u64>();
        let bytes = stats.encode();
        self.stats_files.push(stats_file(id, keys, &bytes));
        self.objects.push((LogPath::stats(self.target.ids, self.target.schema.primary_key().id, id), bytes));
        self.stats.push(stats);
        Ok(())
    }

    fn add_delta(&mut self, log: Encoded) -> Result<(), StorageError> {
        let id = self.next_id()?;
        self.logs.delta.push(log.log_file(id));
        self.objects.push((LogPath::delta(self.target.ids, id), log.bytes));
        Ok(())
    }

    fn finish(mut self) -> SegmentOutput {
        if !self.stats_files.is_empty() {
            self.logs.stats.push((self.target.schema.primary_key().id, self.stats_files));
        }
        let pk_range = self.stats.iter().filter_map(|stats| stats.range.clone()).reduce(PkRange::union);
        SegmentOutput { logs: self.logs, rows: self.rows, pk_range, stats: self.stats }
    }
}

/// Passes batches on; fails for wrong columns and for row ids that do not ascend.
struct Checked<I> {
    batches: I,
    schema: Arc<ArrowSchema>,
    segment: i64,
    last: i64,
}

impl<I: Iterator<Item = RecordBatch>> Iterator for Checked<I> {
    type Item = Result<RecordBatch, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.batches.find(|batch| batch.num_rows() > 0)?;
        let refused = |what: String| Some(Err(StorageError::Rows { segment: self.segment, what }));
        if batch.schema().fields() != self.schema.fields() {
            return refused(format!("columns {:?}, expected {:?}", names(&batch.schema()), names(&self.schema)));
        }
        // The row id is the first stored field, and its type was just checked.
        for id in batch.column(0).as_primitive::<Int64Type>().values() {
            if *id < self.last {
                return refused(format!("row id {id} after {}", self.last));
            }
            self.last = *id;
        }
        Some(Ok(batch))
    }
}

fn names(schema: &ArrowSchema) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
}

/// Rows of one binlog: slices of the caller's batches, not copies.
struct Cut {
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl Cut {
    fn column(&self, at: usize) -> Vec<ArrayRef> {
        self.batches.iter().map(|batch| batch.column(at).clone()).collect()
    }
}

/// Cuts rows into binlogs. A cut ends at the first row count of 100·k − 1 at which the rows have more than `max_bytes` in
/// memory, all fields together.
struct BinlogCuts<I: Iterator> {
    rows: Peekable<I>,
    fields: Arc<[Field]>,
    max_bytes: u64,
    /// Rest of the last batch behind the previous cut.
    rest: Option<RecordBatch>,
}

impl<I: Iterator<Item = Result<RecordBatch, StorageError>>> BinlogCuts<I> {
    fn size(&self, batch: &RecordBatch) -> u64 {
        self.fields.iter().zip(batch.columns()).map(|(field, column)| memory_size(field, column)).sum()
    }

    /// The part of the size that does not depend on the number of rows.
    fn fixed_size(&self, batch: &RecordBatch) -> u64 {
        self.size(&batch.slice(0, 0))
    }

    fn cut(&mut self) -> Result<Option<Cut>, StorageError> {
        let mut cut = Cut { batches: Vec::new(), rows: 0 };
        let mut bytes = 0;
        while let Some(batch) = self.rest.take().map(Ok).or_else(|| self.rows.next()).transpose()? {
            let fixed = self.fixed_size(&batch);
            if cut.rows == 0 {
                bytes = fixed;
            }
            let mut taken = 0;
            while taken < batch.num_rows() {
                let to_boundary = CUT_ROWS - (cut.rows + 1) % CUT_ROWS;
                let step = to_boundary.min(batch.num_rows() - taken);
                bytes += self.size(&batch.slice(taken, step)) - fixed;
                taken += step;
                cut.rows += step;
                if (cut.rows + 1).is_multiple_of(CUT_ROWS) && bytes > self.max_bytes {
                    cut.batches.push(batch.slice(0, taken));
                    self.rest = (taken < batch.num_rows()).then(|| batch.slice(taken, batch.num_rows() - taken));
                    return Ok(Some(cut));
                }
            }
            cut.batches.push(batch);
        }
        Ok((cut.rows > 0).then_some(cut))
    }
}

impl<I: Iterator<Item = Result<RecordBatch, StorageError>>> Iterator for BinlogCuts<I> {
    type Item = Result<Cut, StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cut().transpose()
    }
}

enum Encoding {
    Log(usize, Encoded),
    Stats(PkStatsBuilder),
}

/// Encodes the columns of a cut on as many threads as there are cores, largest column first. Returns the logs in the order
/// of `fields`, and the builder with the keys of the cut.
async fn encode_cut(
    target: &SegmentTarget<'_>,
    fields: &Arc<[Field]>,
    cut: Cut,
    mut builder: PkStatsBuilder,
) -> Result<(Vec<Encoded>, PkStatsBuilder), StorageError> {
    let (ts_from, ts_to) = time_range(&cut, fields);
    let sizes = |at: usize, field: &Field| -> u64 { cut.column(at).iter().map(|c| memory_size(field, c)).sum() };
    let mut order: Vec<(u64, usize)> = fields.iter().enumerate().map(|(at, f)| (sizes(at, f), at)).collect();
    order.sort_unstable_by(|a, b| b.cmp(a));

    let mut jobs: Vec<EncodeJob> = Vec::new();
    for (bytes, at) in order {
        let Some(field) = fields.get(at).cloned() else { continue };
        let (column, ids, config, now) = (cut.column(at), target.ids, target.config.clone(), target.written_at_ms);
        jobs.push(Box::new(move || {
            let mut writer = InsertLogWriter::new(ids, &field, &config)?;
            if field.data_type.is_vector() {
                // Vectors hardly compress, so the buffer needs their full size.
                writer.reserve(usize::try_from(bytes).unwrap_or(0));
            }
            for part in &column {
                writer.write(part)?;
            }
            Ok(Encoding::Log(at, writer.finish(ts_from, ts_to, now)?))
        }));
    }
    let key = target.schema.primary_key().id;
    let keys = fields.iter().position(|field| field.id == key).map_or_else(Vec::new, |at| cut.column(at));
    jobs.push(Box::new(move || {
        for part in &keys {
            builder.add_column(part)?;
        }
        Ok(Encoding::Stats(builder))
    }));
    drop(cut);

    let cores = cores();
    // The futures exist before the stream: the compiler can't prove a stream with a closure over boxed jobs `Send`.
    let encodings: Vec<_> = jobs.into_iter().map(blocking).collect();
    let mut done = stream::iter(encodings).buffer_unordered(cores);
    let mut logs = Vec::with_capacity(fields.len());
    let mut builder = None;
    while let Some(encoding) = done.try_next().await? {
        match encoding {
            Encoding::Log(at, log) => logs.push((at, log)),
            Encoding::Stats(stats) => builder = Some(stats),
        }
    }
    logs.sort_unstable_by_key(|(at, _)| *at);
    let builder = builder.ok_or_else(|| StorageError::Task("statistics of the keys".to_owned()))?;
    Ok((logs.into_iter().map(|(_, log)| log).collect(), builder))
}

/// Encodes one column on a blocking thread, away from the threads that serve requests.
type EncodeJob = Box<dyn FnOnce() -> Result<Encoding, StorageError> + Send + 'static>;

/// First and last timestamp of a cut. The column holds the bits of a u64 as Int64.
fn time_range(cut: &Cut, fields: &[Field]) -> (Timestamp, Timestamp) {
    let column =
        fields.iter().position(|field| field.id == FieldId::TIMESTAMP).map_or_else(Vec::new, |at| cut.column(at));
    let times = column
        .iter()
        .filter_map(|part| part.as_primitive_opt::<Int64Type>())
        .flat_map(|part| part.values().iter())
        .map(|ts| *ts as u64);
    let range = times.fold(None, |range: Option<(u64, u64)>, ts| {
        Some(range.map_or((ts, ts), |(from, to)| (from.min(ts), to.max(ts))))
    });
    range.map_or_else(Default::default, |(from, to)| (Timestamp(from), Timestamp(to)))
}

#[cfg(test)]
mod tests;
