//! The second pass: every column of every piece, read, filtered, put in order and written.
//!
//! Must never: mix rows of two pieces, or write one field of a piece in another order than the others.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::AcqRel},
};

use arrow_array::{Array, ArrayRef, cast::AsArray, types::Int64Type};
use parking_lot::Mutex;
use tokio::sync::OnceCell;

use super::{
    CompactError,
    cut::{Part, Piece, share},
    inputs::{Batch, Column, Inputs, OpenLog},
    merge_run::{MergeRun, SMALL_BYTES},
    order::{may_be_unordered, permutation},
    selection::{Keep, Selection},
    sink::{Shape, Sink, add_keys},
};
use crate::{
    binlog::{BinlogError, Encoded, LogIds, PkStatsBuilder, Readdressed},
    model::{LogFile, LogId, Timestamp},
    storage::{Fetched, LogPath, SPLICED_BYTES, StoredObject},
};

/// Bytes that one unit of decoding and encoding takes besides objects and written pages: pages that it reads,
/// arrays, compressors.
const CODEC_BYTES: u64 = 4 << 20;
/// Row ids, their positions, and the sorted pairs of both.
const ORDER_BYTES_PER_ROW: u64 = 8 + 4 + 16;
const MAX_RESERVE_BYTES: u64 = 256 << 20;

/// Selections of all batches, found by the first pass.
pub(super) type Selections = Arc<[Selection]>;

/// One piece of one output segment, with the state that its columns share.
pub(super) struct PieceWork {
    /// Position of the output, and of the piece in it.
    pub(super) output: usize,
    pub(super) number: usize,
    piece: Piece,
    ids: LogIds,
    keys: Arc<Mutex<PkStatsBuilder>>,
    unordered: bool,
    /// Found by whichever column comes first.
    shape: OnceCell<Arc<Shape>>,
    columns_left: AtomicUsize,
}

/// A written column.
pub(super) struct Written {
    pub(super) output: usize,
    pub(super) number: usize,
    pub(super) field: usize,
    pub(super) file: LogFile,
}

impl PieceWork {
    pub(super) fn new(
        (output, number): (usize, usize),
        piece: Piece,
        ids: LogIds,
        keys: Arc<Mutex<PkStatsBuilder>>,
        selections: &[Selection],
        columns: usize,
    ) -> Self {
        let unordered = may_be_unordered(&piece, selections);
        let columns_left = AtomicUsize::new(columns);
        Self { output, number, piece, ids, keys, unordered, shape: OnceCell::new(), columns_left }
    }

    /// The one part, if it is a whole batch as it stands in its objects.
    pub(super) fn copied(&self, selections: &[Selection]) -> Option<&Part> {
        let [part] = self.piece.parts.as_slice() else { return None };
        let selection = selections.get(part.batch)?;
        let whole = selection.keep == Keep::All && part.kept == (0..selection.kept);
        (whole && selection.readable && !self.unordered).then_some(part)
    }

    /// Bytes that writing one field takes at most at once.
    pub(super) fn memory_bytes(
        &self,
        inputs: &Inputs,
        selections: &[Selection],
        field: usize,
        exec: &MergeRun<'_>,
    ) -> u64 {
        let (budget, page_bytes) = (exec.budget, exec.binlog.page_bytes);
        let files = || self.piece.parts.iter().filter_map(|p| Some((p, inputs.batches.get(p.batch)?)));
        let largest = files().map(|(_, batch)| batch.file_bytes(field)).max().unwrap_or(0);
        let written = self.written_bytes(inputs, selections, field);
        if self.copied(selections).is_some() {
            let looked_at = if field == inputs.key { largest } else { largest.min(SMALL_BYTES) };
            return budget.reading_bytes(looked_at) + largest.min(SMALL_BYTES) + SPLICED_BYTES + CODEC_BYTES;
        }
        let largest = budget.reading_bytes(largest);
        // Vectors are appended to the object page by page; other columns are held by the parquet writer until the end
        // and then copied.
        let vector = inputs.fields.get(field).is_some_and(|f| f.data_type.is_vector());
        let written = if vector { written } else { 2 * written };
        let rearranged = if self.unordered {
            let share = |(part, batch): (&Part, &Batch)| portion(batch.file_memory_bytes(field), part, selections);
            files().map(share).sum::<u64>() + self.piece.rows * ORDER_BYTES_PER_ROW
        } else {
            0
        };
        // Rows that fill no page yet, and a page that is compressed.
        largest + written + rearranged + CODEC_BYTES + 2 * page_bytes
    }

    /// Bytes that the object of a field will probably have.
    fn written_bytes(&self, inputs: &Inputs, selections: &[Selection], field: usize) -> u64 {
        let bytes = |part: &Part| inputs.batches.get(part.batch).map_or(0, |batch| batch.file_bytes(field));
        self.piece.parts.iter().map(|part| portion(bytes(part), part, selections)).sum()
    }
}

/// Share of `total` that the rows of a part make up in their batch, dead rows included in the batch.
fn portion(total: u64, part: &Part, selections: &[Selection]) -> u64 {
    let rows = selections.get(part.batch).map_or(0, |s| s.kept + s.deleted + s.expired);
    (u128::from(total) * u128::from(part.kept.end - part.kept.start) / u128::from(rows.max(1))) as u64
}

/// Writes field number `field` of a piece as log `log`.
pub(super) async fn write_column(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    (field, log): (usize, LogId),
) -> Result<Written, CompactError> {
    let made = match work.copied(selections) {
        Some(part) => copy(exec, inputs, work, part, field).await?,
        None => None,
    };
    let made = match made {
        Some(made) => made,
        None => ColumnObject::Encoded(rewrite(exec, inputs, selections, work, field).await?),
    };
    store(exec, inputs, selections, work, (field, log), made).await
}

/// A finished column.
enum ColumnObject {
    Encoded(Encoded),
    /// The payload of this input behind another header.
    Readdressed(StoredObject, Readdressed),
}

/// Puts a finished column into the store.
async fn store(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    (field, log): (usize, LogId),
    made: ColumnObject,
) -> Result<Written, CompactError> {
    let Some(id) = inputs.fields.get(field).map(|f| f.id) else {
        return Err(CompactError::Internal(format!("no field number {field}")));
    };
    let path = LogPath::insert(work.ids, id, log);
    let file = match made {
        ColumnObject::Encoded(encoded) => {
            let file = encoded.log_file(log);
            exec.put(path, encoded.bytes).await?;
            file
        }
        ColumnObject::Readdressed(from, copy) => {
            let file = copy.log_file(log, from.checksum);
            exec.splice(path, copy.prefix, (&from.path, copy.payload)).await?;
            file
        }
    };

    let source = |part: &Part, total: u64| {
        let survivors = selections.get(part.batch).map_or(0, |s| s.survivors);
        share(total, survivors, &part.kept)
    };
    let parts = || work.piece.parts.iter().filter_map(|part| Some((part, inputs.batches.get(part.batch)?)));
    exec.progress.add_bytes(parts().map(|(part, batch)| source(part, batch.file_bytes(field))).sum());
    if work.columns_left.fetch_sub(1, AcqRel) == 1 {
        exec.progress.add_rows(parts().map(|(part, batch)| source(part, batch.rows)).sum());
    }
    Ok(Written { output: work.output, number: work.number, field, file })
}

/// The object of a whole batch under the output's header; None if it is not fit for that and has to be written anew.
/// Pages are not looked into, except those of keys and of small objects: damage there is carried over, and the checksum of
/// the copy tells. Nor are they held: the store moves them, unless the object is so small that it is written together with
/// others.
async fn copy(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    work: &PieceWork,
    part: &Part,
    field: usize,
) -> Result<Option<ColumnObject>, CompactError> {
    let column = inputs.column(part.batch, field)?;
    let is_small = column.file.bytes < SMALL_BYTES;
    let fetched = match field == inputs.key || is_small {
        true => exec.fetch(column.object()).await?,
        false => exec.look_into(column.path).await?,
    };
    let keys = (field == inputs.key).then(|| work.keys.clone());
    let (ids, stop, now_ms) = (work.ids, exec.stop.clone(), exec.task.now_ms);
    exec.cores
        .run(move || {
            let whole = match &fetched {
                Fetched::Whole { bytes, .. } if is_small => Some(bytes.clone()),
                _ => None,
            };
            let open = column.open(fetched)?;
            // A header of another field or type would be copied too. Decoding takes or refuses it with a reason.
            let header = open.log.header();
            if header.field != column.field.id || header.data_type != column.field.data_type.number() {
                return Ok(None);
            }
            let copy = match open.log.readdress(ids, now_ms) {
                Ok(copy) => copy,
                Err(BinlogError::NotCopyable(_)) => return Ok(None),
                Err(error) => return Err(column.corrupt(error)),
            };
            // The checksum of the copy is computed from that of all bytes that were written.
            if column.file.checksum.is_some() && copy.payload.end != column.file.bytes {
                let (end, bytes) = (copy.payload.end, column.file.bytes);
                return Err(column.mismatch(format!("ends at byte {end}, metadata says {bytes}")));
            }
            if let Some(keys) = keys {
                column.scan(&open, &stop, |_, array| add_keys(&keys, &column.field, array))?;
            }
            Ok(Some(match whole {
                Some(whole) => ColumnObject::Encoded(copy.join(&whole)),
                None => ColumnObject::Readdressed(column.object(), copy),
            }))
        })
        .await
}

async fn rewrite(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    field: usize,
) -> Result<Encoded, CompactError> {
    let shape = shape(exec, inputs, selections, work).await?;
    let mut sink = open_sink(exec, inputs, selections, work, field, &shape)?;
    for part in &work.piece.parts {
        let column = inputs.column(part.batch, field)?;
        let bytes = exec.fetch(column.object()).await?;
        let (stop, selections, part) = (exec.stop.clone(), selections.clone(), part.clone());
        sink = exec
            .cores
            .run(move || {
                let log = column.open(bytes)?;
                survivors(&column, &log, &selections, &part, &stop, |keep, array| sink.write(keep, array))?;
                Ok(sink)
            })
            .await?;
        exec.progress.alive();
    }
    let now_ms = exec.task.now_ms;
    exec.cores.run(move || sink.finish(&shape, now_ms)).await
}

/// One piece among several that are written together, each with the selections of its own output.
pub(super) struct ColumnTarget {
    pub(super) work: Arc<PieceWork>,
    pub(super) selections: Selections,
    pub(super) log: LogId,
}

/// A sink with the rows of the current batch that go there.
struct Feed {
    target: usize,
    selections: Selections,
    part: Part,
    cursor: Cursor,
    sink: Sink,
}

/// Writes field number `field` of several pieces, and reads every batch once for all of them. `order` lists the batches
/// in the order in which the pieces have their parts.
pub(super) async fn write_columns(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    targets: &[ColumnTarget],
    order: &[usize],
    field: usize,
) -> Result<Vec<Written>, CompactError> {
    let mut takers: Vec<Vec<(usize, Part)>> = vec![Vec::new(); inputs.batches.len()];
    let mut batches_left = vec![0usize; targets.len()];
    for (target, left) in batches_left.iter_mut().enumerate() {
        for part in &targets[target].work.piece.parts {
            match takers[part.batch].last_mut() {
                // Parts of one batch in one piece follow each other.
                Some((last, before)) if *last == target => before.kept.end = part.kept.end,
                _ => {
                    takers[part.batch].push((target, part.clone()));
                    *left += 1;
                }
            }
        }
    }
    let mut open: Vec<Option<Sink>> = targets.iter().map(|_| None).collect();
    let mut written = Vec::with_capacity(targets.len());
    for batch in order {
        let takers = std::mem::take(&mut takers[*batch]);
        if takers.is_empty() {
            continue;
        }
        let mut feeds = Vec::with_capacity(takers.len());
        for (target, part) in takers {
            let ColumnTarget { work, selections, .. } = &targets[target];
            let sink = match open[target].take() {
                Some(sink) => sink,
                None => {
                    let shape = shape(exec, inputs, selections, work).await?;
                    open_sink(exec, inputs, selections, work, field, &shape)?
                }
            };
            let (selections, cursor) = (selections.clone(), Cursor::of(&part));
            feeds.push(Feed { target, selections, part, cursor, sink });
        }
        let column = inputs.column(*batch, field)?;
        let bytes = exec.fetch(column.object()).await?;
        let stop = exec.stop.clone();
        let feeds = exec
            .cores
            .run(move || {
                let log = column.open(bytes)?;
                column.scan(&log, &stop, |row, array| {
                    for feed in &mut feeds {
                        let Some(selection) = feed.selections.get(feed.part.batch) else { continue };
                        if let Some((keep, rows)) = feed.cursor.take(selection, row, array)? {
                            feed.sink.write(keep, &rows)?;
                        }
                    }
                    Ok(())
                })?;
                Ok(feeds)
            })
            .await?;
        exec.progress.alive();
        for Feed { target, sink, .. } in feeds {
            batches_left[target] -= 1;
            if batches_left[target] > 0 {
                open[target] = Some(sink);
                continue;
            }
            let ColumnTarget { work, selections, log } = &targets[target];
            let (shape, now_ms) = (shape(exec, inputs, selections, work).await?, exec.task.now_ms);
            let encoded = exec.cores.run(move || sink.finish(&shape, now_ms)).await?;
            written.push(store(exec, inputs, selections, work, (field, *log), ColumnObject::Encoded(encoded)).await?);
        }
    }
    Ok(written)
}

/// Where in the survivors of a batch the rows of a part are.
struct Cursor {
    first: usize,
    last: usize,
    passed: usize,
}

impl Cursor {
    fn of(part: &Part) -> Self {
        Self { first: part.kept.start as usize, last: part.kept.end as usize, passed: 0 }
    }

    /// The rows of the batch's next array that belong to the part, and which of them survive; None if there are none.
    fn take(
        &mut self,
        selection: &Selection,
        row: usize,
        array: &ArrayRef,
    ) -> Result<Option<(Keep, ArrayRef)>, CompactError> {
        let Self { first, last, passed } = *self;
        let keep = selection.keep.slice(row, array.len());
        let here = keep.count(array.len());
        let (from, to) = (first.clamp(passed, passed + here) - passed, last.clamp(passed, passed + here) - passed);
        self.passed += here;
        if from == to {
            return Ok(None);
        }
        if to - from == here {
            return Ok(Some((keep, array.clone())));
        }
        Ok(Some((Keep::All, keep.apply(array)?.slice(from, to - from))))
    }
}

/// Hands over the decoded arrays of a batch, each with the rows of it that belong to the part.
fn survivors(
    column: &Column,
    log: &OpenLog,
    selections: &[Selection],
    part: &Part,
    stop: &tokio_util::sync::CancellationToken,
    mut each: impl FnMut(Keep, &ArrayRef) -> Result<(), CompactError>,
) -> Result<(), CompactError> {
    let Some(selection) = selections.get(part.batch) else {
        return Err(CompactError::Internal(format!("batch {} was not examined", part.batch)));
    };
    // Rows before the part are not decoded. They count as passed.
    let mut cursor = Cursor { passed: part.kept.start as usize, ..Cursor::of(part) };
    let rows = selection.rows_of(&part.kept, column.file.rows);
    column.scan_rows(log, rows, stop, |row, array| match cursor.take(selection, row, array)? {
        Some((keep, rows)) => each(keep, &rows),
        None => Ok(()),
    })
}

/// Time range and order of a piece.
async fn shape(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
) -> Result<Arc<Shape>, CompactError> {
    let find = || async {
        // Of a part of a batch only the batch's range is known.
        let whole = |part: &Part| selections.get(part.batch).filter(|s| part.kept == (0..s.kept));
        let ranges: Option<Vec<_>> =
            work.piece.parts.iter().map(|part| whole(part).map(|s| (s.ts_from, s.ts_to))).collect();
        let ranges = match ranges {
            Some(ranges) => ranges,
            None => values(exec, inputs, selections, work, Inputs::TIMESTAMP)
                .await?
                .into_iter()
                .map(|ts| (Timestamp(ts as u64), Timestamp(ts as u64)))
                .collect(),
        };
        let order = if work.unordered {
            let row_ids = values(exec, inputs, selections, work, Inputs::ROW_ID).await?;
            exec.cores.run(move || Ok(permutation(&row_ids))).await?
        } else {
            None
        };
        Ok(Arc::new(Shape {
            ts_from: ranges.iter().map(|(from, _)| *from).min().unwrap_or_default(),
            ts_to: ranges.iter().map(|(_, to)| *to).max().unwrap_or_default(),
            order,
        }))
    };
    work.shape.get_or_try_init(find).await.cloned()
}

/// The surviving values of an int64 column of a piece, in the order of its parts.
async fn values(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    field: usize,
) -> Result<Vec<i64>, CompactError> {
    let mut values = Vec::new();
    for part in &work.piece.parts {
        let column = inputs.column(part.batch, field)?;
        let bytes = exec.fetch(column.object()).await?;
        let (stop, selections, part) = (exec.stop.clone(), selections.clone(), part.clone());
        values = exec
            .cores
            .run(move || {
                let log = column.open(bytes)?;
                survivors(&column, &log, &selections, &part, &stop, |keep, array| {
                    let rows = keep.apply(array)?;
                    let rows = rows.as_primitive_opt::<Int64Type>();
                    values.extend_from_slice(rows.ok_or_else(|| column.mismatch("is not an int64 column"))?.values());
                    Ok(())
                })?;
                Ok(values)
            })
            .await?;
    }
    Ok(values)
}

/// The sink of one column of a piece, nothing written yet.
fn open_sink(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    selections: &Selections,
    work: &PieceWork,
    field: usize,
    shape: &Shape,
) -> Result<Sink, CompactError> {
    let Some(output) = inputs.fields.get(field) else {
        return Err(CompactError::Internal(format!("no field number {field}")));
    };
    // The metadata may claim any size. The buffer is bounded all the same.
    let room = work.written_bytes(inputs, selections, field).min(exec.binlog.max_bytes).min(MAX_RESERVE_BYTES);
    let keys = (field == inputs.key).then(|| work.keys.clone());
    Sink::new(work.ids, output, exec.binlog, keys, shape, room)
}
